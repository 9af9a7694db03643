//! How many frames an HTTP/2 client may send that bring nothing on: a leaky bucket, filled by answers and by time. A request that is answered
//! pays for itself and for what comes with it; a flood of frames that lead to no answer runs dry.

use std::time::Duration;

use tokio::time::Instant;

use super::h2_frames::{DATA, FrameHead, HEADERS, PADDED, RST_STREAM};

/// The frames that may be ahead of what pays for them.
const MOST: usize = 2000;
/// The frames for which each second pays.
const PER_SECOND: u32 = 200;

/// A stream that ends before its answer has cost more than a frame.
const RESET: usize = 8;
/// The head of an answer pays for its stream, a reset of it included.
const ANSWER: usize = 8;
/// The bytes of data that a frame from the client has if it costs nothing.
const FREE_DATA: usize = 64;
/// The bytes to the client that pay for a frame.
const BYTES_OUT: usize = 1024;

/// What is left of it.
#[derive(Debug)]
pub struct Allowance {
    left: usize,
    /// Until when time has paid.
    paid: Instant,
}

impl Allowance {
    /// A whole one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { left: MOST, paid: now }
    }

    /// A frame came from the client. `false` if there was nothing left to pay for it. The clock is read only where the rest does not do.
    pub fn received(&mut self, frame: FrameHead, now: impl FnOnce() -> Instant) -> bool {
        match frame.kind {
            // an upload pays for itself and for nothing else; padding brings nothing
            DATA if frame.flags & PADDED == 0 && frame.length >= FREE_DATA => return true,
            RST_STREAM => return self.spend(RESET, now),
            _ => {}
        }
        self.spend(1, now)
    }

    /// A frame goes to the client. `false` if there was nothing left to pay for it.
    pub fn sent(&mut self, frame: FrameHead, now: impl FnOnce() -> Instant) -> bool {
        match frame.kind {
            HEADERS => self.earn(ANSWER),
            DATA => self.earn(1 + frame.length / BYTES_OUT),
            RST_STREAM => return self.spend(RESET, now),
            _ => {}
        }
        true
    }

    fn earn(&mut self, frames: usize) {
        self.left = (self.left + frames).min(MOST);
    }

    fn spend(&mut self, frames: usize, now: impl FnOnce() -> Instant) -> bool {
        if self.left < frames {
            let now = now();
            let seconds = now.saturating_duration_since(self.paid);
            self.paid = now;
            self.earn(worth(seconds));
        }
        let enough = self.left >= frames;
        self.left = self.left.saturating_sub(frames);
        enough
    }
}

fn worth(time: Duration) -> usize {
    let frames = time.as_millis().saturating_mul(u128::from(PER_SECOND)) / 1000;
    usize::try_from(frames).unwrap_or(usize::MAX).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> FrameHead {
        FrameHead { length, kind, flags: 0, stream: 1 }
    }

    /// How often this can be done, up to a bound.
    fn times(mut once: impl FnMut(&mut Allowance) -> bool) -> usize {
        let mut allowance = Allowance::new(Instant::now());
        (0..100_000).take_while(|_| once(&mut allowance)).count()
    }

    #[test]
    fn frames_that_bring_nothing_run_dry() {
        let now = Instant::now();
        for kind in [PING, 4, WINDOW_UPDATE, 2, 9, 200] {
            assert_eq!(times(|allowance| allowance.received(frame(kind, 0), || now)), MOST);
        }
        assert_eq!(times(|allowance| allowance.received(frame(DATA, 0), || now)), MOST, "empty data");
        assert_eq!(
            times(|allowance| allowance.received(FrameHead { flags: PADDED, ..frame(DATA, 256) }, || now)),
            MOST,
            "padding"
        );
        let opened_and_reset = |allowance: &mut Allowance| {
            allowance.received(frame(HEADERS, 20), || now) && allowance.received(frame(RST_STREAM, 4), || now)
        };
        assert_eq!(times(opened_and_reset), MOST / (1 + RESET));
        let cancelled_with_a_body = |allowance: &mut Allowance| {
            let call = [frame(HEADERS, 20), frame(DATA, 16 << 10), frame(RST_STREAM, 4)];
            call.into_iter().all(|frame| allowance.received(frame, || now))
        };
        assert_eq!(times(cancelled_with_a_body), MOST / (1 + RESET));
        let opened_and_provoked = |allowance: &mut Allowance| {
            allowance.received(frame(HEADERS, 20), || now)
                && allowance.received(frame(WINDOW_UPDATE, 4), || now)
                && allowance.sent(frame(RST_STREAM, 4), || now)
        };
        assert_eq!(times(opened_and_provoked), MOST / (2 + RESET));
    }

    #[test]
    fn whoever_is_answered_may_go_on_for_ever() {
        let never = || unreachable!("no clock is needed");
        let calls = |allowance: &mut Allowance| {
            [frame(HEADERS, 50), frame(DATA, 300), frame(WINDOW_UPDATE, 4), frame(RST_STREAM, 4)]
                .into_iter()
                .all(|frame| allowance.received(frame, never))
                && allowance.sent(frame(HEADERS, 50), never)
                && allowance.sent(frame(DATA, 2000), never)
        };
        assert_eq!(times(calls), 100_000, "a call that is cancelled in its answer");
        let upload = |allowance: &mut Allowance| allowance.received(frame(DATA, 64), never);
        assert_eq!(times(upload), 100_000, "an upload in small pieces");
        let download = |allowance: &mut Allowance| {
            allowance.sent(frame(DATA, 16 << 10), never)
                && (0..8).all(|_| allowance.received(frame(WINDOW_UPDATE, 4), never))
        };
        assert_eq!(times(download), 100_000, "a download whose windows are small");
    }

    #[test]
    fn time_pays_but_no_more_than_the_whole() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let ping = frame(PING, 8);
        while allowance.received(ping, || start) {}
        let later = start + Duration::from_secs(1);
        let count =
            |allowance: &mut Allowance, now| (0..10_000).take_while(|_| allowance.received(ping, || now)).count();
        assert_eq!(count(&mut allowance, later), 200);
        assert_eq!(count(&mut allowance, later + Duration::from_secs(3600)), MOST);
    }
}
