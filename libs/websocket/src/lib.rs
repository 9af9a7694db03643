//! The frames of WebSocket connections (RFC 6455): read from bytes that are cut anywhere, without a copy of their payload, and
//! written. Knows no socket, no handshake and no extension: a frame with a reserved bit is an error.
//!
//! ```
//! use websocket::{Event, FrameReader, Kind, End, Opcode, Sender, write_frame};
//!
//! let mut sent = Vec::new();
//! write_frame(&mut sent, Opcode::Text, Some([1, 2, 3, 4]), b"hello");
//!
//! let (mut reader, mut text) = (FrameReader::new(Sender::Client), Vec::new());
//! for mut piece in sent.chunks(3) {
//!     while let Some(event) = reader.next(&mut piece).unwrap() {
//!         match event {
//!             Event::Payload(payload) => payload.append_to(&mut text),
//!             Event::End(End::Message(kind)) => assert_eq!(kind, Kind::Text),
//!             Event::Frame(_) | Event::End(_) => {}
//!         }
//!     }
//! }
//! assert_eq!(text, b"hello");
//! ```

mod error;
mod header;
mod mask;
mod reader;
mod write;

pub use error::ProtocolError;
pub use header::{Header, Kind, Opcode, Sender};
pub use reader::{End, Event, FrameReader, Payload};
pub use write::{CloseCode, write_close, write_frame};
