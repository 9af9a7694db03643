//! One consumer at work: reads batches, delivers each until its sink has taken it, and moves the position behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{Consumed, Consumer};
use log::{error, info, warn};
use plugin_api::LogLimit;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::corrections::merge;
use super::{ConsumerProgress, Delivery, Sink, SinkError};
use crate::Record;
use crate::metrics::LedgerMetrics;
use crate::shipper::{Backoff, Outage};

/// The most records of a batch, and about how many bytes of the journal are read for it.
const ROWS: usize = 512;
const BYTES: usize = 4 << 20;
/// How often to look for new records. Nothing wakes a consumer, so that nothing of it is in a request's way.
const LOOK: Duration = Duration::from_secs(1);

/// The longest pause that the other side may ask for. It may be wrong, and rows wait meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What a consumer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Go,
    /// Deliver what there is until then, and end.
    Finish(Instant),
    /// End now. What is not delivered is read again.
    Stop,
}

/// The consumer.
pub(super) struct Worker {
    consumer: Consumer<Record>,
    sink: Box<dyn Sink>,
    orders: watch::Receiver<Order>,
    metrics: Arc<LedgerMetrics>,
    progress: Arc<ConsumerProgress>,
    backoff: Backoff,
    outage: Outage,
}

/// The consumer must end.
struct MustEnd;

impl Worker {
    pub(super) fn new(
        consumer: Consumer<Record>,
        sink: Box<dyn Sink>,
        orders: watch::Receiver<Order>,
        metrics: Arc<LedgerMetrics>,
        progress: Arc<ConsumerProgress>,
    ) -> Self {
        let (backoff, outage) = (Backoff::default(), Outage::default());
        Self { consumer, sink, orders, metrics, progress, backoff, outage }
    }

    /// Consumes until it is ordered to end.
    pub(super) async fn run(mut self) {
        while let Ok(more) = self.round().await {
            if !more {
                if *self.orders.borrow() != Order::Go {
                    return;
                }
                self.rest().await;
            }
        }
    }

    /// Reads a batch and delivers it. Whether there may be more at once.
    async fn round(&mut self) -> Result<bool, MustEnd> {
        let is_ending = *self.orders.borrow() != Order::Go;
        let Consumed { records, from, to, more, .. } = self.read().await?;
        let records = if self.sink.merges_corrections() { merge(records) } else { records };
        let is_empty = records.is_empty();
        if !is_empty {
            self.progress.takes(&records);
            let delivery = Delivery { records, from, to };
            self.until_done(async |sink| sink.deliver(&delivery).await).await?;
            self.metrics.consumed(self.consumer.name(), delivery.records.len() as u64);
        }
        if is_empty || (is_ending && !more) {
            self.until_done(async |sink| sink.idle(is_ending && !more).await).await?;
        }
        if let Err(error) = self.consumer.commit() {
            static UNNOTED: LogLimit<String> = LogLimit::new();
            if let Some(suppressed) = UNNOTED.pass(self.consumer.name().to_owned()) {
                warn!(consumer = self.consumer.name(), error:%, suppressed; "a consumer of the ledger cannot note how far it is; a restart delivers some rows again");
            }
        }
        self.progress.has_taken_all();
        Ok(more)
    }

    /// The next batch, however often it takes to read it.
    async fn read(&mut self) -> Result<Consumed<Record>, MustEnd> {
        loop {
            let sink = &self.sink;
            match self.consumer.next_batch(ROWS, BYTES, |entry| sink.wants(entry)) {
                Ok(batch) => {
                    self.count_lost(batch.lost);
                    return Ok(batch);
                }
                Err(error) => {
                    self.failed(SinkError { kind: "journal", why: error.to_string(), retry_after: None }).await?;
                }
            }
        }
    }

    /// Has the sink do something until it succeeds.
    async fn until_done(
        &mut self,
        mut what: impl AsyncFnMut(&mut dyn Sink) -> Result<(), SinkError>,
    ) -> Result<(), MustEnd> {
        loop {
            let done = tokio::select! {
                done = what(&mut *self.sink) => done,
                () = time_is_up(&mut self.orders) => return Err(MustEnd),
            };
            let Err(error) = done else { break };
            self.failed(error).await?;
        }
        self.backoff.reset();
        if let Some(seconds) = self.outage.end(Instant::now()) {
            info!(consumer = self.consumer.name(), seconds; "a consumer of the ledger delivers again");
        }
        Ok(())
    }

    /// Tells of a failure, and waits before the next attempt.
    async fn failed(&mut self, SinkError { kind, why, retry_after }: SinkError) -> Result<(), MustEnd> {
        let consumer = self.consumer.name();
        self.metrics.consumer_failed(consumer, kind);
        if let Some(seconds) = self.outage.goes_on(Instant::now()) {
            let waiting = self.progress.lag_rows();
            warn!(consumer, kind, why, waiting, seconds; "a consumer of the ledger cannot deliver; rows wait for it in the journal");
        }
        if *self.orders.borrow() != Order::Go {
            // the next start goes on; a collector that is down does not hold up the end
            return Err(MustEnd);
        }
        let pause = pause(self.backoff.next(), retry_after);
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.orders.wait_for(|order| *order != Order::Go) => {}
        }
        Ok(())
    }

    fn count_lost(&self, lost: u64) {
        if lost > 0 {
            let consumer = self.consumer.name();
            self.metrics.consumer_lost(consumer, lost);
            error!(consumer, rows = lost; "a consumer of the ledger has lost rows: the journal could not keep them for it, or they are damaged");
        }
    }

    /// Waits until it is time to look for new records, or for what else to do.
    async fn rest(&mut self) {
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = self.orders.wait_for(|order| *order != Order::Go) => {}
        }
    }
}

/// How long to wait after a failure, by this pause of our own and the one that the other side asks for.
fn pause(own: Duration, asked: Option<Duration>) -> Duration {
    own.max(asked.unwrap_or_default().min(LONGEST_PAUSE))
}

/// Waits until the consumer must end.
async fn time_is_up(orders: &mut watch::Receiver<Order>) {
    // it must where nobody is there any more who orders
    let Ok(order) = orders.wait_for(|order| *order != Order::Go).await.map(|order| *order) else { return };
    if let Order::Finish(deadline) = order {
        let stopped = async { drop(orders.wait_for(|order| *order == Order::Stop).await) };
        tokio::select! {
            () = sleep_until(deadline.into()) => {}
            () = stopped => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_may_ask_for_a_longer_pause_within_a_bound() {
        let seconds = Duration::from_secs;
        for (asked, waited) in [(None, 5), (Some(2), 5), (Some(60), 60), (Some(u64::MAX), 300)] {
            assert_eq!(pause(seconds(5), asked.map(seconds)), seconds(waited), "{asked:?}");
        }
    }
}
