//! Connections to a Redis, or to a cluster of them, that serve many commands at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};

use crate::settings::RedisConfig;

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// Open connections.
pub(super) enum Link {
    One(Vec<MultiplexedConnection>, AtomicUsize),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects.
    pub(super) async fn open(config: &RedisConfig, patience: Duration) -> RedisResult<Self> {
        let Some(url) = &config.url else {
            let nodes = config.cluster.iter().map(String::as_str);
            let builder = ClusterClientBuilder::new(nodes).retries(0);
            let client = builder.connection_timeout(CONNECT).response_timeout(patience).build()?;
            return client.get_async_connection().await.map(Self::Cluster);
        };
        let client = Client::open(url.as_str())?;
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(patience));
        let mut connections = Vec::with_capacity(config.connections.into());
        for _ in 0..config.connections {
            connections.push(client.get_multiplexed_async_connection_with_config(&settings).await?);
        }
        Ok(Self::One(connections, AtomicUsize::new(0)))
    }

    /// Runs a command on the connection whose turn it is.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connections, turn) => {
                let turn = turn.fetch_add(1, Ordering::Relaxed) % connections.len();
                command.query_async(&mut connections[turn].clone()).await
            }
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}
