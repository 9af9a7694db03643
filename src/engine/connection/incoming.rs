//! What comes in over a client's connection, looked at before Pingora gets it: on HTTP/1.1 where a head begins and ends, and its first line; on
//! HTTP/2 the heads of its frames.

use std::io::IoSlice;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::exchange::deadlines::ClientBytes;
use crate::exchange::failure::Failure;
use crate::exchange::h2_guard::{Breach, End, H2Guard};
use crate::exchange::incoming_head::IncomingHead;
use crate::exchange::incoming_line::{IncomingLine, Taken};
use crate::exchange::request_line::AsSent;
use crate::metrics::{Ended, count_h2_end};

use super::super::timer::Timer;

/// The state of what is coming in.
pub enum Incoming {
    /// Requests of HTTP/1.1, or what is yet to be told from them.
    Http1(Box<Http1>),
    /// Frames.
    Http2(Box<H2Guard>),
}

/// The request of HTTP/1.1 that is coming in.
pub struct Http1 {
    /// Its head.
    head: IncomingHead,
    /// The first line of that.
    line: IncomingLine,
    /// What the line said that Pingora was not told. Nearly no line says such a thing, so most requests find no lock here.
    as_sent: Option<Box<Mutex<Option<AsSent>>>>,
}

/// Why what came is refused: for the gateway, for a client of HTTP/1.1, and for one of HTTP/2.
pub struct Refused {
    /// Why.
    pub why: Failure,
    /// The same for a client of HTTP/1.1, where it says more than [`Failure::message`].
    pub message: Option<&'static str>,
    /// The same in a code of HTTP/2.
    pub code: u32,
}

impl From<Failure> for Refused {
    fn from(why: Failure) -> Self {
        Self { why, message: None, code: 0 }
    }
}

/// What a read has to do before it asks the client for bytes.
pub enum BeforeRead {
    /// Give bytes that are held: see [`Incoming::give`].
    Give,
    /// Read so many bytes at most.
    Read(usize),
    /// Refuse the head, which has reached its limit.
    Refuse,
}

impl Incoming {
    /// Nothing has come yet. Heads have at most `max_header` bytes.
    pub fn new(max_header: usize) -> Self {
        let (head, line) = (IncomingHead::new(max_header), IncomingLine::default());
        Self::Http1(Box::new(Http1 { head, line, as_sent: None }))
    }

    /// The connection turns out to be one of HTTP/2.
    pub fn speaks_h2(&mut self) {
        if let Self::Http1(http1) = self {
            *self = Self::Http2(Box::new(H2Guard::new(http1.head.max(), Instant::now())));
        }
    }

    /// Looks at what is held, and at how much a head may still have.
    pub fn before_read(&mut self) -> BeforeRead {
        let Self::Http1(http1) = self else { return BeforeRead::Read(usize::MAX) };
        let Http1 { head, line, .. } = &mut **http1;
        if !line.rest().is_empty() {
            return BeforeRead::Give;
        }
        match head.room() {
            None => BeforeRead::Read(usize::MAX),
            // Pingora looks at a head after every read, and reads on only if it is not whole
            Some(_) if !Timer::awaits_rest_of_head() => {
                head.ended();
                BeforeRead::Read(usize::MAX)
            }
            Some(0) => BeforeRead::Refuse,
            Some(room) => BeforeRead::Read(room),
        }
    }

    /// Whether bytes are held that Pingora has not got yet.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Http1(http1) if !http1.line.rest().is_empty())
    }

    /// Gives the held bytes, up to so many.
    pub fn give(&mut self, most: usize, to: impl FnOnce(&[u8])) {
        let Self::Http1(http1) = self else { return };
        let held = http1.line.rest();
        let count = held.len().min(most);
        to(&held[..count]);
        http1.line.gave(count);
    }

    /// Bytes have come from the client; `true` if Pingora gets them as they are.
    ///
    /// # Errors
    /// Why the request, or the connection, is refused.
    pub fn came(&mut self, bytes: &[u8]) -> Result<bool, Refused> {
        let sent = Timer::client_sent();
        let Http1 { head, line, as_sent } = match self {
            Self::Http1(http1) => &mut **http1,
            Self::Http2(guard) => {
                let came = guard.came(bytes, Instant::now);
                return came.map(|()| true).map_err(|Breach { why, code }| Refused { why, message: None, code });
            }
        };
        head.came(bytes, sent)?;
        match sent {
            ClientBytes::Other => return Ok(true),
            ClientBytes::HeadBegins => {
                line.begins();
                *as_sent = None;
            }
            ClientBytes::Head => {}
        }
        let taken =
            line.came(bytes).map_err(|fault| Refused { message: Some(fault), ..Failure::InvalidHead.into() })?;
        if let Some(said) = line.take_as_sent() {
            *as_sent = Some(Box::new(Mutex::new(Some(said))));
        }
        Ok(taken == Taken::Pass)
    }

    /// The method and the path in the first line of the head that is coming in; empty where none can be told, as of one that came behind
    /// another request.
    pub fn request(&self) -> (String, String) {
        match self {
            Self::Http1(http1) if Timer::awaits_rest_of_head() => http1.head.request(),
            _ => Default::default(),
        }
    }

    /// The client has ended its side. `true` if bytes were held for a line that is never whole: Pingora gets them as they are.
    pub fn ended(&mut self) -> bool {
        match self {
            Self::Http1(http1) if http1.line.is_awaited() => {
                http1.line.ended();
                true
            }
            _ => false,
        }
    }

    /// So many bytes of these buffers have been written to the client.
    pub fn wrote(&mut self, mut written: usize, bufs: &[IoSlice<'_>]) {
        let Self::Http2(guard) = self else { return };
        for buf in bufs {
            let some = written.min(buf.len());
            guard.wrote(&buf[..some], Instant::now, count);
            written -= some;
        }
    }

    /// What the line of the request that has just been read said and Pingora was not told.
    pub fn take_as_sent(&self) -> Option<AsSent> {
        let Self::Http1(http1) = self else { return None };
        http1.as_sent.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn count(end: End) {
    match end {
        End::Stream(code) => count_h2_end(Ended::Stream, code),
        End::Connection(code) => count_h2_end(Ended::Connection, code),
    }
}
