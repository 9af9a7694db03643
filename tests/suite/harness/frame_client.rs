//! A client that speaks HTTP/2 frame by frame: for what no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::wait::soon;

/// Types of frames (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// What a client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame whose length is that of its payload.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A setting.
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A field as HPACK writes one that is in no table, without Huffman's code.
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let (name, value) = (name.as_ref(), value.as_ref());
    [&[0, length(name)], name, &[length(value)], value].concat()
}

/// The fields of a request for this path of the host `a`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    [field(":method", method), field(":scheme", "http"), field(":path", path), field(":authority", "a")].concat()
}

/// How a gateway takes what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ends the stream with this error code.
    Stream(u32),
    /// It ends the connection with this error code.
    Connection(u32),
    /// It closes the connection without a word.
    Closed,
    /// It answers with this status.
    Answered(u16),
    /// It answers a PING in it or behind it.
    Taken,
}

/// A frame as it came.
pub struct CameFrame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// A client's connection.
pub struct FrameClient {
    reader: FrameReader,
    pub writer: OwnedWriteHalf,
}

/// The frames that come.
pub struct FrameReader(OwnedReadHalf);

impl FrameClient {
    /// A connection on which nothing has been sent.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader: FrameReader(reader), writer }
    }

    /// One with the preface and these settings.
    pub async fn with(address: SocketAddr, settings: &[u8]) -> Self {
        let mut client = Self::silent(address).await;
        assert!(client.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await);
        client
    }

    /// One with the preface and settings that say nothing.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &[]).await
    }

    /// Sends these bytes; `false` if the gateway has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon(self.writer.write_all(bytes.as_ref())).await.is_ok()
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<CameFrame> {
        self.reader.next().await
    }

    /// Parts with its reader, so that what comes is read while something is sent.
    pub fn split(self) -> (FrameReader, OwnedWriteHalf) {
        (self.reader, self.writer)
    }

    /// Sends these bytes and tells how they are taken: by the first end or answer behind them.
    pub async fn verdict(&mut self, bytes: &[u8]) -> Verdict {
        // whoever refuses may close the connection while something is still sent
        let _ = self.send(bytes).await;
        loop {
            let Some(came) = soon(self.next()).await else { return Verdict::Closed };
            let code = |at: usize| u32::from_be_bytes(came.payload[at..][..4].try_into().unwrap());
            match came.kind {
                RST_STREAM => return Verdict::Stream(code(0)),
                GOAWAY => return Verdict::Connection(code(4)),
                HEADERS => {
                    return Verdict::Answered(match came.payload.first() {
                        Some(0x88) => 200,
                        Some(0x8c) => 400,
                        Some(0x8d) => 404,
                        _ => 0,
                    });
                }
                PING if came.flags & ACK != 0 => return Verdict::Taken,
                _ => {}
            }
        }
    }
}

impl FrameReader {
    /// The next frame; `None` at the end, be it clean or not.
    pub async fn next(&mut self) -> Option<CameFrame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(CameFrame { kind: head[3], flags: head[4], payload })
    }
}
