//! A connection to Redis for programs that must not depend on it: every operation has a deadline, a circuit breaker skips a Redis
//! that fails, and connecting happens in the background. It knows neither keys nor values; those are its users' own.
//!
//! Input and output run on a thread of the link's own, so that a large value delays no other work of the program.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use redis_link::redis::cmd;
//! use redis_link::{Address, LinkConfig, LinkError, RedisLink};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = LinkConfig {
//!     name: "counters",
//!     purpose: "the shared counters",
//!     address: Address::Server("redis://127.0.0.1:6379/0".into()),
//!     connections: 2,
//!     timeout: Duration::from_millis(20),
//! };
//! // checks every half second that Redis is well, and connects when it is not
//! let link = RedisLink::start(config, |prober| prober.run(Duration::from_millis(500)))?;
//!
//! // never takes longer than the timeout
//! let count = link.run(|redis| async move { redis.run::<u64>(cmd("INCR").arg("hits")).await }).await;
//! match count {
//!     Ok(count) => println!("{count} hits"),
//!     Err(LinkError::Open) => println!("skipped: Redis fails at present"),
//!     Err(error) => println!("not counted: {error}"),
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod breaker;
mod connections;
mod error;
mod link;
mod prober;
mod refusals;

/// The client library, for commands, pipelines and scripts.
pub use redis;

pub use address::Address;
pub use breaker::CircuitBreaker;
pub use connections::Connections;
pub use error::LinkError;
pub use link::{LinkConfig, RedisLink};
pub use prober::Prober;
