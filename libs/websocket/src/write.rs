//! Writes whole frames.

use crate::{Opcode, mask};

/// Why a connection is closed, as a close frame says it (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// 1001: an end goes away, as a server does that stops.
    GoingAway,
    /// 1002: the other end broke the protocol.
    ProtocolError,
    /// 1008: the other end did what it may not do.
    PolicyViolation,
    /// 1009: a message is larger than it may be.
    TooBig,
    /// 1013: there is no room now.
    TryAgainLater,
}

impl CloseCode {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::PolicyViolation => 1008,
            Self::TooBig => 1009,
            Self::TryAgainLater => 1013,
        }
    }
}

/// Appends a frame that is a whole message, or a control frame; of the latter no more than 125 bytes of payload are written. A client
/// gives the key to mask it with.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) {
    let payload = if opcode.is_control() { &payload[..payload.len().min(125)] } else { payload };
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.reserve(payload.len() + crate::header::LONGEST);
    out.push(0x80 | opcode.bits());
    match payload.len() {
        // cannot be cut: each fits
        length @ ..126 => out.push(masked | length as u8),
        length @ 126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |mask| &mask[..]));
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(&mut out[start..], key, 0);
    }
}

/// Appends a close frame with a reason, which is cut at 123 bytes.
pub fn write_close(out: &mut Vec<u8>, mask: Option<[u8; 4]>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(123)];
    let payload = [&code.number().to_be_bytes(), reason.as_bytes()].concat();
    write_frame(out, Opcode::Close, mask, &payload);
}
