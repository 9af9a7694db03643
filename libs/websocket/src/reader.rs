//! Reads frames from one side of a connection, in pieces of any size. Keeps a header that is not whole, and no payload.

#[cfg(test)]
mod tests;

use crate::header::LONGEST;
use crate::{Header, Kind, Opcode, ProtocolError, Sender, mask};

/// The reader of one side's frames.
#[derive(Clone, Debug)]
pub struct FrameReader {
    sender: Sender,
    /// The header of the next frame, as far as it has come.
    head: [u8; LONGEST],
    has: usize,
    frame: Option<Frame>,
    message: Option<Kind>,
}

/// The frame that is coming in.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    read: u64,
}

/// What comes next in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame begins.
    Frame(Header),
    /// Bytes of its payload.
    Payload(Payload<'a>),
    /// It is over.
    End(End),
}

/// What is over with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A control frame.
    Control(Opcode),
    /// A fragment of a message that goes on.
    Fragment,
    /// A message.
    Message(Kind),
}

/// Bytes of a payload as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The bytes, masked where the sender is a client.
    pub bytes: &'a [u8],
    mask: Option<[u8; 4]>,
    /// Their place in the frame's payload.
    at: u64,
}

impl Payload<'_> {
    /// Appends them without their mask.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.bytes);
        if let Some(key) = self.mask {
            mask::apply(&mut out[start..], key, self.at);
        }
    }
}

impl FrameReader {
    /// A reader of the frames of this side.
    #[must_use]
    pub fn new(sender: Sender) -> Self {
        Self { sender, head: [0; LONGEST], has: 0, frame: None, message: None }
    }

    /// The next event in these bytes, which it takes off their front; `None` once there are none left.
    ///
    /// # Errors
    /// That the sender breaks the protocol. The bytes of the header at fault have been taken, and nothing more can be read.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        let Some(frame) = &mut self.frame else { return self.header(bytes) };
        let left = frame.header.length - frame.read;
        if left == 0 {
            let header = frame.header;
            self.frame = None;
            return Ok(Some(Event::End(self.end(header))));
        }
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, behind) = bytes.split_at(count);
        if payload.is_empty() {
            return Ok(None);
        }
        *bytes = behind;
        let payload = Payload { bytes: payload, mask: frame.header.mask, at: frame.read };
        frame.read += count as u64;
        Ok(Some(Event::Payload(payload)))
    }

    /// Whether a control frame may come next: no frame is under way.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.frame.is_none() && self.has == 0
    }

    /// Whether a message has begun that has not ended.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// Whether a message may come next: neither a frame nor a message is under way.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.is_between_frames() && !self.is_within_message()
    }

    fn header<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            let size = Header::size(&self.head[..self.has]);
            let count = (size - self.has).min(bytes.len());
            let (taken, behind) = bytes.split_at(count);
            self.head[self.has..self.has + count].copy_from_slice(taken);
            (*bytes, self.has) = (behind, self.has + count);
            if self.has < size {
                return Ok(None);
            }
            // the second byte says how long it really is
            if Header::size(&self.head[..self.has]) == self.has {
                break;
            }
        }
        let header = Header::parse(&self.head[..std::mem::take(&mut self.has)], self.sender)?;
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::UnfinishedMessage),
            (Opcode::Text, None) => self.message = Some(Kind::Text),
            (Opcode::Binary, None) => self.message = Some(Kind::Binary),
            _ => {}
        }
        self.frame = Some(Frame { header, read: 0 });
        Ok(Some(Event::Frame(header)))
    }

    fn end(&mut self, header: Header) -> End {
        if header.opcode.is_control() {
            return End::Control(header.opcode);
        }
        match self.message.take_if(|_| header.fin) {
            Some(kind) => End::Message(kind),
            None => End::Fragment,
        }
    }
}
