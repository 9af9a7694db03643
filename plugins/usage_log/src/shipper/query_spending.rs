//! Asks the database what was spent, for the plugins that limit it. Between two batches, so that the answer has every record of this
//! run up to a known place, and none behind it.

use std::time::{Duration, Instant};

use log::warn;
use plugin_api::{LogLimit, SpendingFeed, SpendingQuery};
use tokio::time::{sleep, sleep_until};

use super::config::within;
use super::{ShipError, Shipper};
use crate::Database;
use crate::report::Report;

/// How long an answer may take. Rows wait in the journal meanwhile.
const LIMIT: Duration = Duration::from_secs(20);
/// The database is asked for no more than a twentieth of the time.
const PAUSE: u32 = 20;
/// How often to look whether there are new queries.
const LOOK: Duration = Duration::from_millis(500);

/// What was asked, and when to ask again.
#[derive(Default)]
pub(super) struct Querying {
    known: Vec<TrackedQuery>,
    next: Option<Instant>,
    report: Option<(Database, Report)>,
}

/// A query, and how many records had been appended when it came: an answer with fewer would lack some that nobody reported to who asks.
struct TrackedQuery {
    query: SpendingQuery,
    since: u64,
    is_asked: bool,
}

impl Querying {
    /// Takes note of the present queries.
    fn update(&mut self, queries: Vec<SpendingQuery>, appended: u64) {
        self.known.retain(|known| queries.contains(&known.query));
        for query in queries {
            if !self.known.iter().any(|known| known.query == query) {
                self.known.push(TrackedQuery { query, since: appended, is_asked: false });
            }
        }
    }

    /// Waits until it may be time to ask.
    pub(super) async fn due(&self, feed: &SpendingFeed) {
        if !feed.is_read() {
            return std::future::pending().await;
        }
        match self.next {
            Some(next) => sleep_until(next.min(Instant::now() + LOOK).into()).await,
            None => sleep(LOOK).await,
        }
    }
}

impl Shipper {
    /// Asks what was spent, where it is time. A database that does not answer is asked again later.
    pub(super) async fn query_spending(&mut self) {
        if !self.feed.is_read() || !self.is_connected() || self.is_ending() {
            return;
        }
        // as long as rows of earlier runs wait, no answer would be whole
        let Some(place) = self.places.of(self.reader.stored()) else { return };
        let appended = self.places.before + self.reader.journal().appended_records();
        self.querying.update(self.feed.queries(), appended);
        let ready = self.querying.known.iter().filter(|known| known.since <= place);
        let is_new = ready.clone().any(|known| !known.is_asked);
        let queries: Vec<_> = ready.map(|known| known.query.clone()).collect();
        let began = Instant::now();
        if queries.is_empty() || (!is_new && self.querying.next.is_some_and(|next| began < next)) {
            return;
        }
        // those that fail are asked again when it is time
        self.querying.known.iter_mut().filter(|known| known.since <= place).for_each(|known| known.is_asked = true);
        for query in queries {
            if let Err(ShipError(_, why)) = self.answer(&query, place).await {
                self.metrics.store_failed("spending");
                static FAILED: LogLimit = LogLimit::new();
                if let Some(suppressed) = FAILED.pass(()) {
                    warn!(why:%, suppressed; "the ledger's database does not say what was spent; budgets go by what is known");
                }
                self.querying.report = None;
                break;
            }
        }
        let pause = self.feed.interval().unwrap_or(LIMIT).max(began.elapsed() * PAUSE);
        self.querying.next = Some(Instant::now() + pause);
    }

    async fn answer(&mut self, query: &SpendingQuery, place: u64) -> Result<(), ShipError> {
        let settings = self.shipping.borrow().settings.clone();
        let database = settings.database.id();
        let is_open = self.querying.report.as_ref().is_some_and(|(database, _)| *database == settings.database);
        if !is_open {
            let report = Report::open(&settings.database, &settings.pool);
            let report = report.map_err(|error| ShipError("unavailable", error.to_string()))?;
            self.querying.report = Some((settings.database, report));
        }
        let Some((_, report)) = &self.querying.report else { return Ok(()) };
        let (own, all) = (self.feed.own_runs(), self.feed.all_runs());
        let sums = within(&mut self.shipping, LIMIT, report.spent(query, &own, &all)).await?;
        self.feed.answered(database, query, &sums, place);
        Ok(())
    }
}
