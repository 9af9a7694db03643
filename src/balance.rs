//! Chooses a server of an upstream, counts what is in flight on it, and leaves out those that fail. Does not connect.

mod ask;
mod budget;
mod change;
mod ejection;
mod fault;
mod group;
mod hash;
mod latency;
mod lease;
mod least_conn;
mod least_tokens;
mod listed;
mod members;
mod peak_ewma;
mod pool;
mod queue;
mod registry;
mod round_robin;
mod server;
mod settings;
mod site;
mod state;
mod survey;
mod turn;

#[cfg(test)]
mod properties;

pub use ask::{Ask, Refusal};
pub use change::Change;
pub use fault::{Fault, FaultKind};
pub use hash::of as hash_of;
pub use lease::Lease;
pub use least_tokens::ASSUMED_TOKENS;
pub use listed::Listed;
pub use pool::Pool;
pub use registry::Registry;
pub use server::Server;
pub use settings::{
    Algorithm, Attempts, Bound, CheckKind, CheckPath, Eject, Fallback, HashKey, HashSettings, HealthCheckSettings,
    HostHeader, InitialHealth, Keepalive, QueueSettings, QueueStatus, Retry, RetryOn, ServerAddress, ServerSettings,
    Share, StatusRange, Timeouts, TlsName, UpstreamSettings, UpstreamTls, Weight,
};
pub use state::{Health, State};
