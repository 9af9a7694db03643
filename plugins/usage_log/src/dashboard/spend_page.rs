//! A page of sums, found by where the last one ended, and the totals of all pages, by one query.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::Failure;
use super::json::Columns;
use super::reader::Reader;
use super::spend::{By, COUNTED, FIGURES, Figures};
use crate::rollup::Dialect;

/// Between the parts of a group in the order of groups.
const BETWEEN: &str = "\u{1f}";

/// The order of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Cost,
    Requests,
    Tokens,
    Saved,
    Group,
}

impl FromStr for Sort {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "cost" => Ok(Self::Cost),
            "requests" => Ok(Self::Requests),
            "tokens" => Ok(Self::Tokens),
            "saved" => Ok(Self::Saved),
            "group" => Ok(Self::Group),
            _ => Err(()),
        }
    }
}

impl Sort {
    /// What groups are sorted by, descending, before their texts.
    fn sql(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Requests => "requests + batch_results",
            Self::Tokens => "input_tokens + cache_read_input_tokens + cache_creation_input_tokens + output_tokens",
            Self::Saved => "saved_cost",
            Self::Group => "0",
        }
    }
}

/// Where a page ends: what its last line is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    figure: String,
    group: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.figure)?;
        f.write_char('.')?;
        self.group.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (figure, digits) = text.rsplit_once('.').ok_or(())?;
        let number: i128 = figure.parse().map_err(|_| ())?;
        if digits.len() % 2 != 0 || !digits.is_ascii() {
            return Err(());
        }
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| ());
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
        let group = String::from_utf8(bytes).map_err(|_| ())?;
        if group.contains('\0') { Err(()) } else { Ok(Self { figure: number.to_string(), group }) }
    }
}

/// A group, and its figures.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) group: Vec<Option<String>>,
    pub(super) is_other: bool,
    pub(super) figures: Figures,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    pub(super) totals: Figures,
    pub(super) groups: i128,
    pub(super) next: Option<Cursor>,
}

/// The order of a text, in which no language has a say.
pub(super) fn group_order(dialect: &Dialect, text: &str) -> String {
    format!("{text}{}", dialect.binary_order)
}

/// The lines that follow a page's end, and the totals of all lines.
pub(super) async fn lines(
    reader: &Reader,
    by: &[By],
    within: &str,
    sort: Sort,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, Failure> {
    let query = query(reader, by, within, sort, after, limit);
    let (mut lines, mut ends, mut totals, mut groups) = (Vec::new(), Vec::new(), None, 0);
    for row in reader.rows(&query, 1 + by.len() + 1 + FIGURES + 2).await? {
        let mut columns = Columns::of(row);
        let is_total = columns.sum() == 1;
        let (group, is_other) = (columns.texts(by.len()), columns.sum() > 0);
        let figures = Figures::read(&mut columns);
        let (figure, order) = (columns.text().unwrap_or_default(), columns.text().unwrap_or_default());
        if is_total {
            (totals, groups) = (Some(figures), figure.parse().unwrap_or(0));
        } else {
            lines.push(Line { group, is_other, figures });
            ends.push(Cursor { figure, group: order });
        }
    }
    let has_more = lines.len() > limit;
    lines.truncate(limit);
    let next = if has_more { ends.into_iter().nth(limit.saturating_sub(1)) } else { None };
    let totals = totals.ok_or_else(|| Failure::Unavailable("the database gave no totals".into()))?;
    Ok(Page { lines, totals, groups, next })
}

fn query(reader: &Reader, by: &[By], within: &str, sort: Sort, after: Option<&Cursor>, limit: usize) -> String {
    let dialect = reader.dialect();
    let others: Vec<&str> = by.iter().filter_map(|by| by.is_other()).collect();
    let is_other =
        if others.is_empty() { "0".to_owned() } else { format!("CASE WHEN {} THEN 1 ELSE 0 END", others.join(" OR ")) };
    let groups: String =
        by.iter().enumerate().fold(String::new(), |text, (at, by)| format!("{text}{} AS g{at}, ", by.sql()));
    let names: String = (0..by.len()).fold(String::new(), |text, at| format!("{text}g{at}, "));
    let nothing: String = by.iter().map(|_| "NULL, ").collect();
    let counts: String = COUNTED.map(|name| format!("sum({name}) AS {name}, ")).concat();
    let (cost, saved) = ((dialect.picos_sum)("cost"), (dialect.picos_sum)("saved_cost"));
    let orders =
        (0..by.len()).map(|at| format!("coalesce('1' || g{at}, '0')")).chain(["CAST(is_other AS text)".to_owned()]);
    let order = orders.collect::<Vec<_>>().join(&format!(" || '{BETWEEN}' || "));
    let (figure, binary) = (sort.sql(), dialect.binary_order);
    let all: Vec<&str> =
        COUNTED.iter().copied().chain(["cost", "priced", "unpriced", "saved_cost", "saved_known"]).collect();
    let as_text = |columns: &mut dyn Iterator<Item = String>| {
        columns.map(|column| format!("CAST({column} AS text)")).collect::<Vec<_>>().join(", ")
    };
    let each = as_text(&mut all.iter().map(|name| (*name).to_owned()));
    let total = as_text(&mut all.iter().map(|name| format!("sum({name})")));
    let behind = after.map_or_else(String::new, |Cursor { figure, group }| {
        let group = (dialect.text)(group);
        format!("WHERE figure < {figure} OR (figure = {figure} AND place > {group}{binary})")
    });
    format!(
        "WITH sums AS MATERIALIZED (
            SELECT {groups}{is_other} AS is_other, {counts}
                {cost} AS cost, sum(priced) AS priced, sum(unpriced) AS unpriced,
                {saved} AS saved_cost, sum(saved_known) AS saved_known
            FROM usage_daily WHERE {within}
            GROUP BY {names}is_other HAVING sum(requests) <> 0 OR sum(batch_results) <> 0
         ), placed AS (
            SELECT *, {figure} AS figure, {order} AS place FROM sums
         ), page AS (
            SELECT * FROM placed {behind} ORDER BY figure DESC, place{binary} LIMIT {}
         )
         SELECT * FROM (
            SELECT '0' AS kind, {names}CAST(is_other AS text) AS is_other, {each}, CAST(figure AS text) AS figure, place,
                row_number() OVER (ORDER BY page.figure DESC, place{binary}) AS number
            FROM page
            UNION ALL
            SELECT '1', {nothing}'0', {total}, CAST(count(*) AS text), '', 0 FROM sums
         ) AS both_kinds ORDER BY number",
        limit + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written_and_nothing_else_is() {
        let cursor = Cursor { figure: "-12".into(), group: "1ü'\u{1f}0".into() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", ".", "1", "x.31", "1.3", "1.zz", "1.ff", "1.00", "1;DROP.31", "1.€1"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
