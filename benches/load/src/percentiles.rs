//! Percentiles of a list of times.

use serde_json::{Value, json};

/// The median and so on of times in microseconds, as JSON.
pub fn percentiles(mut micros: Vec<f64>) -> Value {
    micros.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| micros.get(((micros.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    let mean = micros.iter().sum::<f64>() / micros.len().max(1) as f64;
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0), "mean": mean })
}
