//! Tollgate over real sockets: one binary, so that it is linked once. `harness` is the story that all of it tells.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics is a test that fails")]

mod harness;

mod config; // what is in `conf/` loads, and mistakes are told with their place
mod proxying; // what passes unchanged, and the few headers that change by rule
mod sdk; // the real SDKs see no gateway
