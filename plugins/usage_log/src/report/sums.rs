//! Sums over rows of requests and results of batches, exactly: every figure comes out of the database as text.

use std::ops::AddAssign;

use super::engine::{Engine, Limit, TextRow, Words};
use super::{By, Filter, daily};
use crate::Timestamp;
use crate::store::{StoreError, calendar};

/// What came together for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The group, in the order of what sums are made for; none where a row does not know.
    pub group: Vec<Option<String>>,
    /// Its sums.
    pub sums: Sums,
}

/// Sums. Those of tokens are over rows that know; money is in picodollars (10⁻¹² dollars).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Requests.
    pub requests: i128,
    /// Results of batches.
    pub batch_results: i128,
    /// Input from no cache.
    pub input_tokens: i128,
    /// Output, reasoning included.
    pub output_tokens: i128,
    /// Input read from a provider's cache.
    pub cache_read_input_tokens: i128,
    /// Input written to it.
    pub cache_creation_input_tokens: i128,
    /// What of the output is reasoning.
    pub reasoning_tokens: i128,
    /// What it cost, as far as that is known. What asked no upstream cost nothing.
    pub cost: i128,
    /// There are rows, and the cost of none of them is known.
    pub cost_unknown: bool,
    /// Rows whose tokens are known and whose price is not: their cost is not in the sum.
    pub unpriced: i128,
    /// Requests that were sent and whose cost is not known, be it for want of a price or of their tokens.
    pub unknown: i128,
    /// What answers from the cache did not cost, as far as that is known.
    pub saved: i128,
    /// There are rows, and of none of them it is known.
    pub saved_unknown: bool,
    /// When the last of them began, where that is asked for.
    pub last: Option<Timestamp>,
}

pub(super) const SUMS: [&str; 11] = [
    "requests",
    "batch_results",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced",
    "unknown",
    "saved",
];

/// In the place of the time of the last row, where that is not asked for.
pub(super) const NO_TIME: &str = "CAST(NULL AS text)";

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        // where there is no row, nothing is unknown
        let (none, no_more) = (self.is_empty(), other.is_empty());
        let unknown = |one: bool, more: bool| (one || none) && (more || no_more) && !(none && no_more);
        self.cost_unknown = unknown(self.cost_unknown, other.cost_unknown);
        self.saved_unknown = unknown(self.saved_unknown, other.saved_unknown);
        self.requests += other.requests;
        self.batch_results += other.batch_results;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_input_tokens += other.cache_read_input_tokens;
        self.cache_creation_input_tokens += other.cache_creation_input_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.cost += other.cost;
        self.unpriced += other.unpriced;
        self.unknown += other.unknown;
        self.saved += other.saved;
        self.last = self.last.max(other.last);
    }
}

impl Sums {
    /// What they cost, as far as that is known. Rows that cost nothing, such as answers from the cache, say nothing of those beside
    /// them whose cost is not known: together they are no 0.
    #[must_use]
    pub fn known_cost(&self) -> Option<i128> {
        let is_known = !self.cost_unknown && (self.cost != 0 || self.unpriced == 0 && self.unknown == 0);
        is_known.then_some(self.cost)
    }

    /// Tokens of all classes.
    #[must_use]
    pub fn tokens(&self) -> i128 {
        self.input_tokens + self.output_tokens + self.cache_read_input_tokens + self.cache_creation_input_tokens
    }

    fn is_empty(&self) -> bool {
        self.requests == 0 && self.batch_results == 0
    }
}

/// Picodollars as dollars, exactly and without trailing zeros: `0.0123`.
#[must_use]
pub fn dollars(picos: i128) -> String {
    const DOLLAR: u128 = 1_000_000_000_000;
    let (sign, picos) = (if picos < 0 { "-" } else { "" }, picos.unsigned_abs());
    let fraction = format!("{:012}", picos % DOLLAR);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", picos / DOLLAR)
}

pub(super) async fn between(
    engine: &dyn Engine,
    by: &[By],
    filter: &Filter,
    with_last: bool,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Line>, StoreError> {
    if filter.is_empty()
        && !with_last
        && let Some(lines) = daily::of_day(engine, by, since, until).await?
    {
        return Ok(lines);
    }
    let query = query(engine.words(), by, filter, with_last, since, until);
    let rows = engine.rows(&query, by.len() + SUMS.len() + 1, Limit::Usual).await?;
    rows.into_iter().map(|row| line(by.len(), row)).collect()
}

pub(super) async fn first(engine: &dyn Engine) -> Result<Option<Timestamp>, StoreError> {
    let earliest = (engine.words().earliest)("first");
    let query = format!(
        "SELECT {earliest} FROM (
            SELECT min(created_at) AS first FROM api_requests UNION ALL SELECT min(created_at) FROM batch_results
        ) AS both_tables"
    );
    let rows = engine.rows(&query, 1, Limit::Usual).await?;
    Ok(rows.into_iter().flatten().flatten().next().and_then(|text| calendar::parse(&text)))
}

