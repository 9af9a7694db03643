//! The client's side of a WebSocket whose messages are read. Control frames pass at once, a message once it is whole and nothing
//! speaks against it. Holds no more than one message and the bytes of one read.

use bytes::{Buf, Bytes, BytesMut};
use plugin_api::{Budget, Charge, Shortage};
use tokio::io::ReadBuf;
use websocket::{CloseCode, End, Event, FrameReader, Header, Opcode, ProtocolError, Sender, write_close, write_frame};

/// The step in which held bytes are charged; as many are free, because a connection takes as much anyway.
const CHARGE_STEP: usize = 64 << 10;
/// What the frames of a message may have besides twice the bytes of the largest: a message may come in many fragments.
const MOST_FRAMING: usize = 64 << 10;

/// The client's side.
pub struct Inbound {
    reader: FrameReader,
    /// Bytes that have come and are yet to be read.
    inbox: BytesMut,
    /// Bytes that may go upstream.
    ready: BytesMut,
    /// The control frame that is coming in, or the header of the next frame.
    frame: Vec<u8>,
    is_control: bool,
    /// The first frame of a message has come as far as its header.
    message_begins: bool,
    message: Message,
    /// The largest message.
    max: usize,
    /// What a message is charged to.
    budget: &'static Budget,
    /// How many bytes have been handed out that Pingora has not passed on yet.
    handed_out: usize,
    /// The client sends no more: it said so, or its side of the connection has ended.
    pub has_left: bool,
    /// Nothing more goes upstream.
    is_closed: bool,
}

/// The message that is coming in.
#[derive(Default)]
struct Message {
    /// Its frames as they came.
    frames: Vec<u8>,
    /// Its payload without masks.
    payload: Vec<u8>,
    /// The last key that the client has masked with.
    mask: [u8; 4],
    charge: Option<Charge>,
}

impl Message {
    /// Takes so many bytes more, which are charged first, with those that have come of its frame.
    fn take(&mut self, frame: &mut Vec<u8>, more: usize, budget: &'static Budget, max: usize) -> Result<(), Step> {
        let frames = self.frames.len() + frame.len() + more;
        if frames > max.saturating_mul(2).saturating_add(MOST_FRAMING) {
            return Err(Step::TooLarge);
        }
        let held = frames + self.payload.len() + more;
        let charge = self.charge.get_or_insert_with(|| budget.charge());
        charge.cover(held.saturating_sub(CHARGE_STEP), CHARGE_STEP).map_err(Step::NoRoom)?;
        self.frames.append(frame);
        Ok(())
    }
}

/// A whole message.
pub struct Whole {
    /// Its frames as they came.
    pub frames: Vec<u8>,
    /// Its payload.
    pub payload: Bytes,
    /// A key to mask another in its place with.
    pub mask: [u8; 4],
    /// The memory that it takes.
    _charge: Charge,
}

/// What comes of the bytes in the inbox.
pub enum Step {
    /// More must come.
    Wanting,
    /// A frame of a message waits.
    Waiting,
    /// A message is whole.
    Whole(Whole),
    /// The client breaks the protocol.
    Broken(ProtocolError),
    /// A message is larger than it may be.
    TooLarge,
    /// There is no memory for a message.
    NoRoom(Shortage),
}

impl Inbound {
    /// A client whose messages may be so large, and are charged to this.
    #[must_use]
    pub fn new(max: usize, budget: &'static Budget) -> Self {
        Self {
            reader: FrameReader::new(Sender::Client),
            inbox: BytesMut::new(),
            ready: BytesMut::new(),
            frame: Vec::new(),
            is_control: false,
            message_begins: false,
            message: Message::default(),
            max,
            budget,
            handed_out: 0,
            has_left: false,
            is_closed: false,
        }
    }

