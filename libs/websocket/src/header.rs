//! The header of a frame: its bits, its opcode, its length and its mask.

use crate::ProtocolError;

/// The most bytes that a header has.
pub(crate) const LONGEST: usize = 14;
/// The longest payload of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// Who sends the frames: a client masks them, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// It goes on with the message of an earlier frame.
    Continuation,
    /// It begins a message of text.
    Text,
    /// It begins a message of bytes.
    Binary,
    /// The sender sends no more.
    Close,
    /// The receiver is asked for a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text in UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether it is a control frame, which may stand between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the frame is the last of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The key that its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// Bytes of its payload.
    pub length: u64,
}

impl Header {
    /// Bytes of the header that begins with these; at least 2, and 2 as long as not so many are known.
    pub(crate) fn size(start: &[u8]) -> usize {
        let Some(second) = start.get(1) else { return 2 };
        let length = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    /// Reads a header that has all of its bytes.
    ///
    /// # Errors
    /// That it breaks the protocol.
    pub(crate) fn parse(bytes: &[u8], sender: Sender) -> Result<Self, ProtocolError> {
        let (&[first, second], mut rest) = bytes.split_first_chunk().ok_or(ProtocolError::InvalidLength)?;
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(ProtocolError::ReservedOpcode)?;
        let fin = first & 0x80 != 0;
        let mut take = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(taken.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
        };
        let (length, shortest) = match second & 0x7F {
            126 => (take(2), 126),
            127 => (take(8), 1 << 16),
            short => (Some(u64::from(short)), 0),
        };
        let length =
            length.filter(|length| (shortest..1 << 63).contains(length)).ok_or(ProtocolError::InvalidLength)?;
        let mask = (second & 0x80 != 0).then(|| rest.first_chunk().copied()).flatten();
        match (sender, mask) {
            (Sender::Client, None) => return Err(ProtocolError::Unmasked),
            (Sender::Server, Some(_)) => return Err(ProtocolError::Masked),
            _ => {}
        }
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if opcode.is_control() && length > LONGEST_CONTROL {
            return Err(ProtocolError::LongControl);
        }
        Ok(Self { fin, opcode, mask, length })
    }
}
