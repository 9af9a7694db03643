//! What a client's HTTP/2 connection is watched for, frame by frame: a head that has begun and not ended is charged (RFC 9113 §6.10; the h2
//! crate holds its bytes), frames that bring nothing on are limited, and some that cannot be are named more precisely than the crate names them. It
//! changes no byte.

use std::convert::Infallible;

use plugin_api::Charge;
use tokio::time::Instant;

use crate::memory::HEADS;

use super::failure::Failure;
use super::h2_allowance::Allowance;
use super::h2_frames::{
    ACK, CONTINUATION, END_HEADERS, FrameHead, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

const PREFACE: usize = 24;

/// The most that the h2 crate keeps of a head, in `max_header`s: its limit is twice that, and it keeps undecoded bytes besides.
const KEPT: usize = 4;

/// Error codes (RFC 9113 §7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The setting of the windows of streams, which are at most this.
const INITIAL_WINDOW_SIZE: u16 = 4;
const LARGEST_WINDOW: u32 = u32::MAX >> 1;

/// Why a connection has to end, and the error code that its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Why.
    pub why: Failure,
    /// The code.
    pub code: u32,
}

impl Breach {
    fn of_frame(code: u32) -> Self {
        Self { why: Failure::InvalidFrame, code }
    }

    fn of_amount(why: Failure) -> Self {
        Self { why, code: ENHANCE_YOUR_CALM }
    }
}

/// What the gateway ends, and the error code that its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A stream.
    Stream(u32),
    /// The connection.
    Connection(u32),
}

/// The state of a connection.
pub struct H2Guard {
    max: usize,
    received: Frames,
    sent: Frames,
    /// Whether its first frame has come.
    began: bool,
    last_stream: u32,
    charge: Charge,
    allowance: Allowance,
    /// Whether a frame of the gateway's own was one too many.
    exhausted: bool,
    /// Whether the client has been told that the connection ends. A stop tells it twice (RFC 9113 §6.8).
    ending: bool,
}

impl H2Guard {
    /// A connection whose first byte, that of the preface, is yet to come, and whose heads may have `max` bytes.
    #[must_use]
    pub fn new(max: usize, now: Instant) -> Self {
        Self {
            max,
            received: Frames::behind(PREFACE),
            sent: Frames::behind(0),
            began: false,
            last_stream: 0,
            charge: HEADS.charge(),
            allowance: Allowance::new(now),
            exhausted: false,
            ending: false,
        }
    }

    /// Bytes have come from the client.
    ///
    /// # Errors
    /// [`Failure::HeadMemory`]: no memory is left for a head that is not whole yet. [`Failure::Flood`]: too many frames bring nothing on.
    /// [`Failure::InvalidFrame`]: a frame cannot be as it is.
    pub fn came(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Breach> {
        if self.exhausted {
            return Err(Breach::of_amount(Failure::Flood));
        }
        let Self { max, received, last_stream, charge, allowance, began, .. } = self;
        received.pass(bytes, |frame, payload| {
            if !std::mem::replace(began, true) && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
                // the rest of the preface (§3.4)
                return Err(Breach::of_frame(PROTOCOL_ERROR));
            }
            check(frame, payload)?;
            if matches!(frame.kind, HEADERS | CONTINUATION) {
                *last_stream = (*last_stream).max(frame.stream);
                if frame.flags & END_HEADERS == 0 {
                    charge.grow_to(KEPT * *max).map_err(|_| Breach::of_amount(Failure::HeadMemory))?;
                } else {
                    charge.settle(0);
                }
            }
            if allowance.received(frame, &now) { Ok(()) } else { Err(Breach::of_amount(Failure::Flood)) }
        })
    }

    /// Bytes have been written to the client. Tells each end in them.
    pub fn wrote(&mut self, bytes: &[u8], now: impl Fn() -> Instant, mut ended: impl FnMut(End)) {
        let Self { sent, allowance, exhausted, ending, .. } = self;
        let _ = sent.pass::<Infallible>(bytes, |frame, payload| {
            *exhausted |= !allowance.sent(frame, &now);
            match end(frame, payload) {
                Some(End::Connection(_)) if std::mem::replace(ending, true) => {}
                Some(end) => ended(end),
                None => {}
            }
            Ok(())
        });
    }

    /// The last stream that the client has opened.
    #[must_use]
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether a frame may be written to the client now.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.sent.is_between()
    }
}

/// Refuses frames of a size that they cannot have (§4.2), and a window that no stream has (§6.5.2).
fn check(frame: FrameHead, payload: &[u8]) -> Result<(), Breach> {
    let fits = match frame.kind {
        PING => frame.length == 8,
        RST_STREAM | WINDOW_UPDATE => frame.length == 4,
        PRIORITY => frame.length == 5,
        SETTINGS if frame.flags & ACK != 0 => frame.length == 0,
        SETTINGS => frame.length.is_multiple_of(6),
        _ => return Ok(()),
    };
    if !fits {
        return Err(Breach::of_frame(FRAME_SIZE_ERROR));
    }
    let is_too_large = |setting: &[u8]| match *setting {
        [a, b, c, d, e, f] => {
            u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE && u32::from_be_bytes([c, d, e, f]) > LARGEST_WINDOW
        }
        _ => false,
    };
    if frame.kind == SETTINGS && payload.chunks(6).any(is_too_large) {
        return Err(Breach::of_frame(FLOW_CONTROL_ERROR));
    }
    Ok(())
}

