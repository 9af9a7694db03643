//! The client's side of a WebSocket whose messages are read. Control frames pass at once, a message once it is whole and nothing
//! speaks against it, and a close frame behind all messages. Holds no more than one message and the bytes of one read.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use plugin_api::Budget;
use tokio::io::ReadBuf;
use websocket::{CloseCode, End, Event, FrameReader, Header, Opcode, ProtocolError, Sender, write_close, write_frame};

use super::message::{HoldError, Message, WholeMessage};

/// The client's side.
pub struct Inbound {
    reader: FrameReader,
    /// Bytes that have come and are yet to be read.
    inbox: BytesMut,
    /// Bytes that may go upstream. Those of messages hold their charge.
    ready: VecDeque<Bytes>,
    /// The control frame that is coming in, or the header of the next frame.
    frame: Vec<u8>,
    is_control: bool,
    /// What the header that has come last begins, if that may have to wait.
    begins: Option<Begins>,
    message: Message,
    /// The largest message.
    pub max: usize,
    /// What a message is charged to.
    budget: &'static Budget,
    /// How many bytes have been handed out that Pingora has not passed on yet.
    handed_out: usize,
    /// The client sends no more: it said so, or its side of the connection has ended.
    pub has_left: bool,
    /// Nothing more goes upstream.
    is_closed: bool,
}

/// What may have to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Message,
    /// The client's last frame.
    Close,
}

/// What may come in now. Pings and pongs always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Anything.
    Open,
    /// No message.
    NoMessage,
    /// No message, and no close frame, which would overtake the message that has come in before.
    NoClose,
}

/// What comes of the bytes in the inbox.
pub enum Step {
    /// More must come.
    Wanting,
    /// A frame of a message waits.
    Waiting,
    /// A message is whole.
    Whole(WholeMessage),
    /// The client breaks the protocol.
    Broken(ProtocolError),
    /// A message cannot be held.
    HoldError(HoldError),
}

impl Inbound {
    /// A client whose messages may be so large, and are charged to this.
    #[must_use]
    pub fn new(max: usize, budget: &'static Budget) -> Self {
        Self {
            reader: FrameReader::new(Sender::Client),
            inbox: BytesMut::new(),
            ready: VecDeque::new(),
            frame: Vec::new(),
            is_control: false,
            begins: None,
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

    /// Reads on, as far as anything may come in.
    pub fn step(&mut self, intake: Intake) -> Step {
        if self.is_closed {
            self.skip();
            return Step::Wanting;
        }
        loop {
            if self.begins.is_some_and(|begins| begins.waits(intake)) {
                return Step::Waiting;
            }
            self.begins = None;
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
                Some(Event::Payload(payload)) => self
                    .message
                    .append(&mut self.frame, Some(payload), self.budget, self.max)
                    .err()
                    .map(Step::HoldError),
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
        self.begins = match header.opcode {
            Opcode::Text | Opcode::Binary => Some(Begins::Message),
            Opcode::Close => Some(Begins::Close),
            Opcode::Continuation | Opcode::Ping | Opcode::Pong => None,
        };
        if self.is_control {
            return None;
        }
        self.message.begin_frame(&header, self.max).err().map(Step::HoldError)
    }

    fn frame_ends(&mut self, end: End) -> Option<Step> {
        if let End::Control(opcode) = end {
            self.has_left |= opcode == Opcode::Close;
            self.ready.push_back(std::mem::take(&mut self.frame).into());
            return None;
        }
        // a frame without a payload is held and charged like any other
        if let Err(why) = self.message.append(&mut self.frame, None, self.budget, self.max) {
            return Some(Step::HoldError(why));
        }
        let End::Message(_) = end else { return None };
        Some(Step::Whole(std::mem::take(&mut self.message).whole(self.budget)))
    }

    /// Whether a message has begun that is not whole.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        !self.is_closed && self.begins != Some(Begins::Message) && self.reader.is_within_message()
    }

    /// Reads on for the client's close frame alone.
    fn skip(&mut self) {
        let mut rest = &self.inbox[..];
        while let Ok(Some(event)) = self.reader.next(&mut rest) {
            self.has_left |= event == Event::End(End::Control(Opcode::Close));
        }
        self.inbox.clear();
    }

    /// A message goes upstream, or this text in its place.
    pub fn send(&mut self, message: WholeMessage, text: Option<&[u8]>) {
        if !self.is_closed {
            self.ready.push_back(message.into_frames(text));
        }
    }

    /// A text goes upstream that the client has not sent.
    pub fn send_own(&mut self, mask: [u8; 4], text: &[u8]) {
        if !self.is_closed {
            let mut frame = Vec::new();
            write_frame(&mut frame, Opcode::Text, Some(mask), text);
            self.ready.push_back(frame.into());
        }
    }

    /// Closes this side: the server gets a close frame, unless the client has sent one, and nothing after it.
    pub fn close(&mut self, mask: [u8; 4], code: CloseCode, reason: &str) {
        if !self.is_closed && !self.has_left {
            let mut frame = Vec::new();
            write_close(&mut frame, Some(mask), code, reason);
            self.ready.push_back(frame.into());
        }
        self.is_closed = true;
        self.message = Message::default();
        self.skip();
        self.inbox = BytesMut::new();
    }

    /// Hands out as much of what may go upstream as there is room for; `false` if there is nothing.
    pub fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        while buf.remaining() > 0
            && let Some(next) = self.ready.front_mut()
        {
            let count = next.len().min(buf.remaining());
            buf.put_slice(&next.split_to(count));
            if next.is_empty() {
                self.ready.pop_front();
            }
        }
        let count = buf.filled().len() - before;
        self.handed_out += count;
        count > 0
    }
}

impl Begins {
    fn waits(self, intake: Intake) -> bool {
        match self {
            Self::Message => intake != Intake::Open,
            Self::Close => intake == Intake::NoClose,
        }
    }
}
