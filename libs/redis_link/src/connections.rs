//! Open connections to a server or a cluster, each of which carries many commands at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation, cmd};

use crate::address::Address;
use crate::link::LinkConfig;

/// Time limit to open one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Open connections to a Redis. Commands take turns on them: a large answer delays only what shares its connection.
#[derive(Debug)]
pub struct Connections(Inner);

enum Inner {
    Server { connections: Vec<MultiplexedConnection>, turn: AtomicUsize },
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server { .. } => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connections {
    /// Connects. A command fails if its answer takes longer than `response_timeout`, also where nobody waits for it.
    pub(crate) async fn open(config: &LinkConfig, response_timeout: Duration) -> RedisResult<Self> {
        let url = match &config.address {
            Address::Server(url) => url,
            Address::Cluster(nodes) => {
                let builder = ClusterClientBuilder::new(nodes.iter().map(String::as_str)).retries(0);
                let builder = builder.connection_timeout(CONNECT_TIMEOUT).response_timeout(response_timeout);
                return builder.build()?.get_async_connection().await.map(|cluster| Self(Inner::Cluster(cluster)));
            }
        };
        let client = Client::open(url.as_str())?;
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        let mut connections = Vec::with_capacity(config.connections.into());
        for _ in 0..config.connections.max(1) {
            connections.push(client.get_multiplexed_async_connection_with_config(&settings).await?);
        }
        Ok(Self(Inner::Server { connections, turn: AtomicUsize::new(0) }))
    }

    /// Runs a command.
    ///
    /// # Errors
    /// That of Redis, or of the connection.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match &self.0 {
            Inner::Server { connections, turn } => command.query_async(&mut next(connections, turn)).await,
            Inner::Cluster(cluster) => command.query_async(&mut cluster.clone()).await,
        }
    }

    /// Runs several commands in one round trip. In a cluster their keys must be in one slot, as those are that share a `{tag}`.
    ///
    /// # Errors
    /// The first one of any of them.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        match &self.0 {
            Inner::Server { connections, turn } => pipeline.query_async(&mut next(connections, turn)).await,
            Inner::Cluster(cluster) => pipeline.query_async(&mut cluster.clone()).await,
        }
    }

    /// Runs a script, which Redis executes as one operation. Its text is sent only to a Redis that does not have it yet. In a
    /// cluster its keys must be in one slot.
    ///
    /// # Errors
    /// That of the script, of Redis, or of the connection.
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        match &self.0 {
            Inner::Server { connections, turn } => script.invoke_async(&mut next(connections, turn)).await,
            Inner::Cluster(cluster) => script.invoke_async(&mut cluster.clone()).await,
        }
    }

    /// Redis' clock, in milliseconds since the epoch: the one clock that all who share a Redis agree on.
    ///
    /// # Errors
    /// That of Redis, or of the connection.
    pub async fn time_millis(&self) -> RedisResult<u64> {
        let (seconds, micros): (u64, u64) = self.run(&cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

/// The connection whose turn it is; a clone shares the socket.
fn next(connections: &[MultiplexedConnection], turn: &AtomicUsize) -> MultiplexedConnection {
    connections[turn.fetch_add(1, Ordering::Relaxed) % connections.len()].clone()
}
