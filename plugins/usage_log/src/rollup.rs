//! Sums that are kept beside the rows, in the transaction that writes the rows: by day for who spent what, and by minute for what goes on
//! now. What a correction replaces is taken out of the sums again. Knows no database.

#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(unused_imports, reason = "a build without a database engine keeps no sums")
)]

mod bound;
mod changes;
mod daily;
pub(crate) mod fill;
mod group;
mod minutes;
mod replaced;
mod table;

pub(crate) use bound::Bound;
pub(crate) use changes::Changes;
pub(crate) use daily::DAILY;
pub use minutes::BUCKETS;
pub(crate) use minutes::{KEPT as MINUTES_KEPT, MINUTES};
pub(crate) use replaced::{Replaced, columns as replaced_columns};
pub(crate) use table::Dialect;
