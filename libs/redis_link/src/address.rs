//! Where a Redis is: one server, or the nodes of a cluster. Never shows a URL, which may hold a password.

use std::fmt;

use redis::IntoConnectionInfo;

/// Where a Redis is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// The URL of a server: `redis://host:6379/0`, `rediss://` for TLS, `unix:///path`.
    Server(String),
    /// URLs of some nodes of a cluster; the others are found through them.
    Cluster(Vec<String>),
}

impl Address {
    /// Checks a URL of either kind.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself.
    pub fn check(url: &str) -> Result<(), String> {
        let wanted = "wanted one like `redis://host:6379/0` or `rediss://host:6380`";
        url.into_connection_info()
            .map(drop)
            .map_err(|error| format!("is no address of a Redis ({}); {wanted}", error.category()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(_) => f.write_str("Server(***)"),
            Self::Cluster(nodes) => write!(f, "Cluster({} nodes)", nodes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_never_shown() {
        for url in ["redis://host:6379/0", "rediss://user:hunter2@host", "unix:///run/redis.sock"] {
            assert_eq!(Address::check(url), Ok(()), "{url}");
        }
        for url in ["hunter2", "http://hunter2", "redis://:hunter2@host:port"] {
            let error = Address::check(url).unwrap_err();
            assert!(error.contains("`redis://host:6379/0`") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(format!("{:?}", Address::Server("redis://:hunter2@host".into())), "Server(***)");
    }
}
