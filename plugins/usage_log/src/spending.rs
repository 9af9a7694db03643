//! Reports what the ledger's records cost to the plugins that limit spending: by the row itself, so that both are the same to the
//! last picodollar.

use std::path::Path;

use log::warn;
use plugin_api::{DatabaseId, RecordNumber, Spender, SpendingFeed, Spent, StoredCounts, Uuid, WindowCount};

use crate::encoding;
use crate::{BatchRow, Cost, Record, Row, UsageSource};

/// The endpoints whose answers cost something, whether or not they report usage.
pub(crate) const GENERATING: [&str; 5] = ["messages", "chat_completions", "completions", "responses", "realtime"];

/// What was reported of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Its known cost, in picodollars.
    cost: i64,
    /// What budgets count: what is assumed, or else that.
    pub(crate) counted: i64,
    /// 1 where its cost is neither known nor assumed, and 0 where it is.
    pub(crate) unpriced: i64,
    /// The tokens that it counts for limits.
    pub(crate) limit_tokens: Option<i64>,
}

impl Reported {
    fn of_row(row: &Row) -> Self {
        let picos = |cost: Option<Cost>| cost.map_or(0, |cost| cost.picos());
        Self {
            cost: picos(row.cost_usd),
            counted: picos(row.assumed_cost_usd.or(row.cost_usd)),
            unpriced: i64::from(is_unpriced(row)),
            limit_tokens: row.limit_tokens,
        }
    }

    /// What was reported of the same request before this record of an earlier run.
    fn before(record: &Record) -> Self {
        match record {
            Record::Request(row) => {
                Self { counted: row.counted_before, unpriced: row.unpriced_before, ..Self::default() }
            }
            Record::Batch(_) => Self::default(),
        }
    }

    fn of_result(row: &BatchRow) -> Self {
        let cost = row.cost_usd.map_or(0, |cost| cost.picos());
        Self { cost, counted: cost, unpriced: i64::from(row.cost_usd.is_none()), limit_tokens: None }
    }
}

/// Whether an answer cost something that is neither known nor assumed: one of a model without a price, or one that does not say what it
/// used.
/// [`Report::spent`](crate::report::Report::spent) says the same in SQL.
fn is_unpriced(row: &Row) -> bool {
    let generated = || {
        row.outcome == "completed"
            && row.response_status.is_some_and(|status| (200..300).contains(&status))
            && row.endpoint.as_deref().is_some_and(|endpoint| GENERATING.contains(&endpoint))
    };
    row.cost_usd.is_none() && row.assumed_cost_usd.is_none() && (row.usage_source != UsageSource::None || generated())
}

/// Reports a record that is kept at this place. `reported` is what was reported of the same request before. Returns what it is known to
/// cost beyond that, in picodollars.
pub(crate) fn report(feed: &SpendingFeed, record: &Record, place: u64, reported: &mut Reported) -> i64 {
    let before = reported.cost;
    let spent = spent(feed, record, place, reported);
    if feed.is_read() {
        feed.spent(&spent);
    }
    reported.cost - before
}

/// Reports the records of earlier runs that wait in the journal: whatever database there is, they are not stored in it yet.
pub(crate) fn report_waiting(feed: &SpendingFeed, folder: &Path, instance: Uuid, database: DatabaseId) {
    feed.opened(folder, instance, database);
    if feed.is_read() {
        let each = |record: Record| {
            feed.spent(&Spent { is_old: true, ..spent(feed, &record, 0, &mut Reported::before(&record)) });
        };
        if let Err(error) = journal::inspect(folder, encoding::decode, each) {
            warn!(error:%, journal:% = folder.display(); "the ledger's journal cannot be read for what was spent");
        }
        feed.caught_up();
    }
}

/// Reports a record of another process that is kept here at this place. One of this process, which was in another journal, was reported
/// before.
pub(crate) fn report_adopted(feed: &SpendingFeed, record: &Record, place: u64) {
    if feed.is_read() && !feed.own_runs().contains(&number(record).instance) {
        feed.spent(&Spent { is_adopted: true, ..spent(feed, record, place, &mut Reported::before(record)) });
    }
}

/// Reports the records of a batch as stored, and with them all of this run up to this place.
pub(crate) fn report_stored(feed: &SpendingFeed, records: &[Record], place: Option<u64>) {
    if feed.is_read() {
        let stored = records.iter().map(|record| StoredCounts { number: number(record), counts: counts(record) });
        feed.stored(place, &stored.collect::<Vec<_>>());
    }
}

fn number(record: &Record) -> RecordNumber {
    match record {
        Record::Request(row) => RecordNumber { instance: row.instance, sequence: row.sequence, revision: row.revision },
        Record::Batch(_) => RecordNumber::default(),
    }
}

fn counts(record: &Record) -> &[WindowCount] {
    match record {
        Record::Request(row) => &row.window_counts,
        Record::Batch(_) => &[],
    }
}

