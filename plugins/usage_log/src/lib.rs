//! The ledger: one row per request, in a journal on the local disk before the request is over, and from there in a
//! database. Neither a `kill -9` nor a dead database loses a row, and no request ever waits for the database.

#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(
        dead_code,
        clippy::unused_async,
        reason = "a build without a database engine checks settings, and writes nothing"
    )
)]

mod bill;
mod captured_bodies;
mod collector;
mod columns;
mod commands;
mod consumers;
mod conversation;
mod dashboard;
mod encoding;
mod entry;
mod explained;
mod export;
mod late_rows;
mod ledger_journal;
mod ledgers;
mod metrics;
mod otlp;
#[cfg(feature = "parquet")]
mod parquet_types;
mod rejected;
pub mod report;
mod request_type;
mod rollup;
mod row;
mod settings;
mod shipper;
mod spending;
mod store;

use std::sync::Arc;
use std::time::Duration;

use plugin_api::{
    BatchResult, BuildContext, ByteSize, Call, CheckContext, Chunk, Command, ConfigProblem, Explanation, Flow, Needs,
    Plugin, Request, Response,
};

use captured_bodies::{CapturedBodies, Secrets};
use conversation::Caller;
pub use conversation::{Conversation, place::Place};
use entry::{Entry, PredictedOutcome};
use late_rows::Late;
use ledgers::{Ledger, LedgerHandle};
use prices::{Prices, published_name};

pub use columns::{DeclaredColumn, declared_columns};
pub use ledgers::Ledgers;
pub use prices::{Above, Amount, Price, Tier};
pub use row::{
    BatchRow, Billed, Body, Cost, Piece, Record, Row, RowAttempt, RowSpans, RowText, Timestamp, Tokens, UsageSource,
};
pub use settings::{
    CloudEventsSettings, Compression, Config, Database, ExportSettings, JournalSettings, Migrate, OpenAiStreamUsage,
    ParquetSettings, PoolSettings, Retention, Source, StoreBodies, StoreSettings, Sync,
};
pub use store::{Clock, Housekeeper, Reading, Store, StoreError, StoreMetrics, Written};

/// The least that a journal may take.
const LEAST: ByteSize = ByteSize::mebibytes(1);

/// The least time between two writings of a file: an hour's is written as a whole.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// The plugin.
#[derive(Debug)]
pub struct UsageLog {
    /// `None` where it only explains.
    ledger: Option<LedgerHandle>,
    database: Database,
    prices: Arc<Prices>,
    store: StoreBodies,
    /// How many tenants have a label of their own.
    tenant_labels: usize,
    /// What takes late answers; `None` where it only explains.
    late: Option<Late>,
    stream_usage: OpenAiStreamUsage,
    /// The credentials of upstreams.
    secrets: Arc<[Box<str>]>,
}

impl Plugin for UsageLog {
    const NAME: &'static str = "usage_log";
    const NEEDS: Needs =
        Needs { body: true, answer: true, batch_results: true, conversation: true, trace: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = Ledgers;
    type State = Entry;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        if config.journal.max_bytes < LEAST {
            return Err(format!("`journal.max_bytes` is {}, below {LEAST}", config.journal.max_bytes).into());
        }
        if let Some(why) = config.database.missing_engine() {
            return Err(format!("`database` is `{}`, and {why}", config.database).into());
        }
        if config.export.parquet.is_some() && !cfg!(feature = "parquet") {
            return Err(
                "`export.parquet` is set, and this build writes no Parquet; build it with the cargo feature `parquet`"
                    .into(),
            );
        }
        if config.export.parquet.as_ref().is_some_and(|parquet| parquet.refresh.get() < LEAST_REFRESH) {
            return Err("`export.parquet.refresh` is below `1s`".into());
        }
        Ok(Prices::new(&config.prices).map(drop)?)
    }

    /// Ledgers with one journal are one, and cannot be kept in two ways.
    fn conflict(config: &Config, other: &Config, context: &CheckContext<'_>) -> Option<ConfigProblem> {
        let setting = config.differs_from(other, context.base)?;
        let message = format!(
            "its journal is that of {}, too, whose `{setting}` is another; give it a `journal.path` of its own",
            context.other
        );
        Some(message.into())
    }

    fn commands() -> Vec<Command<Config>> {
        commands::all()
    }

    fn model_names(config: &Config) -> Vec<&str> {
        config.prices.keys().map(String::as_str).collect()
    }

