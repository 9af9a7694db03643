//! What a row adds to the sums of its day.

use std::borrow::Cow;

use super::group::Key;
use super::minutes::is_error;
use super::table::{Figure, SumTable};
use crate::columns::Value;
use crate::store::calendar::Date;
use crate::{BatchRow, Cost, Row, Tokens, UsageSource};

/// How many columns a group has.
pub(super) const TEXTS: usize = 6;
const FIGURES: usize = 15;

/// The sums by day.
pub(crate) static DAILY: SumTable = SumTable {
    name: "usage_daily",
    span: "day",
    groups: &["tenant", "key_name", "api_key_hash", "user_id", "model", "domain"],
    figures: &[
        Figure::Count("requests"),
        Figure::Count("batch_results"),
        Figure::Count("errors"),
        Figure::Count("cache_hits"),
        Figure::Count("input_tokens"),
        Figure::Count("output_tokens"),
        Figure::Count("cache_read_input_tokens"),
        Figure::Count("cache_creation_input_tokens"),
        Figure::Count("reasoning_tokens"),
        Figure::Money("cost"),
        // rows whose cost is known: where there is none, the sum is unknown and not 0
        Figure::Count("priced"),
        Figure::Count("unpriced"),
        Figure::Money("saved_cost"),
        Figure::Count("saved_known"),
        Figure::Count("saved_tokens"),
    ],
};

/// What the rows of a group have in common.
pub(super) type DailyKey<'a> = Key<'a, Date, TEXTS>;

/// The sums of a group.
pub(super) type DailyFigures = [i64; FIGURES];

impl<'a> DailyKey<'a> {
    pub(super) fn of_row(row: &'a Row, shard: u8) -> Self {
        let texts = [
            text(row.tenant.as_deref()),
            text(row.key_name.as_deref()),
            text(row.api_key_hash.as_deref()),
            text(row.user_id.as_deref()),
            text(row.served_model.as_deref().or(row.model.as_deref())),
            Some(key(&row.domain)),
        ];
        Self { span: Date::of(row.created_at), shard, texts }
    }

    pub(super) fn of_batch(row: &'a BatchRow, shard: u8) -> Self {
        let texts = [
            text(row.tenant.as_deref()),
            text(row.key_name.as_deref()),
            text(row.api_key_hash.as_deref()),
            None,
            text(row.served_model.as_deref()),
            Some(key(&row.domain)),
        ];
        Self { span: Date::of(row.created_at), shard, texts }
    }

    /// The same with so much left out: the user, or whatever a client may choose.
    pub(super) fn without(mut self, others: u8) -> Self {
        let [_, _, hash, user, model, domain] = &mut self.texts;
        if others > 0 {
            *user = None;
        }
        if others > 1 {
            (*hash, *model, *domain) = (None, None, None);
        }
        self
    }
}

/// What a row counts, as [`sums`](crate::report) counts it.
pub(super) fn of_row(row: &Row) -> DailyFigures {
    let no_tokens_saved = row.saved.input.is_none() && row.saved.output.is_none();
    let cost = known_cost(row);
    let saved = row.saved_cost_usd.or(no_tokens_saved.then_some(Cost::ZERO));
    let is_hit = matches!(row.cache_status.as_deref(), Some("hit" | "coalesced"));
    let Tokens { input, output, cache_read, cache_creation, .. } = row.saved;
    let saved_tokens = [input, output, cache_read, cache_creation].into_iter().flatten();
    let [input, output, read, creation, reasoning] = tokens(&row.tokens);
    [
        1,
        0,
        i64::from(is_error(row)),
        i64::from(is_hit),
        input,
        output,
        read,
        creation,
        reasoning,
        picos(cost),
        i64::from(cost.is_some()),
        i64::from(is_unpriced(row)),
        picos(saved),
        i64::from(saved.is_some()),
        saved_tokens.fold(0, i64::saturating_add),
    ]
}

/// What a result of a batch counts.
pub(super) fn of_batch(row: &BatchRow) -> DailyFigures {
    let [input, output, read, creation, reasoning] = tokens(&row.tokens);
    let (priced, unpriced) = (i64::from(row.cost_usd.is_some()), i64::from(row.cost_usd.is_none()));
    [0, 1, 0, 0, input, output, read, creation, reasoning, picos(row.cost_usd), priced, unpriced, 0, 1, 0]
}

/// What a row cost, where that is known: nothing where no server was asked.
pub(super) fn known_cost(row: &Row) -> Option<Cost> {
    row.cost_usd.or((row.attempts == 0).then_some(Cost::ZERO))
}

/// Whether an answer used something whose price is not known.
pub(super) fn is_unpriced(row: &Row) -> bool {
    row.usage_source != UsageSource::None && row.cost_usd.is_none()
}

/// Those that are summed up, 0 where one is not known.
pub(super) fn tokens(tokens: &Tokens) -> [i64; 5] {
    let Tokens { input, output, cache_read, cache_creation, reasoning, .. } = *tokens;
    [input, output, cache_read, cache_creation, reasoning].map(|tokens| tokens.unwrap_or(0))
}

pub(super) fn picos(cost: Option<Cost>) -> i64 {
    cost.map_or(0, Cost::picos)
}

/// A text as the row's column has it.
pub(super) fn text(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(|text| match Value::text(text) {
        Value::Text(text) => text,
        _ => Cow::Borrowed(text),
    })
}

/// The same of the domain's column.
pub(super) fn key(domain: &str) -> Cow<'_, str> {
    match Value::key(domain) {
        Value::Text(text) => text,
        _ => Cow::Borrowed(domain),
    }
}