fn spent<'a>(feed: &SpendingFeed, record: &'a Record, place: u64, reported: &mut Reported) -> Spent<'a> {
    let (id, began, spender, now) = match record {
        Record::Request(row) => {
            let spender = Spender {
                tenant: row.tenant.as_deref(),
                key: row.key_name.as_deref(),
                user: row.user_id.as_deref(),
                model: row.model.as_deref(),
            };
            (row.id, row.created_at, spender, Reported::of_row(row))
        }
        Record::Batch(row) => {
            let spender = Spender {
                tenant: row.tenant.as_deref(),
                key: row.key_name.as_deref(),
                user: None,
                model: row.served_model.as_deref(),
            };
            (Uuid::nil(), row.created_at, spender, Reported::of_result(row))
        }
    };
    let before = std::mem::replace(reported, now);
    Spent {
        id,
        number: number(record),
        ledger: feed.ledger(),
        place,
        is_old: false,
        is_adopted: false,
        began: began.micros().div_euclid(1_000_000),
        spender,
        picos: now.counted - before.counted,
        unpriced: now.unpriced - before.unpriced,
        counts: counts(record),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, Weak};

    use plugin_api::{LedgerId, OpenLedger, Protocol, Spending, SpendingReader};
    use prices::Cost;

    use super::*;
    use crate::ledger_journal::LedgerJournal;
    use crate::metrics::LedgerMetrics;
    use crate::tests::Folder;

    #[test]
    fn a_correction_of_an_earlier_run_counts_what_it_adds() {
        #[derive(Debug, Default)]
        struct Sums(Mutex<Vec<(i64, i64)>>);
        impl SpendingReader for Sums {
            fn opened(&self, _: &OpenLedger, _: bool) {}
            fn spent(&self, spent: &Spent<'_>) {
                assert!(spent.is_old);
                self.0.lock().unwrap().push((spent.picos, spent.unpriced));
            }
            fn stored(&self, _: LedgerId, _: Option<u64>, _: &[StoredCounts<'_>]) {}
        }
        let (folder, sums) = (Folder::new(), Arc::<Sums>::default());
        let spending = Spending::default();
        let reader: Weak<Sums> = Arc::downgrade(&sums);
        spending.subscribe(reader);
        let cost = |picos| Some(Cost::from_picos(picos));
        let first = Row { id: Uuid::now_v7(), model: Some("m".into()), cost_usd: cost(100), ..Row::default() };
        let row = |row: &Row, reported: Reported, cost_usd| Row {
            revision: 1,
            sequence: 1,
            counted_before: reported.counted,
            unpriced_before: reported.unpriced,
            cost_usd,
            ..row.clone()
        };
        let same = row(&first, Reported::of_row(&first), cost(100));
        let unknown = Row { usage_source: UsageSource::Partial, cost_usd: None, ..first.clone() };
        let known = row(&unknown, Reported::of_row(&unknown), cost(70));
        {
            let metrics = Arc::new(LedgerMetrics::new());
            let (journal, _reader) = LedgerJournal::open(&folder.0, 1 << 20, metrics).unwrap();
            for row in [first, same, unknown, known] {
                assert!(journal.append(&mut Record::Request(Box::new(row))) > 0);
            }
        }
        report_waiting(&spending.feed(), &folder.0, Uuid::nil(), DatabaseId::of(&0));
        assert_eq!(*sums.0.lock().unwrap(), [(100, 0), (0, 0), (0, 1), (70, -1)]);
    }

    #[test]
    fn answers_of_every_endpoint_with_token_limits_cost_something() {
        let mut names: Vec<_> = Protocol::all()
            .iter()
            .flat_map(|protocol| protocol.endpoints.iter().chain(protocol.websockets))
            .filter(|endpoint| !endpoint.token_fields.is_empty() && !endpoint.is_batch())
            .map(|endpoint| endpoint.name)
            .collect();
        let mut generating = GENERATING.to_vec();
        names.sort_unstable();
        generating.sort_unstable();
        names.dedup();
        assert_eq!(names, generating);
    }

    #[test]
    fn an_answer_of_a_call_that_costs_something_is_unpriced_where_its_cost_is_not_known() {
        let answered = Row {
            outcome: "completed".into(),
            response_status: Some(200),
            endpoint: Some("messages".into()),
            ..Row::default()
        };
        assert!(is_unpriced(&answered));
        let priced = Row { cost_usd: Some(Cost::ZERO), usage_source: UsageSource::Reported, ..answered.clone() };
        assert!(!is_unpriced(&priced));
        let failed = Row { response_status: Some(500), ..answered.clone() };
        assert!(!is_unpriced(&failed));
        let cut = Row { outcome: "client_gone".into(), ..answered.clone() };
        assert!(!is_unpriced(&cut) && is_unpriced(&Row { usage_source: UsageSource::Partial, ..cut }));
        for endpoint in [None, Some("count_tokens".into()), Some("message_batches".into())] {
            assert!(!is_unpriced(&Row { endpoint, ..answered.clone() }));
        }
    }
}
