//! Limits that several programs share through Redis. Each draws leases of them, uses these up in memory, renews them in the background
//! and gives back what is left. While Redis does not answer, each goes on by itself. What a lease is, is `quota`'s; what Redis counts
//! stands in `draw.lua`.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use quota::{Claim, Limit, Meters, OnSilence, Subject};
//! use quota_leases::{Count, LeaseConfig, Leases};
//! use redis_link::Address;
//!
//! # async fn example() -> std::io::Result<()> {
//! let config = LeaseConfig {
//!     address: Address::Server("redis://127.0.0.1:6379".into()),
//!     timeout: Duration::from_millis(20),
//!     prefix: "example".into(),
//!     on_silence: OnSilence::Local,
//! };
//! let leases = Leases::start(config, Arc::default(), |_| ())?;
//! let (limit, meters) = (Limit::per_second(100, 200), Meters::leased());
//! let alice = Subject::of(["alice"]);
//! let meter = meters.get(alice, 1000, &limit, leases.now()).meter;
//! let count = Count { limit: Subject::of(["requests"]), subject: alice };
//! match leases.reserve(&[Claim::spend(meter, limit, 1)], &[count], leases.now()).await {
//!     Ok(reservations) => println!("{} reserved", reservations[0].amount()),
//!     Err(denied) => println!("{denied:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod active;
mod leases;
mod script;

pub use active::Count;
pub use leases::{Denied, LeaseConfig, LeaseEvent, Leases};

#[cfg(test)]
mod tests;
