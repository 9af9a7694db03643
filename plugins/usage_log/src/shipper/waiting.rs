//! What the shipper waits for between two batches: rows, others to come with them, or a database that answers again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{ROWS, Shipper};

/// How long a row may wait for others to come with it: a batch costs as much as some dozens of rows, for the pages that it changes, and
/// those are the same ones in the next.
const LINGER: Duration = Duration::from_millis(100);
/// The same where a batch has many rows and nobody reads them.
const LONG_LINGER: Duration = Duration::from_millis(500);
/// So many rows are many.
const MANY: usize = 20;

impl Shipper {
    /// Waits for something to ship, and a little for more.
    pub(super) async fn rest(&mut self) {
        let journal = self.reader.journal().clone();
        tokio::select! {
            () = journal.appended(1) => {}
            () = self.querying.due(&self.feed) => return,
            _ = self.shipping.changed() => {}
        }
        self.progress.note();
        self.last_rows = 0;
        self.linger().await;
    }

    /// Waits a little for more.
    pub(super) async fn linger(&mut self) {
        if self.is_ending() {
            return;
        }
        let journal = self.reader.journal().clone();
        // budgets that ask more often see rows sooner
        let may_be_long = self.feed.interval().is_none_or(|every| every >= LONG_LINGER);
        let is_long = self.last_rows >= MANY && may_be_long && !self.last_read.is_recent(Instant::now());
        tokio::select! {
            () = sleep(if is_long { LONG_LINGER } else { LINGER }) => {}
            () = journal.appended(ROWS as u64) => {}
            _ = self.shipping.changed() => {}
        }
    }

    /// Waits before the next attempt.
    pub(super) async fn back_off(&mut self) {
        let pause = self.backoff.next();
        // new shipping may name a database that answers
        tokio::select! {
            () = sleep(pause) => {}
            _ = self.shipping.changed() => {}
        }
    }
}
