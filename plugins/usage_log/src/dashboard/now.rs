//! What goes on now: calls, tokens, errors and latencies by the minute in which calls ended, from the sums by minute.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use plugin_api::AdminAnswer;
use serde_json::{Map, Value, json};

use super::histogram::{COUNTS, Histogram};
use super::json::{self as show, Columns};
use super::parameters::{DAY, Parameters};
use super::reader::Reader;
use super::{Failure, json_answer};
use crate::Timestamp;
use crate::rollup::BUCKETS;

const MINUTE: i64 = 60_000_000;
/// As many lines of latencies and errors are shown.
const LINES: usize = 200;
/// As long an answer is good enough for others who ask for the same.
const GOOD_FOR: Duration = Duration::from_millis(500);
const COUNTED: [&str; 7] = [
    "requests",
    "errors",
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "reasoning_tokens",
];
/// Outcomes of calls whose end says nothing of how long an answer takes.
const UNFINISHED: &str = "outcome NOT IN ('refused', 'client_gone', 'aborted')";

/// The sums of a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    counts: [i128; COUNTED.len()],
    cost: i128,
    priced: i128,
    unpriced: i128,
}

impl Sums {
    fn read(columns: &mut Columns) -> Self {
        let counts = std::array::from_fn(|_| columns.sum());
        Self { counts, cost: columns.sum(), priced: columns.sum(), unpriced: columns.sum() }
    }

    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.cost += other.cost;
        self.priced += other.priced;
        self.unpriced += other.unpriced;
    }

    fn show(&self) -> Map<String, Value> {
        let counts = COUNTED.iter().zip(self.counts).map(|(name, count)| ((*name).to_owned(), show::number(count)));
        let is_empty = self.counts[0] == 0;
        let cost = if is_empty { Some(0) } else { show::known(self.cost, self.priced, self.counts[0]) };
        let money = [("cost_usd".to_owned(), show::money(cost)), ("unpriced".to_owned(), show::number(self.unpriced))];
        counts.chain(money).collect()
    }
}

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let minutes = parameters.number("minutes", 1, 60, 180)?;
    parameters.finish()?;
    let key = minutes.to_string();
    let latest = || reader.latest.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, of, body)) = &*latest()
        && *of == key
        && at.elapsed() < GOOD_FOR
    {
        return Ok(json_answer(body.clone()));
    }
    let body = read(reader, minutes).await?;
    *latest() = Some((Instant::now(), key, body.clone()));
    Ok(json_answer(body))
}

async fn read(reader: &Reader, minutes: usize) -> Result<Value, Failure> {
    let now = Timestamp::from(SystemTime::now());
    let this = now.micros().div_euclid(MINUTE) * MINUTE;
    let first = this - MINUTE * (i64::try_from(minutes).unwrap_or(1) - 1);
    let within = format!("minute >= {}", (reader.words().time)(Timestamp::from_micros(first)));
    let (by_minute, totals) = by_minute(reader, &within, first, minutes).await?;
    let (latency, all) = latencies(reader, &within).await?;
    let mut totals = totals.show();
    totals.extend(all.percentiles().map(|(name, value)| (name.to_owned(), value)));
    Ok(json!({
        "as_of": show::time(now),
        "since": since(reader, now).await?,
        "minutes": by_minute,
        "totals": totals,
        "latency": latency,
        "errors": errors(reader, &within).await?,
    }))
}

/// Since when there are sums by minute: for a day, or since the schema has them.
async fn since(reader: &Reader, now: Timestamp) -> Result<Value, Failure> {
    let done = (reader.dialect().time_text)("done_at");
    let rows = reader.rows(&format!("SELECT {done} FROM ledger_tasks WHERE task = 'rollups'"), 1).await?;
    let begun = rows.into_iter().next().and_then(|row| Columns::of(row).time());
    Ok(show::minute(begun.unwrap_or_default().max(Timestamp::from_micros(now.micros() - DAY))))
}

async fn by_minute(reader: &Reader, within: &str, first: i64, minutes: usize) -> Result<(Vec<Value>, Sums), Failure> {
    let minute = (reader.dialect().time_text)("minute");
    let sums = sums(reader);
    let query = format!("SELECT {minute}, {sums} FROM usage_minutes WHERE {within} GROUP BY minute");
    let mut found = BTreeMap::new();
    for row in reader.rows(&query, 1 + COUNTED.len() + 3).await? {
        let mut columns = Columns::of(row);
        if let Some(minute) = columns.time() {
            found.insert(minute.micros(), Sums::read(&mut columns));
        }
    }
    let (mut all, mut shown) = (Sums::default(), Vec::with_capacity(minutes));
    for number in 0..minutes {
        let minute = first + MINUTE * i64::try_from(number).unwrap_or(0);
        let sums = found.get(&minute).copied().unwrap_or_default();
        all.add(&sums);
        let mut line = Map::from_iter([("minute".to_owned(), show::minute(Timestamp::from_micros(minute)))]);
        line.extend(sums.show());
        shown.push(Value::Object(line));
    }
    Ok((shown, all))
}

fn sums(reader: &Reader) -> String {
    let counts = COUNTED.map(|name| format!("CAST(sum({name}) AS text)")).join(", ");
    let cost = (reader.dialect().picos_sum)("cost");
    format!("{counts}, CAST({cost} AS text), CAST(sum(priced) AS text), CAST(sum(unpriced) AS text)")
}

/// The latencies by domain and endpoint, and those of all calls.
async fn latencies(reader: &Reader, within: &str) -> Result<(Vec<Value>, Histogram), Failure> {
    let counts = BUCKETS.map(|most| format!("CAST(sum(le_{most}) AS text)")).join(", ");
    let query = format!(
        "SELECT domain, endpoint, CAST(others AS text), CAST(sum(requests) AS text), {counts}, CAST(sum(le_inf) AS text)
         FROM usage_minutes WHERE {within} AND {UNFINISHED}
         GROUP BY domain, endpoint, others HAVING sum(requests) > 0 ORDER BY sum(requests) DESC, domain, endpoint"
    );
    let (mut shown, mut all) = (Vec::new(), Histogram::none());
    for row in reader.rows(&query, 4 + COUNTS).await? {
        let mut columns = Columns::of(row);
        let (domain, endpoint, others, requests) = (columns.text(), columns.text(), columns.sum(), columns.sum());
        let histogram = Histogram(std::array::from_fn(|_| columns.sum()));
        all.add(&histogram);
        if shown.len() < LINES {
            let mut line = json!({ "domain": domain, "other": others > 0, "endpoint": endpoint, "requests": show::number(requests) });
            for (name, value) in histogram.percentiles() {
                line[name] = value;
            }
            shown.push(line);
        }
    }
    Ok((shown, all))
}

async fn errors(reader: &Reader, within: &str) -> Result<Vec<Value>, Failure> {
    let query = format!(
        "SELECT domain, CAST(others AS text), outcome, reason, CAST(sum(errors) AS text) FROM usage_minutes
         WHERE {within} AND errors <> 0
         GROUP BY domain, others, outcome, reason HAVING sum(errors) > 0
         ORDER BY sum(errors) DESC, domain, outcome, reason LIMIT {LINES}"
    );
    let rows = reader.rows(&query, 5).await?;
    let line = |row| {
        let mut columns = Columns::of(row);
        let (domain, others, outcome, reason) = (columns.text(), columns.sum(), columns.text(), columns.text());
        json!({
            "domain": domain, "other": others > 0, "outcome": outcome, "reason": reason,
            "requests": show::number(columns.sum()),
        })
    };
    Ok(rows.into_iter().map(line).collect())
}
