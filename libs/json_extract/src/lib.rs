//! Finds the values of a few members in a JSON text: in one that comes in pieces of any size ([`JsonExtractor`]), or at one
//! path of a whole text ([`at_path`]). Keeps the values that were asked for and nothing else, each within a bound.
//!
//! It reads numbers as exact decimals ([`decimal`]) and knows the meaning of no member.
//!
//! ```
//! use json_extract::{JsonExtractor, Members, Pattern, Slot};
//!
//! #[derive(Clone, Copy, Debug, PartialEq)]
//! enum Wanted {
//!     Id,
//!     Tokens,
//! }
//!
//! impl Slot for Wanted {
//!     fn index(self) -> usize {
//!         self as usize
//!     }
//! }
//!
//! const RESPONSE: Members<Wanted> = &[
//!     ("id", Pattern::Value(Wanted::Id)),
//!     ("usage", Pattern::Members(&[("output_tokens", Pattern::Value(Wanted::Tokens))])),
//! ];
//!
//! let mut extractor = JsonExtractor::<Wanted, 2>::new(RESPONSE);
//! for piece in [r#"{"id":"msg_1","content":["#, r#"],"usage":{"output_tok"#, r#"ens":12}}"#] {
//!     extractor.feed(piece.as_bytes());
//! }
//! assert!(extractor.is_complete());
//! assert_eq!(extractor.string(Wanted::Id).as_deref(), Some("msg_1"));
//! assert_eq!(extractor.get(Wanted::Tokens), Some(&b"12"[..]));
//! ```

pub mod decimal;
mod extractor;
mod path;
mod pattern;
mod state;
mod string;
mod values;

pub use extractor::JsonExtractor;
pub use path::at_path;
pub use pattern::{Members, Pattern, Slot};
pub use string::content;

#[cfg(test)]
mod tests;
