//! What makes bytes no frames of a WebSocket.

use std::error::Error;
use std::fmt;

/// Why a connection must be closed with 1002: its bytes break RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A reserved bit is set, although no extension is agreed on.
    ReservedBit,
    /// The opcode has no meaning.
    ReservedOpcode,
    /// A client's frame has no mask.
    Unmasked,
    /// A server's frame has a mask.
    Masked,
    /// A control frame is a fragment.
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    LongControl,
    /// A length is not written in the shortest form, or has more than 63 bits.
    InvalidLength,
    /// A frame continues a message where none has begun.
    UnexpectedContinuation,
    /// A message begins within another.
    UnfinishedMessage,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBit => "a reserved bit is set",
            Self::ReservedOpcode => "the opcode is reserved",
            Self::Unmasked => "a frame of the client is not masked",
            Self::Masked => "a frame of the server is masked",
            Self::FragmentedControl => "a control frame is fragmented",
            Self::LongControl => "a control frame is longer than 125 bytes",
            Self::InvalidLength => "a length is not in its shortest form",
            Self::UnexpectedContinuation => "a frame continues no message",
            Self::UnfinishedMessage => "a message begins within another",
        })
    }
}

impl Error for ProtocolError {}