    /// Bytes have come from the client.
    pub fn came(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Bytes that Pingora is about to send upstream. Those that it had read before this side was looked at go through here first.
    pub fn passes(&mut self, bytes: Bytes) -> Bytes {
        if let Some(left) = self.handed_out.checked_sub(bytes.len()) {
            self.handed_out = left;
            return bytes;
        }
        self.came(&bytes);
        Bytes::new()
    }

    /// Reads on. A message is begun only with `takes_messages`.
    pub fn step(&mut self, takes_messages: bool) -> Step {
        if self.is_closed {
            self.skip();
            return Step::Wanting;
        }
        loop {
            if self.message_begins && !takes_messages {
                return Step::Waiting;
            }
            self.message_begins = false;
            let mut rest = &self.inbox[..];
            let event = match self.reader.next(&mut rest) {
                Ok(event) => event,
                Err(error) => return Step::Broken(error),
            };
            let taken = self.inbox.len() - rest.len();
            let step = match event {
                None => {
                    self.frame.extend_from_slice(&self.inbox[..taken]);
                    Some(Step::Wanting)
                }
                Some(Event::Frame(header)) => {
                    self.frame.extend_from_slice(&self.inbox[..taken]);
                    self.frame_begins(header)
                }
                Some(Event::Payload(payload)) if self.is_control => {
                    self.frame.extend_from_slice(payload.bytes);
                    None
                }
                Some(Event::Payload(payload)) => {
                    match self.message.take(&mut self.frame, taken, self.budget, self.max) {
                        Ok(()) => {
                            self.message.frames.extend_from_slice(payload.bytes);
                            payload.append_to(&mut self.message.payload);
                            None
                        }
                        Err(step) => Some(step),
                    }
                }
                Some(Event::End(end)) => self.frame_ends(end),
            };
            self.inbox.advance(taken);
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn frame_begins(&mut self, header: Header) -> Option<Step> {
        self.is_control = header.opcode.is_control();
        if header.opcode == Opcode::Close {
            self.has_left = true;
        }
        if self.is_control {
            return None;
        }
        self.message.mask = header.mask.unwrap_or_default();
        self.message_begins = header.opcode != Opcode::Continuation;
        let more = usize::try_from(header.length).unwrap_or(usize::MAX);
        (self.message.payload.len().saturating_add(more) > self.max).then_some(Step::TooLarge)
    }

    fn frame_ends(&mut self, end: End) -> Option<Step> {
        if let End::Control(_) = end {
            self.ready.extend_from_slice(&self.frame);
            self.frame.clear();
            return None;
        }
        // a frame without a payload is held and charged like any other
        if let Err(step) = self.message.take(&mut self.frame, 0, self.budget, self.max) {
            return Some(step);
        }
        let End::Message(_) = end else { return None };
        let Message { frames, payload, mask, charge } = std::mem::take(&mut self.message);
        let charge = charge.unwrap_or_else(|| self.budget.charge());
        Some(Step::Whole(Whole { frames, payload: payload.into(), mask, _charge: charge }))
    }

    /// Whether a message has begun that is not whole.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        !self.is_closed && !self.message_begins && self.reader.is_within_message()
    }

    /// Reads on for the client's close frame alone.
    fn skip(&mut self) {
        let mut rest = &self.inbox[..];
        while let Ok(Some(event)) = self.reader.next(&mut rest) {
            self.has_left |= matches!(event, Event::Frame(header) if header.opcode == Opcode::Close);
        }
        self.inbox.clear();
    }

    /// A message goes upstream as it came.
    pub fn send(&mut self, message: &Whole) {
        if !self.is_closed {
            self.ready.extend_from_slice(&message.frames);
        }
    }

    /// Another text goes upstream in the place of a message, or one that the client has not sent.
    pub fn send_text(&mut self, mask: [u8; 4], text: &[u8]) {
        if !self.is_closed {
            let mut frame = Vec::new();
            write_frame(&mut frame, Opcode::Text, Some(mask), text);
            self.ready.extend_from_slice(&frame);
        }
    }

    /// Closes this side: the server gets a close frame, unless the client has sent one, and nothing after it.
    pub fn close(&mut self, mask: [u8; 4], code: CloseCode, reason: &str) {
        if !self.is_closed && !self.has_left {
            let mut frame = Vec::new();
            write_close(&mut frame, Some(mask), code, reason);
            self.ready.extend_from_slice(&frame);
        }
        self.is_closed = true;
        (self.message, self.inbox) = (Message::default(), BytesMut::new());
    }

    /// Hands out as much of what may go upstream as there is room for; `false` if there is nothing.
    pub fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.len().min(buf.remaining());
        if count == 0 {
            return false;
        }
        buf.put_slice(&self.ready[..count]);
        self.ready.advance(count);
        self.handed_out += count;
        true
    }
}