impl By {
    /// What rows say of it.
    pub(super) fn expression(self, words: &Words) -> String {
        match self {
            Self::Model => "coalesce(served_model, model)".into(),
            Self::Domain => "domain".into(),
            Self::Tenant => "coalesce(tenant, key_name, api_key_hash)".into(),
            Self::Key => "coalesce(key_name, api_key_hash)".into(),
            Self::Session => "session_id".into(),
            Self::User => "user_id".into(),
            Self::Conversation => "CAST(conversation_id AS text)".into(),
            Self::Upstream => "upstream".into(),
            Self::Outcome => "outcome".into(),
            Self::Hour => format!("{} || ':00'", (words.clock)(13)),
            Self::Day => (words.clock)(10),
            Self::Month => (words.clock)(7),
        }
    }
}

fn query(words: &Words, by: &[By], filter: &Filter, with_last: bool, since: Timestamp, until: Timestamp) -> String {
    let groups = by.iter().map(|by| by.expression(words));
    let sums = SUMS.map(|column| format!("CAST(sum({column}) AS text)"));
    let last = if with_last { (words.latest)("created_at") } else { NO_TIME.to_owned() };
    let selected = groups.chain(sums).chain([last]).collect::<Vec<_>>().join(", ");
    let numbers: Vec<String> = (1..=by.len()).map(|number| number.to_string()).collect();
    let grouped = if by.is_empty() { String::new() } else { format!("GROUP BY {0} ORDER BY {0}", numbers.join(", ")) };
    let within = format!("created_at >= {} AND created_at < {}", (words.time)(since), (words.time)(until));
    let (cost, saved) = ((words.money)("cost"), (words.money)("saved_cost"));
    let tokens = "input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens, reasoning_tokens";
    format!(
        "SELECT {selected} FROM (
            SELECT created_at, served_model, model, domain, api_key_hash, tenant, key_name, session_id, user_id,
                conversation_id, upstream, outcome, 1 AS requests, 0 AS batch_results,
                {tokens}, CASE WHEN attempts = 0 THEN coalesce({cost}, 0) ELSE {cost} END AS cost,
                CASE WHEN usage_source <> 'none' AND {cost} IS NULL THEN 1 ELSE 0 END AS unpriced,
                CASE WHEN attempts > 0 AND {cost} IS NULL THEN 1 ELSE 0 END AS unknown,
                CASE WHEN saved_input_tokens IS NULL AND saved_output_tokens IS NULL THEN coalesce({saved}, 0) ELSE {saved} END AS saved
            FROM api_requests WHERE {within}
            UNION ALL
            SELECT created_at, served_model, NULL, domain, api_key_hash, tenant, key_name, NULL, NULL, NULL, upstream, 'completed', 0, 1,
                {tokens}, {cost}, CASE WHEN {cost} IS NULL THEN 1 ELSE 0 END, CASE WHEN {cost} IS NULL THEN 1 ELSE 0 END, 0
            FROM batch_results WHERE {within}
        ) AS used {} {grouped}",
        filter.condition(words)
    )
}

pub(super) fn line(groups: usize, mut row: TextRow) -> Result<Line, StoreError> {
    let mut sums = row.split_off(groups.min(row.len()));
    let last = sums.pop().flatten().and_then(|text| calendar::parse(&text));
    let mut metrics = [None; SUMS.len()];
    for (figure, sum) in metrics.iter_mut().zip(sums) {
        // no row, or none that knows
        let sum = sum.map(|sum| sum.parse()).transpose();
        *figure = sum.map_err(|error| StoreError::Unavailable(format!("a sum is no number: {error}")))?;
    }
    let [requests, batch_results, input, output, read, creation, reasoning, cost, unpriced, unknown, saved] = metrics;
    let count = |sum: Option<i128>| sum.unwrap_or(0);
    let some = count(requests) > 0 || count(batch_results) > 0;
    let sums = Sums {
        requests: count(requests),
        batch_results: count(batch_results),
        input_tokens: count(input),
        output_tokens: count(output),
        cache_read_input_tokens: count(read),
        cache_creation_input_tokens: count(creation),
        reasoning_tokens: count(reasoning),
        cost: count(cost),
        cost_unknown: some && cost.is_none(),
        unpriced: count(unpriced),
        unknown: count(unknown),
        saved: count(saved),
        saved_unknown: some && saved.is_none(),
        last,
    };
    Ok(Line { group: row, sums })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_unknown_as_long_as_no_row_has_one() {
        let unknown = Sums { requests: 1, cost_unknown: true, ..Sums::default() };
        let known = Sums { requests: 1, cost: 5, ..Sums::default() };
        let sum = |parts: &[Sums]| {
            let mut sum = Sums::default();
            parts.iter().for_each(|part| sum += *part);
            (sum.cost_unknown, sum.cost)
        };
        let none = Sums::default();
        assert_eq!(sum(&[none, none]), (false, 0));
        assert_eq!(sum(&[none, unknown, none, unknown]), (true, 0));
        assert_eq!(sum(&[unknown, known]), (false, 5));
        assert_eq!(sum(&[known, none, unknown]), (false, 5));
    }
}
