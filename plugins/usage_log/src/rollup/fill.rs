//! What the sums of a day lack of its rows: those of before the sums were kept, and those that an earlier release has written since. Found
//! by one query, which sees the database at one moment; so it may be added at any later one, whoever writes meanwhile.

use super::daily::{DAILY, TEXTS};
use super::group::{self, Group, Span};
use super::table::{Dialect, Figure};
use crate::Timestamp;
use crate::report::engine::TextRow;
use crate::store::calendar::Date;

/// The shard of what is added later.
const SHARD: u8 = 255;
/// As many groups are filled exactly; beyond them clients' choices are left out.
const MOST: usize = 12_000;

/// How exactly a day is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Group by group.
    Exact,
    /// By tenant and key alone.
    Others,
}

/// What is lacking.
#[derive(Debug, PartialEq)]
pub(crate) enum Lacking {
    Groups(Vec<Group<'static>>),
    /// There are more groups than are filled exactly.
    TooMany,
    /// There are fewer rows than were summed up: some are gone, and their sums stay.
    RowsGone,
}

/// As many columns the query has.
pub(crate) const COLUMNS: usize = TEXTS + DAILY.figures.len();

/// The query for what the sums of a day lack.
pub(crate) fn query(day: Date, detail: Detail, dialect: &Dialect) -> String {
    let (from, to) = ((dialect.time)(day.start()), (dialect.time)(day.next().start()));
    let within = format!("created_at >= {from} AND created_at < {to}");
    let (cost, saved) = ((dialect.picos)("cost"), (dialect.picos)("saved_cost"));
    let (smaller, most) = (dialect.smaller, i64::MAX);
    let tokens = "coalesce(input_tokens, 0), coalesce(output_tokens, 0), coalesce(cache_read_input_tokens, 0),
                coalesce(cache_creation_input_tokens, 0), coalesce(reasoning_tokens, 0)";
    let names: Vec<&str> = DAILY.figures.iter().map(|figure| figure.bare_name()).collect();
    let sums: Vec<Sum> = names.iter().map(|name| Sum::of(name, dialect)).collect();
    let some = sums.iter().map(|sum| sum.is_some.as_str()).collect::<Vec<_>>().join(" OR ");
    let sums = sums.iter().map(|sum| sum.text.as_str()).collect::<Vec<_>>().join(", ");
    let taken = DAILY.figures.iter().map(|figure| match figure {
        Figure::Count(name) => format!("-{name}"),
        Figure::Money(name) => format!("-{}", (dialect.picos)(name)),
    });
    let taken = taken.collect::<Vec<_>>().join(", ");
    let texts = match detail {
        Detail::Exact => DAILY.groups.join(", "),
        Detail::Others => "tenant, key_name, NULL, NULL, NULL, NULL".to_owned(),
    };
    let groups = match detail {
        Detail::Exact => DAILY.groups.join(", "),
        Detail::Others => "tenant, key_name".to_owned(),
    };
    format!(
        "SELECT {texts}, {sums} FROM (
            SELECT tenant, key_name, api_key_hash, user_id, coalesce(served_model, model) AS model, domain, 1 AS requests, 0 AS batch_results,
                CASE WHEN outcome IN ('completed', 'cached') AND coalesce(response_status, 0) < 400 THEN 0 ELSE 1 END AS errors,
                CASE WHEN cache_status IN ('hit', 'coalesced') THEN 1 ELSE 0 END AS cache_hits,
                coalesce(input_tokens, 0) AS input_tokens, coalesce(output_tokens, 0) AS output_tokens,
                coalesce(cache_read_input_tokens, 0) AS cache_read_input_tokens,
                coalesce(cache_creation_input_tokens, 0) AS cache_creation_input_tokens,
                coalesce(reasoning_tokens, 0) AS reasoning_tokens, coalesce({cost}, 0) AS cost,
                CASE WHEN attempts = 0 OR {cost} IS NOT NULL THEN 1 ELSE 0 END AS priced,
                CASE WHEN usage_source <> 'none' AND {cost} IS NULL THEN 1 ELSE 0 END AS unpriced, coalesce({saved}, 0) AS saved_cost,
                CASE WHEN {saved} IS NOT NULL OR (saved_input_tokens IS NULL AND saved_output_tokens IS NULL) THEN 1 ELSE 0 END
                    AS saved_known,
                {smaller}({most}, CAST(coalesce(saved_input_tokens, 0) AS numeric) + coalesce(saved_output_tokens, 0)
                    + coalesce(saved_cache_read_input_tokens, 0) + coalesce(saved_cache_creation_input_tokens, 0)) AS saved_tokens
            FROM api_requests WHERE {within}
            UNION ALL
            SELECT tenant, key_name, api_key_hash, NULL, served_model, domain, 0, 1, 0, 0, {tokens}, coalesce({cost}, 0),
                CASE WHEN {cost} IS NULL THEN 0 ELSE 1 END, CASE WHEN {cost} IS NULL THEN 1 ELSE 0 END, 0, 1, 0
            FROM batch_results WHERE {within}
            UNION ALL
            SELECT {}, {taken} FROM usage_daily WHERE day = '{day}'
         ) AS counted GROUP BY {groups} HAVING {some} LIMIT {}",
        DAILY.groups.join(", "),
        MOST + 1
    )
}

