//! A deadline that can be paused: the time during which it is paused does not count.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The deadline. It runs from the first time that it is polled.
#[derive(Debug, Default)]
pub struct PausableDeadline {
    sleep: Option<Pin<Box<Sleep>>>,
    /// How much time was left when it was paused, while it is.
    left: Option<Duration>,
}

impl PausableDeadline {
    /// Pauses it until it is polled again.
    pub fn pause(&mut self) {
        if let (Some(sleep), None) = (&self.sleep, self.left) {
            self.left = Some(sleep.deadline() - Instant::now());
        }
    }

    /// Lets it run, and waits for it. `limit` is how long it runs in all, if it has not begun.
    pub fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if let Some(left) = self.left.take() {
            sleep.as_mut().reset(Instant::now() + left);
        }
        sleep.as_mut().poll(cx)
    }

    /// Ends it. The next one begins anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn is_over_within(deadline: &mut PausableDeadline, time: Duration) -> bool {
        timeout(time, poll_fn(|cx| deadline.poll(LIMIT, cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_does_not_count_and_what_ran_before_it_does() {
        let mut deadline = PausableDeadline::default();
        deadline.pause();
        assert!(!is_over_within(&mut deadline, LIMIT * 6 / 10).await);
        deadline.pause();
        tokio::time::sleep(LIMIT).await;
        // it is paused once, however often that is said
        deadline.pause();
        assert!(!is_over_within(&mut deadline, LIMIT * 3 / 10).await);
        assert!(is_over_within(&mut deadline, LIMIT * 2 / 10).await);
        deadline.clear();
        assert!(!is_over_within(&mut deadline, LIMIT * 9 / 10).await);
        assert!(is_over_within(&mut deadline, LIMIT * 2 / 10).await);
    }
}