    fn known_model(model: &str) -> Option<&'static str> {
        published_name(model)
    }

    /// Opens the journal; the database is not asked for anything.
    fn build(config: &Config, context: &BuildContext<'_, Ledgers>) -> Result<Self, ConfigProblem> {
        let ledger = context.shared.open(config, context.base, context.common)?;
        Self::new(config, context, Some(ledger))
    }

    /// Without the journal.
    fn build_to_explain(config: &Config, context: &BuildContext<'_, Ledgers>) -> Result<Self, ConfigProblem> {
        Self::new(config, context, None)
    }

    fn needs(&self) -> Needs {
        Needs { usage: self.stream_usage == OpenAiStreamUsage::Inject, ..Self::NEEDS }
    }

    fn activate(&self) {
        self.ledger.iter().for_each(LedgerHandle::activate);
        self.late.iter().for_each(Late::activate);
    }

    fn try_on_request(&self, entry: &mut Entry, request: &mut Request<'_>) -> Option<Flow> {
        entry.api_key_hash = request.api_key_digest().map(|digest| digest.fingerprint().into());
        entry.caller = Caller::of_head(request.head.headers);
        if self.store.any() && request.endpoint.is_some() {
            entry.bodies = Some(Box::new(CapturedBodies::new(Secrets::of(request.head.headers, &self.secrets))));
        }
        Some(Flow::Continue)
    }

    fn try_on_call(&self, entry: &mut Entry, call: &mut Call<'_>) -> Option<Flow> {
        if let Some(batched) = &call.context.batched {
            self.late.iter().for_each(|late| batched.recorded_by(&late.name));
        }
        if let Some(facts) = call.body.call() {
            entry.caller.read_call(facts, call.body.text());
        }
        if let Some(bodies) = &mut entry.bodies {
            bodies.request(call.body.text(), &self.store);
        }
        Some(Flow::Continue)
    }

    async fn explain_request(
        &self,
        entry: &mut Entry,
        request: &mut Request<'_>,
        explanation: &mut Explanation,
    ) -> Flow {
        self.explain_kept(explanation);
        plugin_api::on_request(self, entry, request).await
    }

    async fn explain_call(&self, entry: &mut Entry, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        self.explain_price(call.body, explanation);
        plugin_api::on_call(self, entry, call).await
    }

    fn try_on_response(&self, entry: &mut Entry, response: &mut Response<'_>) -> Option<()> {
        if let Some(bodies) = &mut entry.bodies {
            bodies.response_head(response.headers);
        }
        Some(())
    }

    fn on_chunk(&self, entry: &mut Entry, chunk: &mut Chunk<'_>) {
        if let Some(bodies) = &mut entry.bodies {
            bodies.response(chunk.bytes, &self.store);
        }
    }

    fn on_batch_result(&self, entry: &mut Entry, record: &plugin_api::Record, result: &BatchResult) {
        if let Some(late) = &self.late {
            late.rows.keep(entry.batch_row(record, result, &self.prices));
        }
    }

    fn before_last_byte(&self, entry: &mut Entry, record: &plugin_api::Record) {
        // a row that is not kept here gets another chance at the end, where it is counted if it is lost
        if self.keep(entry, record, Ledger::try_keep) {
            entry.predicted = Some(PredictedOutcome::of(record));
        }
    }

    fn on_complete(&self, entry: &mut Entry, record: &plugin_api::Record) {
        if entry.predicted.is_none_or(|predicted| !predicted.holds(record)) {
            self.keep(entry, record, |ledger, record| Some(ledger.keep(record)));
        }
    }
}

impl UsageLog {
    fn new(
        config: &Config,
        context: &BuildContext<'_, Ledgers>,
        ledger: Option<LedgerHandle>,
    ) -> Result<Self, ConfigProblem> {
        let prices = context.common.spending.use_prices(Prices::new(&config.prices)?);
        let (store, stream_usage) = (config.store, config.openai_stream_usage);
        let (database, tenant_labels) = (config.database.clone(), config.tenant_labels.as_usize());
        let secrets = context.secrets.clone();
        let late = ledger.as_ref().map(|ledger| Late::new(ledger, &prices, tenant_labels, context.common));
        Ok(Self { ledger, database, prices, store, tenant_labels, late, stream_usage, secrets })
    }

    /// Gives the row of an exchange to its ledger, and says whether that has dealt with it.
    fn keep(
        &self,
        entry: &mut Entry,
        record: &plugin_api::Record,
        keep: impl FnOnce(&Ledger, &mut Record) -> Option<u64>,
    ) -> bool {
        let Some(ledger) = &self.ledger else { return true };
        let mut row = entry.row(record, &self.prices);
        record.cost.set(row.cost_usd.map(|cost| cost.picos()));
        let is_unpriced = row.cost_usd.is_none() && row.tokens != Tokens::default() && row.revision == 0;
        if let Some(bodies) = &mut entry.bodies {
            bodies.fill(&mut row, &self.store);
        }
        let mut kept = Record::Request(Box::new(row));
        let has_bodies = kept.has_bodies();
        let place = keep(ledger, &mut kept);
        let is_kept = place.is_some();
        if let Some(batched) = record.context.batched.as_ref().filter(|_| is_kept) {
            batched.recorded(record);
        }
        let picos = place.map_or(0, |place| spending::report(&ledger.feed, &kept, place, &mut entry.reported));
        if let Record::Request(row) = &mut kept {
            (entry.instance, entry.sequence) = (row.instance, row.sequence);
            let model = row.served_model.as_deref().or(row.model.as_deref());
            late_rows::count_cost(ledger, &self.prices, self.tenant_labels, (row.tenant.as_deref(), model), picos);
            if is_kept && is_unpriced {
                ledger.unpriced(model.and_then(|model| self.prices.name(model)));
            }
            if let Some(bodies) = &mut entry.bodies {
                bodies.release(row);
            }
        }
        if let Some(place) = place.filter(|_| !has_bodies) {
            ledger.hand_over(place, kept);
        }
        is_kept
    }
}

#[cfg(test)]
mod tests;