/// The sum of a column, whatever an upstream claims.
struct Sum {
    /// As text: the sum, or its upper and its lower 32 bits.
    text: String,
    /// The condition that it is not 0.
    is_some: String,
}

impl Sum {
    fn of(name: &str, dialect: &Dialect) -> Self {
        if !dialect.has_limited_money {
            return Self { text: format!("CAST(sum({name}) AS text)"), is_some: format!("sum({name}) <> 0") };
        }
        // a sum beyond 64 bits is an error, and those of halves are not
        let (upper, lower) = (format!("sum({name} >> 32)"), format!("sum({name} & 4294967295)"));
        Self {
            text: format!("CAST({upper} AS text) || ' ' || CAST({lower} AS text)"),
            is_some: format!("{upper} * 4294967296 + {lower} <> 0"),
        }
    }
}

/// What its rows say.
pub(crate) fn lacking(day: Date, detail: Detail, rows: Vec<TextRow>) -> Lacking {
    if detail == Detail::Exact && rows.len() > MOST {
        return Lacking::TooMany;
    }
    let mut requests = 0_i128;
    let mut groups = Vec::with_capacity(rows.len());
    for mut row in rows {
        let figures = row.split_off(TEXTS.min(row.len()));
        let figures: Vec<i64> = figures.into_iter().map(figure).collect();
        requests += figures.iter().take(2).copied().map(i128::from).sum::<i128>();
        let others = if detail == Detail::Exact { 0 } else { 2 };
        let texts: Vec<_> = row.into_iter().map(|text| text.map(Into::into)).collect();
        let id = group::id(others, &texts);
        groups.push(Group { span: Span::Day(day), id, shard: SHARD, others, texts, figures });
    }
    if requests < 0 { Lacking::RowsGone } else { Lacking::Groups(groups) }
}

/// The figure of a [`Sum`]. What does not fit stays at the most that does.
fn figure(text: Option<String>) -> i64 {
    let text = text.unwrap_or_default();
    let number = match text.split_once(' ') {
        Some((upper, lower)) => upper.parse().and_then(|upper: i128| Ok((upper << 32) + lower.parse::<i128>()?)),
        None => text.parse(),
    };
    let number = number.unwrap_or(0);
    i64::try_from(number).unwrap_or(if number < 0 { -i64::MAX } else { i64::MAX })
}

/// The latest row before a moment, of requests and of results.
pub(crate) fn latest_before(time: Timestamp, dialect: &Dialect) -> String {
    let before = (dialect.time)(time);
    let latest = (dialect.time_text)("max(latest)");
    format!(
        "SELECT {latest} FROM (
            SELECT max(created_at) AS latest FROM api_requests WHERE created_at < {before}
            UNION ALL SELECT max(created_at) FROM batch_results WHERE created_at < {before}
         ) AS both_tables"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_whole_or_from_its_halves() {
        let read = |text: &str| figure(Some(text.into()));
        assert_eq!((read("12"), read("-12"), figure(None)), (12, -12, 0));
        assert_eq!((read("0 12"), read("-1 4294967284"), read("-2 8589934592")), (12, -12, 0));
        assert_eq!((read("4294967294 8589934590"), read("-8589934592 0")), (i64::MAX, -i64::MAX));
    }
}
