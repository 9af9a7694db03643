//! The prober: connects, looks at regular times whether Redis is well, and closes the circuit breaker once it is.

use std::sync::Arc;
use std::time::Duration;

use log::debug;
use redis::{RedisResult, cmd};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::breaker::CircuitBreaker;
use crate::connections::Connections;
use crate::error::LinkError;
use crate::link::LinkConfig;

/// Time limit to connect in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many times the link's timeout a command may take that nobody waits for any more.
const RESPONSE_TIMEOUTS: u32 = 10;

/// Connects to Redis and probes it. There is one for a link, on its thread.
#[derive(Debug)]
pub struct Prober {
    config: LinkConfig,
    connections: watch::Sender<Option<Arc<Connections>>>,
    breaker: Arc<CircuitBreaker>,
}

impl Prober {
    pub(crate) fn new(
        config: LinkConfig,
        connections: watch::Sender<Option<Arc<Connections>>>,
        breaker: Arc<CircuitBreaker>,
    ) -> Self {
        Self { config, connections, breaker }
    }

    /// Probes with a `PING` at this interval, as long as the link is there.
    pub async fn run(mut self, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // the breaker has counted it
            let _ = self.probe(async |redis| redis.run::<()>(&cmd("PING")).await).await;
        }
    }

    /// Probes with some work, which has the link's timeout. Connects if there is no connection. If the work succeeds, users get the
    /// connection and the circuit breaker closes.
    ///
    /// # Errors
    /// Why it was not done. Each counts for the circuit breaker, and the next probe opens a new connection, but after a single
    /// timeout.
    pub async fn probe<T>(&mut self, work: impl AsyncFnOnce(&Connections) -> RedisResult<T>) -> Result<T, LinkError> {
        let probed = self.try_probe(work).await;
        match &probed {
            Ok(_) => self.breaker.probed(),
            Err(error) => {
                debug!(why:% = error; "redis does not answer");
                self.breaker.failed(&error.to_string());
                // one answer that is late is no reason to leave the connection
                if self.breaker.is_open() || *error != LinkError::Timeout {
                    self.connections.send_replace(None);
                }
            }
        }
        probed
    }

    /// The connections that users have at present.
    #[must_use]
    pub fn connections(&self) -> Option<Arc<Connections>> {
        self.connections.borrow().clone()
    }

    async fn try_probe<T>(&self, work: impl AsyncFnOnce(&Connections) -> RedisResult<T>) -> Result<T, LinkError> {
        let limit = self.config.timeout;
        let connections = match self.connections() {
            Some(connections) => connections,
            None => {
                let opening = Connections::open(&self.config, limit * RESPONSE_TIMEOUTS);
                Arc::new(timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| LinkError::Timeout)??)
            }
        };
        let done = timeout(limit, work(&connections)).await.map_err(|_| LinkError::Timeout)??;
        self.connections.send_replace(Some(connections));
        Ok(done)
    }
}
