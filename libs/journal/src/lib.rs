//! A journal: records wait in it on the local disk until its [`Reader`] has stored them elsewhere, and every [`Consumer`] has. An append takes microseconds, never
//! waits for the disk, and survives the death of the process once it has returned. The journal knows no record: it takes bytes
//! with a format byte, and a [`Decoder`] of the caller's turns them back.
//!
//! # Files
//! | file | content |
//! |---|---|
//! | `lock` | held while a process has the journal open |
//! | `0000000000000001.journal` | a segment: frames (see `frame.rs`), in the order of the appends |
//! | `0000000000000001.run` | how much a process has appended, named after its first segment |
//! | `position` | how far the reader has come |
//! | `NAME.consumer` | how far a [`Consumer`] has come |
//! | `….passed` | marks a segment that holds records which the reader did not know and passed over |
//! | `….unread` | what such a segment holds of them, once everything else of it is stored |
//! | `….damaged` | a segment that cannot be read, put into quarantine |
//! | `….lost` | a copy of the `.run` of a process that lost records |
//!
//! A process never appends to a segment of an earlier one: what a crash tore stays torn, and the reader passes over it.
//!
//! # Releases
//! A release reads the journals of all earlier ones. A record that it does not know is one of a later release, left by a
//! downgrade. Such a record does not delay those behind it and is not lost: it waits in the folder until a release opens the journal
//! that knows it. [`Journal::unknown`] counts them.
//!
//! # Example
//! ```
//! use journal::{Decoded, Entry, Journal, Kind, Options, Silent};
//!
//! fn decode(entry: &Entry<'_>) -> Option<Decoded<String>> {
//!     let text = (entry.format == 1).then(|| String::from_utf8(entry.record.to_vec()).ok())??;
//!     Some(Decoded { record: text, amends: None })
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("journal-example-{}", std::process::id()));
//! let (journal, mut reader) = Journal::open(&folder, Options { max_bytes: 1 << 20 }, decode, Box::new(Silent))?;
//! let number = journal.append(Kind::Numbered, 1, |bytes| bytes.extend_from_slice(b"hello"))?;
//! assert_eq!(number, Some(1));
//! let batch = reader.next_batch(100, 1 << 20)?.expect("a record waits");
//! assert_eq!(batch.records, ["hello"]);
//! // stored elsewhere
//! reader.done(&batch)?;
//! assert_eq!(journal.waiting(), 0);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod checksum;
mod consumer;
mod consumers;
mod count;
mod disk;
mod error;
mod event;
mod frame;
mod fsync;
mod inspect;
mod journal;
mod open;
mod position;
mod quarantine;
mod read_buffer;
mod reader;
mod retire;
mod run;
mod seen;
mod segment;
mod tail;
mod unknown;

pub use batch::Batch;
pub use consumer::{Consumed, Consumer};
pub use count::{Kind, Loss};
pub use error::{AppendError, OpenError};
pub use event::{Event, Observer, Silent};
pub use inspect::{Inspection, inspect};
pub use journal::{Appended, Journal};
pub use open::Options;
pub use position::Position;
pub use reader::Reader;

/// Turns the bytes of a record back into the record. `None` says that this release does not know it: the journal keeps it for one
/// that does. The bytes are what was appended, to the last bit.
pub type Decoder<T> = fn(&Entry<'_>) -> Option<Decoded<T>>;

/// A record as it stands in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The format that the append named; 0 for frames of versions 1 and 2, which have none.
    pub format: u8,
    /// What the record is; `None` for frames of version 1.
    pub kind: Option<Kind>,
    /// Its number, where it is [`Kind::Numbered`]: 1, 2, 3, … within its run.
    pub number: Option<u64>,
    /// Its bytes.
    pub record: &'a [u8],
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The record.
    pub record: T,
    /// The number of the record that it amends, where it is [`Kind::Amendment`].
    pub amends: Option<u64>,
}

#[cfg(test)]
mod tests;
