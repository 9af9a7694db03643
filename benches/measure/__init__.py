"""What benches/compare, benches/soak and benches/instructions share."""
