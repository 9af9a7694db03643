//! Rows that leave the ledger: Parquet files by hour and `CloudEvents`, each held against the database value by value, by readers of other
//! makers (`tests/export`), through outages of what takes them.

mod cloudevents;
mod parquet;
mod python;
