//! The database: an engine behind a narrow door. What comes in is written once, whatever is repeated.

#![cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, reason = "no engine uses all that the engines share")
)]

mod archive;
mod batch;
pub(crate) mod calendar;
mod clock;
mod connections;
pub(crate) mod csv;
mod cutoffs;
mod engine;
mod failure;
mod fill;
mod housekeeper;
mod migration;
mod open;
mod partition;
mod pooled;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod query_timer;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::slice;

use plugin_api::LogLimit;

use self::engine::Engine;
use self::query_timer::QueryTimer;
use crate::{Conversation, Record, StoreSettings};

pub use self::clock::{Clock, Reading};
pub use self::failure::StoreError;
pub use self::housekeeper::Housekeeper;
pub(crate) use self::query_timer::PATIENT_TIMEOUT;
pub use self::query_timer::StoreMetrics;

/// A database that is connected. Dropping it gives up whatever is under way.
#[derive(Debug)]
pub struct Store(Box<dyn Engine>);

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records that changed the database: new ones, and those that took the place of an earlier revision.
    pub new: u64,
    /// Records that it had already.
    pub known: u64,
}

impl Store {
    /// Connects, within `pool.connect_timeout`. Its work is counted in `metrics`.
    ///
    /// # Errors
    /// That it cannot be reached now.
    pub async fn connect(settings: &StoreSettings, metrics: &StoreMetrics) -> Result<Self, StoreError> {
        let watch = QueryTimer { slow: settings.slow_query, metrics: metrics.clone() };
        engine::connect(settings, watch).await.map(Self)
    }

    /// Brings the schema to what this build writes, or checks it, as `migrate` of the settings says. Safe when ten gateways do so
    /// at once.
    ///
    /// # Errors
    /// That it is not, or cannot be brought there.
    pub async fn migrate(&mut self) -> Result<(), StoreError> {
        self.0.migrate().await
    }

    /// Writes these records, all or none, and has them committed when it returns. Those that it has already are no error: a
    /// request's row is replaced if the revision is higher, all else is left as it is. A single record with a value that is refused
    /// is tried again without its bodies and the provider's own words.
    ///
    /// # Errors
    /// Why none of them was written.
    pub async fn write(&mut self, records: &[Record]) -> Result<Written, StoreError> {
        let written = self.write_as_is(records).await;
        let (Err(StoreError::Rejected(why)), [record]) = (&written, records) else { return written };
        let bare = batch::bare(record);
        if bare == *record {
            return written;
        }
        let without = self.write_as_is(slice::from_ref(&bare)).await?;
        static REFUSED: LogLimit = LogLimit::new();
        if let Some(suppressed) = REFUSED.pass(()) {
            log::warn!(why = why.as_str(), suppressed; "the database refuses a record; it is kept without its bodies");
        }
        Ok(without)
    }

    /// Whether it would take another record like this one, which it took once; it is written under another id, and taken back.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn would_take(&mut self, record: &Record) -> Result<(), StoreError> {
        let other = [batch::another(record)];
        self.0.try_out(&other).await
    }

    async fn write_as_is(&mut self, records: &[Record]) -> Result<Written, StoreError> {
        self.0.write(records).await
    }

    /// The conversations that these turns belong to, in their order; `None` where there is no such turn. Of several, the latest.
    ///
    /// # Errors
    /// That it cannot tell now.
    pub async fn conversations(&mut self, turns: &[[u8; 32]]) -> Result<Vec<Option<Conversation>>, StoreError> {
        self.0.conversations(turns).await
    }

    /// Does what falls due with time: partitions ahead, retention, archive. Called about every minute, on a connection of its own
    /// beside the one that writes; it looks by itself whether anything is due, and may take its time. A schema that is not what it
    /// should be is dealt with first, as [`migrate`](Self::migrate) does. `keeper` remembers what is to go from one call to the
    /// next: whatever the settings say, nothing goes at the first.
    ///
    /// # Errors
    /// What could not be done now.
    pub async fn maintain(&mut self, keeper: &mut Housekeeper) -> Result<(), StoreError> {
        self.0.maintain(keeper).await
    }

    /// Lets go of it in order.
    pub async fn close(self) {
        self.0.close().await;
    }
}
