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
        let time = linger_time(self.last_rows, self.feed.interval(), self.last_read.is_recent(Instant::now()));
        tokio::select! {
            () = sleep(time) => {}
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

/// How long rows wait for others behind a batch of so many, where budgets ask for sums so often, and the dashboard is read or not.
fn linger_time(rows: usize, interval: Option<Duration>, is_read: bool) -> Duration {
    let asks_sooner = is_read || interval.is_some_and(|every| every < LONG_LINGER);
    if rows >= MANY && !asks_sooner { LONG_LINGER } else { LINGER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wait_long_where_they_are_many_and_nobody_asks_sooner() {
        let milliseconds = Duration::from_millis;
        for (rows, interval, is_read, time) in [
            (MANY, None, false, LONG_LINGER),
            (MANY, Some(milliseconds(500)), false, LONG_LINGER),
            (MANY, Some(milliseconds(499)), false, LINGER),
            (MANY, None, true, LINGER),
            (MANY - 1, None, false, LINGER),
        ] {
            assert_eq!(linger_time(rows, interval, is_read), time, "{rows} {interval:?} {is_read}");
        }
    }
}
