//! The ledger: one row per request, in a journal on the local disk before the request is over, and from there in a
//! database. Neither a `kill -9` nor a dead database loses a row, and no request ever waits for the database.

mod collector;
mod conversation;
mod entry;
mod journal;
mod kept;
mod ledgers;
mod metrics;
mod prices;
mod rejected;
pub mod report;
mod row;
mod settings;
mod shipper;
mod store;

use std::path::Path;

use plugin_api::{
    BatchResult, ByteSize, Chunk, Flow, ModelCall, Plugin, RequestHead, ResponseHead, api_key, async_trait, fingerprint,
};

use entry::{Entry, Foreseen};
use kept::{Kept, Secrets};
use ledgers::Wanted;
use prices::Prices;

pub use collector::LedgerCollector;
pub use ledgers::Ledgers;
pub use prices::{Above, Amount, Price, Tier, published_name};
pub use row::{BatchRow, Billed, Body, Cost, Piece, Record, Row, Timestamp, Tokens, Turn, UsageSource, Word};
pub use settings::{
    Config, Database, JournalSettings, Migrate, OpenAiStreamUsage, PoolSettings, Retention, StoreBodies, StoreSettings,
    Sync,
};
pub use store::{Clock, Housekeeper, Reading, Store, StoreError, StoreMetrics, Written};

/// The least that a journal may take.
const LEAST: ByteSize = ByteSize::mebibytes(1);

impl Config {
    /// Checks the settings as a whole; opens nothing.
    ///
    /// # Errors
    /// What in them makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.journal.max_bytes < LEAST {
            return Err(format!("`journal.max_bytes` is {}, below {LEAST}", self.journal.max_bytes));
        }
        if let Some(why) = self.database.missing_engine() {
            return Err(format!("`database` is `{}`, and {why}", self.database));
        }
        Prices::new(&self.prices).map(drop)
    }

    /// The plugin with these settings, on the ledger that they name. Relative paths start from `base`.
    ///
    /// # Errors
    /// What in them makes no sense, or that the journal cannot be had. The database is not asked for anything.
    pub fn build(&self, base: &Path, ledgers: &Ledgers) -> Result<UsageLog, String> {
        let prices = Prices::new(&self.prices)?;
        let ledger = ledgers.open(self, base)?;
        Ok(UsageLog { ledger, prices, store: self.store, stream_usage: self.openai_stream_usage })
    }
}

/// The plugin.
#[derive(Debug)]
pub struct UsageLog {
    ledger: Wanted,
    prices: Prices,
    store: StoreBodies,
    stream_usage: OpenAiStreamUsage,
}

#[async_trait]
impl Plugin for UsageLog {
    const NAME: &'static str = "usage_log";
    const READS_BODY: bool = true;
    const READS_ANSWER: bool = true;
    const FOLLOWS_THREADS: bool = true;
    type State = Entry;

    fn in_force(&self) {
        self.ledger.take_effect();
    }

    async fn request_head(&self, entry: &mut Entry, head: &mut RequestHead<'_>) -> Flow {
        entry.api_key_hash = api_key(head.headers).map(fingerprint);
        if self.store.any() && head.endpoint.is_some() {
            entry.kept = Some(Box::new(Kept::new(Secrets::of(head.headers))));
        }
        Flow::Continue
    }

    async fn request_body(&self, entry: &mut Entry, call: &mut ModelCall) -> Flow {
        if let Some(kept) = &mut entry.kept {
            kept.request(call.text(), &self.store);
        }
        if self.stream_usage == OpenAiStreamUsage::Inject {
            call.ask_for_stream_usage();
        }
        Flow::Continue
    }

    async fn response_head(&self, entry: &mut Entry, head: &mut ResponseHead<'_>) {
        if let Some(kept) = &mut entry.kept {
            kept.response_head(head.headers);
        }
    }

    fn response_chunk(&self, entry: &mut Entry, chunk: &Chunk<'_>) {
        if let Some(kept) = &mut entry.kept {
            kept.response(chunk.bytes, &self.store);
        }
    }

    fn batch_result(&self, entry: &mut Entry, record: &plugin_api::Record, result: &BatchResult) {
        let row = entry.batch_row(record, result, &self.prices);
        self.ledger.keep(&mut Record::Batch(Box::new(row)));
    }

    fn ending(&self, entry: &mut Entry, record: &plugin_api::Record) {
        self.keep(entry, record);
        entry.foreseen = Some(Foreseen::of(record));
    }

    fn log(&self, entry: &mut Entry, record: &plugin_api::Record) {
        if entry.foreseen.is_none_or(|foreseen| !foreseen.holds(record)) {
            self.keep(entry, record);
        }
    }
}

impl UsageLog {
    fn keep(&self, entry: &mut Entry, record: &plugin_api::Record) {
        let mut row = entry.row(record, &self.prices, self.ledger.instance());
        if row.cost_usd.is_none() && row.tokens != Tokens::default() && row.revision == 0 {
            self.ledger.unpriced(
                row.served_model.as_deref().or(row.model.as_deref()).and_then(|model| self.prices.name(model)),
            );
        }
        if let Some(kept) = &mut entry.kept {
            kept.fill(&mut row, &self.store);
        }
        let mut kept = Record::Request(Box::new(row));
        self.ledger.keep(&mut kept);
        if let Record::Request(row) = &mut kept {
            entry.sequence = row.sequence;
            if let Some(kept) = &mut entry.kept {
                kept.take_back(row);
            }
        }
    }
}

#[cfg(test)]
mod tests;
