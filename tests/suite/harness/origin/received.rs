//! A request as the provider received it.

use std::time::Instant;

/// A request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number of the connection it came on, from 0.
    pub connection: usize,
    /// Its method.
    pub method: String,
    /// Its target, as it stands in the request line; on HTTP/2 `:path`.
    pub target: String,
    /// Its headers in order, with their names as they came; on HTTP/2 `:authority` among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its head, byte for byte; empty on HTTP/2.
    pub raw_head: Vec<u8>,
    /// How its body is delimited.
    pub framing: Framing,
    /// What has come of its body, without chunks.
    pub body: Vec<u8>,
    /// The sizes of the chunks or frames in which its body came.
    pub pieces: Vec<usize>,
    /// When its head had come.
    pub came: Instant,
    /// Whether it has come in full.
    pub complete: bool,
    /// Bytes of the answer, its head included, that the system has taken so far. On HTTP/2, of its body alone.
    pub sent: u64,
    /// When all of its answer had been written.
    pub answered: Option<Instant>,
    /// When the peer gave it up before it had its whole answer.
    pub abandoned: Option<Instant>,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// By its length.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of an HTTP/2 stream.
    Stream,
}

/// Who closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer, with an end or a reset.
    ByPeer,
    /// The provider itself.
    Here,
}

impl Received {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..]).collect()
    }

    /// What it names as its host: `Host`, or `:authority` on HTTP/2.
    pub fn host(&self) -> Option<&str> {
        self.header("host").or_else(|| self.header(":authority"))
    }
}
