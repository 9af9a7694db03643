//! The consumers of a ledger: what leaves the gateway behind it reads the journal from a position of its own, at least once and in
//! order. Each has a thread, so that none holds up the database's shipper, another consumer, or a request.

mod corrections;
mod progress;
mod sink;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use log::warn;
use tokio::sync::watch;

use crate::encoding;
use crate::ledger_journal::Journal;
use crate::metrics::LedgerMetrics;
use worker::{Order, Worker};

pub(crate) use progress::ConsumerProgress;
pub(crate) use sink::{Delivery, Sink, SinkConfig, SinkContext, SinkError};

/// How long a consumer may take to end. What it delivers then it gives up at once, and delivers again later.
const END: Duration = Duration::from_secs(20);

/// The consumers of one ledger.
#[derive(Debug)]
pub(crate) struct Consumers {
    metrics: Arc<LedgerMetrics>,
    /// Those of the configuration in force.
    wanted: Vec<SinkConfig>,
    /// The journal, while this process has it.
    journal: Option<Arc<Journal>>,
    running: Vec<Running>,
}

/// A consumer at work. Dropped, it ends by itself.
#[derive(Debug)]
struct Running {
    config: SinkConfig,
    orders: watch::Sender<Order>,
    /// Disconnected when its thread has ended.
    ended: Receiver<()>,
    progress: Arc<ConsumerProgress>,
}

impl Consumers {
    /// None.
    pub(crate) fn new(metrics: Arc<LedgerMetrics>) -> Self {
        Self { metrics, wanted: Vec::new(), journal: None, running: Vec::new() }
    }

    /// These are the consumers from now on. One whose settings have changed goes on from where it was.
    pub(crate) fn configure(&mut self, wanted: &[SinkConfig]) {
        if self.wanted == wanted && self.running.len() == wanted.len() {
            return;
        }
        self.wanted = wanted.to_vec();
        self.apply();
    }

    /// The journal is this process's: consumers may read it.
    pub(crate) fn begin(&mut self, journal: Arc<Journal>) {
        self.journal = Some(journal);
        self.apply();
    }

    /// Ends all of them at once, since another process gets the journal.
    ///
    /// # Errors
    /// That one does not end.
    pub(crate) fn pause(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + END;
        self.running.iter().for_each(Running::stop);
        for running in &self.running {
            if !running.has_ended(deadline) {
                return Err(format!("the consumer `{}` of the ledger does not end", running.config.name()));
            }
        }
        self.running.clear();
        self.journal = None;
        Ok(())
    }

    /// Lets them deliver what still waits, as far as that is possible until the deadline. The next start delivers the rest.
    pub(crate) fn finish(&mut self, deadline: Instant) {
        for running in &self.running {
            running.orders.send_replace(Order::Finish(deadline));
        }
        for running in &self.running {
            // a little longer: it notices the deadline itself
            if !running.has_ended(deadline + Duration::from_millis(200)) {
                warn!(consumer = running.config.name(); "a consumer of the ledger has not ended in time; the next start delivers what it has not");
            }
        }
        self.running.clear();
        self.journal = None;
    }

    /// Those at work, with how far behind each is.
    pub(crate) fn progress(&self) -> impl Iterator<Item = &ConsumerProgress> {
        self.running.iter().map(|running| &*running.progress)
    }

    /// Starts and ends consumers, until those at work are the wanted ones.
    fn apply(&mut self) {
        let Some(journal) = &self.journal else { return };
        let deadline = Instant::now() + END;
        let is_wanted = |running: &Running| self.wanted.contains(&running.config) && !running.has_ended(Instant::now());
        let (kept, gone): (Vec<_>, Vec<_>) = self.running.drain(..).partition(is_wanted);
        self.running = kept;
        gone.iter().for_each(Running::stop);
        let stuck: Vec<_> = gone.into_iter().filter(|running| !running.has_ended(deadline)).collect();
        for config in &self.wanted {
            let is_there = |running: &Running| running.config == *config;
            if self.running.iter().any(is_there) || stuck.iter().any(|stuck| stuck.config.name() == config.name()) {
                continue;
            }
            match Running::start(config, journal, &self.metrics) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    warn!(consumer = config.name(), error:%; "a consumer of the ledger cannot be started; a reload tries it again");
                }
            }
        }
        if let Err(error) = journal.keep_consumers(|name| self.wanted.iter().any(|config| config.name() == name)) {
            warn!(error:%; "the position of a former consumer of the ledger cannot be removed");
        }
    }
}

impl Running {
    fn start(config: &SinkConfig, journal: &Arc<Journal>, metrics: &Arc<LedgerMetrics>) -> std::io::Result<Self> {
        let consumer = journal.consumer(config.name(), encoding::decode)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, given) = watch::channel(Order::Go);
        let (ending, ended) = channel();
        let progress = Arc::new(ConsumerProgress::new(config.name(), journal));
        metrics.consumer_begins(config.name());
        let context = SinkContext { journal: journal.clone(), metrics: metrics.clone(), progress: progress.clone() };
        let worker = Worker::new(consumer, config.open(context), given, metrics.clone(), progress.clone());
        let run = move || {
            runtime.block_on(worker.run());
            // a sink that hangs does not hold up the end
            runtime.shutdown_background();
            drop(ending);
        };
        thread::Builder::new().name(config.name().to_owned()).spawn(run)?;
        Ok(Self { config: config.clone(), orders, ended, progress })
    }

    fn stop(&self) {
        self.orders.send_replace(Order::Stop);
    }

    fn has_ended(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod tests;
