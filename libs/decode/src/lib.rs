//! Takes the `content-encoding` off HTTP bodies (RFC 9110 §8.4.1): gzip, deflate, br and zstd, also stacked. A body can be decoded
//! [as a whole](decode) or [piece by piece](Decoder), by the same engine, and each within bounds against bombs.
//!
//! It knows nothing of what a body holds.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
//!
//! let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("br"))]);
//! let body = Bytes::from_static(&[0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03]);
//! assert_eq!(decode::decode(&headers, &body, 1000).unwrap().unwrap(), "hello");
//! assert!(decode::decode(&headers, &body, 4).is_err());
//! ```

mod coding;
mod engine;
mod error;
mod stream;
mod whole;

pub use coding::Coding;
pub use error::DecodeError;
pub use stream::Decoder;
pub use whole::decode;
