//! The server's side of a WebSocket. Its bytes pass as they come, and frames of the gateway's own are put between its messages.

use bytes::{Bytes, BytesMut};
use websocket::{CloseCode, End, Event, FrameReader, Opcode, ProtocolError, Sender, write_close, write_frame};

/// The server's side.
pub struct Outbound {
    reader: FrameReader,
    is_control: bool,
    /// Frames that wait for a place between two messages.
    queued: Vec<u8>,
    /// What of them is on its way to the client while the server is silent.
    outbox: Vec<u8>,
    closing: Closing,
    /// The server sends no more: it said so.
    pub has_left: bool,
    /// Its bytes are no frames: where they end is not known, and nothing can be put between them.
    is_broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Open,
    /// The last of the queued frames closes the connection.
    Queued,
    /// It has its place: nothing more of the server goes to the client.
    Placed,
}

/// What is seen of the server's messages.
pub trait Observer {
    /// Bytes of a message.
    fn payload(&mut self, bytes: Bytes);
    /// The message is over.
    fn end(&mut self);
}

impl Outbound {
    /// A server of which nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reader: FrameReader::new(Sender::Server),
            is_control: false,
            queued: Vec::new(),
            outbox: Vec::new(),
            closing: Closing::Open,
            has_left: false,
            is_broken: false,
        }
    }

    /// Bytes of the gateway's own that the client has not taken yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queued.len() + self.outbox.len()
    }

    /// An event of the gateway's own goes to the client.
    pub fn send_text(&mut self, text: &str) {
        if self.closing == Closing::Open {
            write_frame(&mut self.queued, Opcode::Text, None, text.as_bytes());
        }
    }

    /// Closes the connection: a close frame is the last that goes to the client, unless the server has sent one.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        if self.closing == Closing::Open && !self.has_left && !self.is_broken {
            write_close(&mut self.queued, None, code, reason);
            self.closing = Closing::Queued;
        }
    }

    /// Whether all that goes to the client is on its way to it.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && self.closing != Closing::Queued
    }

    /// Moves queued frames to the outbox, if they have their place now: nothing of the server's is half sent.
    pub fn place_queued(&mut self) {
        if !self.queued.is_empty() && self.reader.is_between_messages() && !self.is_broken {
            self.outbox.append(&mut self.queued);
            self.placed();
        }
    }

    /// What goes to the client before anything else.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// Bytes of the server are about to go to the client: what goes in their place.
    ///
    /// # Errors
    /// That they break the protocol. Nothing of the server goes to the client any more.
    pub fn pass(&mut self, bytes: Bytes, observer: &mut impl Observer) -> Result<Bytes, (Bytes, ProtocolError)> {
        if self.closing == Closing::Placed {
            return Ok(Bytes::new());
        }
        if self.is_broken {
            return Ok(bytes);
        }
        let mut out = BytesMut::new();
        // up to where bytes have been copied, and up to where whole frames have been read
        let (mut copied, mut whole) = (0, 0);
        let mut rest = &bytes[..];
        loop {
            if !self.queued.is_empty() && self.reader.is_between_messages() {
                let at = bytes.len() - rest.len();
                out.extend_from_slice(&bytes[copied..at]);
                out.extend_from_slice(&self.queued);
                copied = at;
                self.queued.clear();
                self.placed();
                if self.closing == Closing::Placed {
                    return Ok(out.freeze());
                }
            }
            match self.reader.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Frame(header))) => {
                    self.is_control = header.opcode.is_control();
                    self.has_left |= header.opcode == Opcode::Close;
                }
                Ok(Some(Event::Payload(payload))) => {
                    if !self.is_control {
                        observer.payload(bytes.slice_ref(payload.bytes));
                    }
                }
                Ok(Some(Event::End(end))) => {
                    whole = bytes.len() - rest.len();
                    if let End::Message(_) = end {
                        observer.end();
                    }
                }
                Err(error) => {
                    self.is_broken = true;
                    out.extend_from_slice(&bytes[copied..whole.max(copied)]);
                    return Err((out.freeze(), error));
                }
            }
        }
        if copied == 0 && out.is_empty() {
            return Ok(bytes);
        }
        out.extend_from_slice(&bytes[copied..]);
        Ok(out.freeze())
    }

    /// The server breaks the protocol: the close frame with which its bytes end.
    pub fn close_broken(&mut self, code: CloseCode, reason: &str) -> Vec<u8> {
        let mut frame = std::mem::take(&mut self.queued);
        if self.closing == Closing::Open {
            write_close(&mut frame, None, code, reason);
        }
        self.closing = Closing::Placed;
        frame
    }

    fn placed(&mut self) {
        if self.closing == Closing::Queued {
            self.closing = Closing::Placed;
        }
    }
}
