//! The link as its users see it: operations with a deadline. They run on the link's own thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::address::Address;
use crate::breaker::CircuitBreaker;
use crate::connections::Connections;
use crate::error::LinkError;
use crate::prober::Prober;
use crate::refusals::Refusals;

/// Operations that may be under way at once; more are [`LinkError::Busy`].
const MAX_OPERATIONS: usize = 1024;

/// What a link is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkConfig {
    /// The name of its thread.
    pub name: &'static str,
    /// What is skipped while Redis fails, for the log: `the shared cache`.
    pub purpose: &'static str,
    /// Where the Redis is.
    pub address: Address,
    /// How many connections to a server, at least 1. A cluster has one for each of its nodes.
    pub connections: u8,
    /// How long an operation takes at most.
    pub timeout: Duration,
}

/// A link to a Redis, which need not be there. Its thread ends when the link is dropped.
#[derive(Debug)]
pub struct RedisLink {
    runtime: Handle,
    connections: watch::Receiver<Option<Arc<Connections>>>,
    breaker: Arc<CircuitBreaker>,
    refusals: Refusals,
    slots: Arc<Semaphore>,
    timeout: Duration,
    /// Dropped together with the link, which ends its thread.
    _alive: watch::Sender<()>,
}

impl RedisLink {
    /// Starts a link. `main` runs on its thread and has to probe Redis from time to time, since nothing else connects:
    /// `|prober| prober.run(interval)` if no other work belongs to it.
    ///
    /// # Errors
    /// That there is no thread to be had.
    pub fn start<M, F>(config: LinkConfig, main: M) -> io::Result<Arc<Self>>
    where
        M: FnOnce(Prober) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let breaker = Arc::new(CircuitBreaker::new(config.purpose));
        let (opened, connections) = watch::channel(None);
        let (alive, mut dropped) = watch::channel(());
        let (name, limit) = (config.name, config.timeout);
        let refusals = Refusals::new(config.purpose);
        let prober = Prober::new(config, opened, breaker.clone());
        std::thread::Builder::new().name(name.into()).spawn(move || {
            runtime.block_on(async {
                let main = async {
                    main(prober).await;
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = main => {}
                    _ = dropped.changed() => {}
                }
            });
        })?;
        let slots = Arc::new(Semaphore::new(MAX_OPERATIONS));
        Ok(Arc::new(Self { runtime: handle, connections, breaker, refusals, slots, timeout: limit, _alive: alive }))
    }

    /// The circuit breaker.
    #[must_use]
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Does some work within the link's timeout. Where it takes longer, it goes on without anybody who waits.
    ///
    /// # Errors
    /// Why it was not done. Timeouts and broken connections count for the circuit breaker.
    pub async fn run<T, W, F>(&self, work: W) -> Result<T, LinkError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Connections>) -> F + Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        self.run_within(self.timeout, work).await
    }

    /// Does some work within a timeout of its own, for what no request waits for.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_within<T, W, F>(&self, limit: Duration, work: W) -> Result<T, LinkError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Connections>) -> F + Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        if self.breaker.is_open() {
            return Err(LinkError::Open);
        }
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| LinkError::Busy)?;
        let connections = self.connections.borrow().clone();
        let done = match connections {
            None => Err(LinkError::not_connected()),
            Some(connections) => {
                let task = self.runtime.spawn(async move {
                    let done = work(connections).await;
                    drop(slot);
                    done
                });
                match timeout(limit, task).await {
                    Ok(Ok(done)) => done.map_err(LinkError::from),
                    Ok(Err(_)) => Err(LinkError::not_connected()),
                    Err(_) => Err(LinkError::Timeout),
                }
            }
        };
        if let Err(LinkError::Refused(why)) = &done {
            self.refusals.log(why);
        }
        match &done {
            Err(error) if error.is_failure() => self.breaker.failed(error.as_str()),
            _ => self.breaker.succeeded(),
        }
        done
    }

    /// Does some work whose outcome nobody needs, if there is a connection.
    pub fn submit<T, W, F>(&self, work: W)
    where
        T: Send + 'static,
        W: FnOnce(Arc<Connections>) -> F + Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let connections = self.connections.borrow().clone();
        if let (Some(connections), Ok(slot)) = (connections, self.slots.clone().try_acquire_owned()) {
            self.runtime.spawn(async move {
                // nobody needs the outcome
                let _ = work(connections).await;
                drop(slot);
            });
        }
    }

    /// Runs a task on the link's thread. It ends with the link at the latest.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Waits at most so long until there is a connection, unless the circuit breaker is open. How long that took.
    pub async fn connected(&self, limit: Duration) -> Duration {
        if self.is_connected() || self.breaker.is_open() {
            return Duration::ZERO;
        }
        let began = Instant::now();
        let mut connections = self.connections.clone();
        // who has waited in vain is told so by the next operation
        let _ = timeout(limit, connections.wait_for(Option::is_some)).await;
        began.elapsed()
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connections.borrow().is_some()
    }
}
