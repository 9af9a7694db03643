//! What a row adds to the sums of the minute in which its call ended.

use std::borrow::Cow;
use std::time::Duration;

use super::daily::{is_unpriced, key, known_cost, picos, text, tokens};
use super::group::Key;
use super::table::{Figure, SumTable};
use crate::{Row, Timestamp};

/// How long they are kept.
pub(crate) const KEPT: Duration = Duration::from_secs(25 * 3600);

/// The buckets of the latency histogram: the most milliseconds of each but the last, which takes the rest.
pub const BUCKETS: [i64; 22] = [
    10, 25, 50, 100, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 60_000,
    120_000, 300_000, 600_000,
];

/// How many columns a group has.
pub(super) const TEXTS: usize = 4;
const BEFORE_BUCKETS: usize = 10;
const FIGURES: usize = BEFORE_BUCKETS + BUCKETS.len() + 1;
const MINUTE: i64 = 60_000_000;

/// The sums by minute.
pub(crate) static MINUTES: SumTable = SumTable {
    name: "usage_minutes",
    span: "minute",
    groups: &["domain", "endpoint", "outcome", "reason"],
    figures: &[
        Figure::Count("requests"),
        Figure::Count("errors"),
        Figure::Count("input_tokens"),
        Figure::Count("output_tokens"),
        Figure::Count("cache_read_input_tokens"),
        Figure::Count("cache_creation_input_tokens"),
        Figure::Count("reasoning_tokens"),
        Figure::Money("cost"),
        Figure::Count("priced"),
        Figure::Count("unpriced"),
        Figure::Count("le_10"),
        Figure::Count("le_25"),
        Figure::Count("le_50"),
        Figure::Count("le_100"),
        Figure::Count("le_200"),
        Figure::Count("le_350"),
        Figure::Count("le_500"),
        Figure::Count("le_750"),
        Figure::Count("le_1000"),
        Figure::Count("le_1500"),
        Figure::Count("le_2000"),
        Figure::Count("le_3000"),
        Figure::Count("le_5000"),
        Figure::Count("le_7500"),
        Figure::Count("le_10000"),
        Figure::Count("le_15000"),
        Figure::Count("le_20000"),
        Figure::Count("le_30000"),
        Figure::Count("le_60000"),
        Figure::Count("le_120000"),
        Figure::Count("le_300000"),
        Figure::Count("le_600000"),
        Figure::Count("le_inf"),
    ],
};

/// What the rows of a group have in common.
pub(super) type MinuteKey<'a> = Key<'a, Timestamp, TEXTS>;

/// The sums of a group.
pub(super) type MinuteFigures = [i64; FIGURES];

impl<'a> MinuteKey<'a> {
    pub(super) fn of_row(row: &'a Row, shard: u8) -> Self {
        let texts = [Some(key(&row.domain)), text(row.endpoint.as_deref()), text(Some(&row.outcome)), reason(row)];
        Self { span: minute(row), shard, texts }
    }

    /// The same without what a client or an upstream may choose.
    pub(super) fn without_choices(mut self) -> Self {
        let [domain, _, _, reason] = &mut self.texts;
        (*domain, *reason) = (None, None);
        self
    }
}

/// The minute in which a call ended.
fn minute(row: &Row) -> Timestamp {
    let took = row.response_time_ms.saturating_mul(1000);
    let ended = row.created_at.micros().saturating_add(took);
    Timestamp::from_micros(ended.div_euclid(MINUTE).saturating_mul(MINUTE))
}

/// Whether a call did not end as its caller wanted.
pub(super) fn is_error(row: &Row) -> bool {
    !matches!(&*row.outcome, "completed" | "cached") || row.response_status.is_some_and(|status| status >= 400)
}

/// Why it did not: the refusal's word, or the error's type, or the status.
fn reason(row: &Row) -> Option<Cow<'_, str>> {
    if !is_error(row) {
        return None;
    }
    let status = || row.response_status.filter(|status| *status >= 400).map(|status| format!("status_{status}").into());
    text(row.reason.as_deref().or(row.error_type.as_deref())).or_else(status)
}

/// What a row counts.
pub(super) fn of_row(row: &Row) -> MinuteFigures {
    let cost = known_cost(row);
    let [input, output, read, creation, reasoning] = tokens(&row.tokens);
    let (priced, unpriced) = (i64::from(cost.is_some()), i64::from(is_unpriced(row)));
    let before: [i64; BEFORE_BUCKETS] =
        [1, i64::from(is_error(row)), input, output, read, creation, reasoning, picos(cost), priced, unpriced];
    let mut figures = [0; FIGURES];
    figures[..BEFORE_BUCKETS].copy_from_slice(&before);
    figures[BEFORE_BUCKETS + BUCKETS.partition_point(|most| *most < row.response_time_ms)] = 1;
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_has_its_column() {
        let names = BUCKETS.map(|most| format!("le_{most}"));
        let names = names.iter().map(String::as_str).chain(["le_inf"]).map(|name| name.to_owned());
        let columns = MINUTES.figures[BEFORE_BUCKETS..].iter().map(|figure| match figure {
            Figure::Count(name) | Figure::Money(name) => (*name).to_owned(),
        });
        assert_eq!(columns.collect::<Vec<_>>(), names.collect::<Vec<_>>());
    }

    #[test]
    fn a_call_is_counted_where_it_ended_and_how_long_it_took() {
        let row = |created, took| Row {
            created_at: Timestamp::from_micros(created),
            response_time_ms: took,
            ..Row::default()
        };
        assert_eq!(minute(&row(59_999_000, 0)).micros(), 0);
        assert_eq!(minute(&row(59_999_000, 1)).micros(), MINUTE);
        let bucket = |took| of_row(&row(0, took))[BEFORE_BUCKETS..].iter().position(|count| *count == 1).unwrap();
        assert_eq!([0, 10, 11, 25, 600_000, 600_001, i64::MAX].map(bucket), [0, 0, 1, 1, 21, 22, 22]);
    }
}
