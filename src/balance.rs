//! Selects a server of an upstream, counts the requests in flight on each, and ejects servers that fail. Does not connect.

mod backends;
mod budget;
mod candidates;
mod change;
mod ejection;
mod failure;
mod hash;
mod latency;
mod lease;
mod least_conn;
mod least_tokens;
mod peak_ewma;
mod pool;
mod queue;
mod registry;
mod round_robin;
mod select;
mod server;
mod server_config;
mod server_view;
mod settings;
mod state;
mod turn;
mod upstream_state;

#[cfg(test)]
mod properties;

pub use change::StateChange;
pub use failure::{FailureClass, ServerFailure};
pub use hash::of as hash_of;
pub use lease::Lease;
pub use least_tokens::ASSUMED_TOKENS;
pub use pool::Pool;
pub use registry::UpstreamRegistry;
pub use select::{SelectError, SelectParams};
pub use server::Server;
pub use server_view::ServerView;
pub use settings::{
    Algorithm, Attempts, Bound, CheckKind, CheckPath, Eject, Fallback, HashKey, HashSettings, HealthCheckSettings,
    HostHeader, InitialHealth, Keepalive, QueueSettings, QueueStatus, Redirects, Retry, RetryOn, ServerAddress,
    ServerSettings, Share, StatusRange, Timeouts, TlsName, UpstreamHeaders, UpstreamSettings, UpstreamTls, Weight,
};
pub use state::{Health, State};
