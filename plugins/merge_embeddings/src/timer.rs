//! A timer for windows of a few milliseconds. The runtime's own counts whole milliseconds, and rings up to two of them late.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time;

/// Returns after this time. Costs a file descriptor meanwhile; where there is none left, the runtime's timer stands in.
pub(crate) async fn sleep(time: Duration) {
    if precise(time).await.is_none() {
        time::sleep(time).await;
    }
}

#[expect(deprecated, reason = "sound, as it owns the descriptor; what stands in for it is unsafe")]
async fn precise(time: Duration) -> Option<()> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).ok()?;
    timer.set(Expiration::OneShot(TimeSpec::from(time)), TimerSetTimeFlags::empty()).ok()?;
    let timer = AsyncFd::with_interest(OwnedFd::from(timer), Interest::READABLE).ok()?;
    // it is dropped, so nobody needs to read how often it rang
    timer.readable().await.ok().map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_millisecond_is_not_two() {
        // the machine may be busy with other things; the runtime's own timer takes 1.5 ms on average
        let mut quickest = Duration::MAX;
        for _ in 0..20 {
            let began = Instant::now();
            sleep(Duration::from_micros(300)).await;
            quickest = quickest.min(began.elapsed());
        }
        assert!(quickest >= Duration::from_micros(300) && quickest < Duration::from_micros(800), "{quickest:?}");
    }
}
