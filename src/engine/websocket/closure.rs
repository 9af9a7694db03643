//! Why and how the gateway closes the connection of a WebSocket.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use plugin_api::Uuid;
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep};
use websocket::{CloseCode, write_close};

use crate::exchange::failure::Failure;

/// How long a client has to answer a close frame of the gateway's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the gateway closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The code.
    pub code: CloseCode,
    /// The reason, for people.
    pub reason: &'static str,
    /// What it is to the calls that are open.
    pub failure: Failure,
}

/// The frames of a side break the protocol.
pub const BROKEN: Closure = Closure {
    code: CloseCode::ProtocolError,
    reason: "the frames break the protocol",
    failure: Failure::WebSocketProtocol,
};

/// The gateway stops.
pub const STOPS: Closure =
    Closure { code: CloseCode::GoingAway, reason: "the gateway stops", failure: Failure::Aborted };

/// The gateway cannot read the messages of a connection that it has to read.
pub const MUST_BE_READ: Closure =
    Closure { code: CloseCode::GoingAway, reason: "its calls need a new connection", failure: Failure::Aborted };

/// The closing handshake (RFC 6455 §7) of a connection that the gateway closes.
pub struct CloseHandshake {
    /// Why.
    pub why: Closure,
    timeout: Pin<Box<Sleep>>,
    /// The close frame for the server, where the client's bytes are passed unread.
    frame: Vec<u8>,
}

impl CloseHandshake {
    /// A connection that is closed now.
    #[must_use]
    pub fn new(why: Closure) -> Self {
        Self { why, timeout: Box::pin(sleep(CLOSE_TIMEOUT)), frame: Vec::new() }
    }

    /// The server is to get a close frame behind the client's bytes.
    pub fn queue_close_frame(&mut self) {
        write_close(&mut self.frame, Some(random_mask()), self.why.code, self.why.reason);
    }

    /// Hands out as much of the close frame for the server as there is room for; `false` if there is nothing.
    pub fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.frame.len().min(buf.remaining());
        buf.put_slice(&self.frame[..count]);
        self.frame.drain(..count);
        count > 0
    }

    /// Whether the client has had its time to answer.
    pub fn has_timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        self.timeout.as_mut().poll(cx).is_ready()
    }
}

/// A key to mask a frame with.
#[must_use]
pub fn random_mask() -> [u8; 4] {
    let id = Uuid::now_v7().into_bytes();
    [id[12], id[13], id[14], id[15]]
}