/// The end that a frame brings, unless its code is in another piece.
fn end(frame: FrameHead, payload: &[u8]) -> Option<End> {
    let code = |bytes: &[u8]| bytes.first_chunk().map(|code| u32::from_be_bytes(*code));
    match frame.kind {
        RST_STREAM => code(payload).map(End::Stream),
        GOAWAY => code(payload.get(4..)?).map(End::Connection),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    /// A connection whose preface has come, at a time that stands still.
    fn guard() -> (H2Guard, impl Fn() -> Instant) {
        let start = Instant::now();
        let mut guard = H2Guard::new(1000, start);
        guard.came(&[&[b'P'; PREFACE][..], &frame(SETTINGS, 0, 0)].concat(), || start).unwrap();
        (guard, move || start)
    }

    #[test]
    fn a_head_is_charged_while_it_is_not_whole_however_its_bytes_come() {
        let begun = [frame(HEADERS, 1, 300), frame(CONTINUATION, 0, 5)].concat();
        let ended = [frame(CONTINUATION, END_HEADERS, 7), frame(0, 1, 1000), frame(HEADERS, END_HEADERS, 2)].concat();
        for piece in [1, 2, 8, 9, 10, 100, 10_000] {
            let (mut guard, now) = guard();
            begun.chunks(piece).for_each(|bytes| guard.came(bytes, &now).unwrap());
            assert_eq!(guard.charge.bytes(), KEPT * 1000, "{piece}");
            ended.chunks(piece).for_each(|bytes| guard.came(bytes, &now).unwrap());
            assert_eq!((guard.charge.bytes(), guard.received.is_between()), (0, true), "{piece}");
            assert_eq!(guard.last_stream(), 1, "{piece}");
        }
    }

    #[test]
    fn a_flood_is_seen_in_what_comes_and_in_what_it_provokes() {
        let flood = Breach { why: Failure::Flood, code: ENHANCE_YOUR_CALM };
        let (mut flooded, now) = guard();
        let pings = frame(6, 0, 8).repeat(100);
        assert!((0..30).any(|_| flooded.came(&pings, &now) == Err(flood)));

        let (mut provoked, now) = guard();
        (0..300).for_each(|_| provoked.wrote(&frame(RST_STREAM, 0, 4), &now, |_| {}));
        assert_eq!(provoked.came(b"x", &now), Err(flood));
    }

    #[test]
    fn a_frame_that_cannot_be_is_named() {
        for (kind, flags, length, code) in [
            (PING, 0, 7, FRAME_SIZE_ERROR),
            (RST_STREAM, 0, 5, FRAME_SIZE_ERROR),
            (WINDOW_UPDATE, 0, 3, FRAME_SIZE_ERROR),
            (PRIORITY, 0, 4, FRAME_SIZE_ERROR),
            (SETTINGS, 0, 5, FRAME_SIZE_ERROR),
            (SETTINGS, ACK, 6, FRAME_SIZE_ERROR),
        ] {
            let (mut guard, now) = guard();
            assert_eq!(guard.came(&frame(kind, flags, length), &now), Err(Breach::of_frame(code)), "{kind} {length}");
        }
        let (mut guard, now) = guard();
        let window = [&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 4][..], &(1_u32 << 31).to_be_bytes()].concat();
        assert_eq!(guard.came(&window, &now), Err(Breach::of_frame(FLOW_CONTROL_ERROR)));
        let mut silent = H2Guard::new(1000, now());
        let no_settings = [&[b'P'; PREFACE][..], &frame(PING, 0, 8)].concat();
        assert_eq!(silent.came(&no_settings, &now), Err(Breach::of_frame(PROTOCOL_ERROR)));
    }

    #[test]
    fn what_the_gateway_ends_is_told_with_its_code() {
        let (mut guard, now) = guard();
        let mut told = Vec::new();
        let go_away = [&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0][..], &1_u32.to_be_bytes(), &11_u32.to_be_bytes()].concat();
        for bytes in [frame(RST_STREAM, 0, 4), frame(0, 0, 3), go_away.clone(), go_away] {
            guard.wrote(&bytes, &now, |end| told.push(end));
        }
        assert_eq!(told, [End::Stream(u32::MAX), End::Connection(11)]);
    }

    #[test]
    fn a_frame_may_be_written_only_behind_a_whole_one() {
        let (mut guard, now) = guard();
        let frame = frame(0, 0, 10);
        guard.wrote(&frame[..12], &now, |_| {});
        assert!(!guard.is_between_frames());
        guard.wrote(&frame[12..], &now, |_| {});
        assert!(guard.is_between_frames());
    }
}
