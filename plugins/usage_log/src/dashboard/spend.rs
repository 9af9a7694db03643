//! Who spent what, from the sums by day.

use plugin_api::AdminAnswer;
use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::json::{self as show, Columns};
use super::parameters::{DAY, Parameters};
use super::reader::Reader;
use super::spend_page::{Cursor, Sort, group_order, lines};
use super::{Failure, json_answer};
use crate::Timestamp;
use crate::report::{csv_field, dollars};
use crate::store::calendar::Date;

/// As many groups a file has at most.
const IN_FILE: usize = 100_000;
/// As many values of a filter are named, those of as many days at the end of the span.
const OPTIONS: usize = 100;
const OPTION_DAYS: i64 = 7;

/// What sums are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Tenant,
    Key,
    User,
    Model,
    Domain,
    Day,
}

impl By {
    const ALL: [(&str, Self); 6] = [
        ("tenant", Self::Tenant),
        ("key", Self::Key),
        ("user", Self::User),
        ("model", Self::Model),
        ("domain", Self::Domain),
        ("day", Self::Day),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// The expression of its value, as `tollgate usage` has it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Tenant => "coalesce(tenant, key_name, api_key_hash)",
            Self::Key => "coalesce(key_name, api_key_hash)",
            Self::User => "user_id",
            Self::Model => "model",
            Self::Domain => "domain",
            Self::Day => "CAST(day AS text)",
        }
    }

    /// Where its value was left out because there were too many groups.
    pub(super) fn is_other(self) -> Option<&'static str> {
        match self {
            Self::Tenant => Some("others > 1 AND coalesce(tenant, key_name) IS NULL"),
            Self::Key => Some("others > 1 AND key_name IS NULL"),
            Self::User => Some("others > 0"),
            Self::Model | Self::Domain => Some("others > 1"),
            Self::Day => None,
        }
    }
}

/// The figures of a group, in the order in which they are queried.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    counts: [i128; COUNTED.len()],
    cost: i128,
    priced: i128,
    unpriced: i128,
    saved: i128,
    saved_known: i128,
}

/// Those that are counted, under their names.
pub(super) const COUNTED: [&str; 10] = [
    "requests",
    "batch_results",
    "errors",
    "cache_hits",
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "saved_tokens",
];
/// All of them.
pub(super) const FIGURES: usize = COUNTED.len() + 5;

impl Figures {
    pub(super) fn read(columns: &mut Columns) -> Self {
        Self {
            counts: std::array::from_fn(|_| columns.sum()),
            cost: columns.sum(),
            priced: columns.sum(),
            unpriced: columns.sum(),
            saved: columns.sum(),
            saved_known: columns.sum(),
        }
    }

    fn is_empty(&self) -> bool {
        self.counts[0] == 0 && self.counts[1] == 0
    }

    fn known_cost(&self) -> Option<i128> {
        if self.is_empty() { Some(0) } else { show::known(self.cost, self.priced, self.counts[0] + self.counts[1]) }
    }

    fn known_saved(&self) -> Option<i128> {
        (self.is_empty() || self.saved_known > 0).then_some(self.saved)
    }

    fn show(&self) -> Map<String, Value> {
        let counts = COUNTED.iter().zip(self.counts).map(|(name, count)| ((*name).to_owned(), show::number(count)));
        let [_, _, _, _, input, read, creation, ..] = self.counts;
        let others = [
            ("cost_usd", show::money(self.known_cost())),
            ("unpriced", show::number(self.unpriced)),
            ("saved_cost_usd", show::money(self.known_saved())),
            ("cache_read_share", show::cache_read_share(input, read, creation)),
        ];
        counts.chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    fn csv(&self) -> String {
        let [counts @ .., saved_tokens] = &self.counts;
        let money = |picos: Option<i128>| picos.map_or_else(String::new, dollars);
        let counts = counts.iter().map(ToString::to_string);
        let others =
            [money(self.known_cost()), self.unpriced.to_string(), money(self.known_saved()), saved_tokens.to_string()];
        counts.chain(others).collect::<Vec<_>>().join(",")
    }
}

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let by = groups(parameters)?;
    let (from, to) = parameters.days()?;
    let filter = filter(reader, parameters);
    let sort: Sort = parameters.parsed("sort", "cost, requests, tokens, saved or group")?.unwrap_or_default();
    let limit = parameters.number("limit", 1, 50, 200)?;
    let after: Option<Cursor> = parameters.parsed("after", "what `next` said")?;
    let is_file = match parameters.word("format").as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(other) => return Err(format!("`format`: found `{other}`, wanted json or csv").into()),
    };
    parameters.finish()?;
    let (first, last) = (show::day(from), show::day(Timestamp::from_micros(to.micros() - 1)));
    let within = format!("day >= '{first}' AND day <= '{last}'{}", filter.sql());
    if is_file {
        let sums = lines(reader, &by, &within, sort, None, IN_FILE).await?;
        return Ok(AdminAnswer::csv("spend.csv", csv(&by, &sums.lines)));
    }
    let sums = lines(reader, &by, &within, sort, after.as_ref(), limit).await?;
    let rows = sums.lines.iter().map(|line| {
        let mut row = line.figures.show();
        row.insert("group".into(), json!(line.group));
        row.insert("other".into(), json!(line.is_other));
        Value::Object(row)
    });
    Ok(json_answer(json!({
        "from": first,
        "to": last,
        "by": by.iter().map(|by| by.name()).collect::<Vec<_>>(),
        "unfilled_days": unfilled(reader, from, to).await?,
        "rows": rows.collect::<Vec<_>>(),
        "totals": sums.totals.show(),
        "groups": show::number(sums.groups),
        "next": sums.next.map(|next| next.to_string()),
    })))
}

fn groups(parameters: &mut Parameters) -> Result<Vec<By>, String> {
    let Some(text) = parameters.text("by") else { return Ok(vec![By::Tenant]) };
    let mut groups = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let by = By::ALL.iter().find(|(name, _)| *name == word).map(|(_, by)| *by);
        let by = by.ok_or_else(|| format!("`by`: found `{word}`, wanted tenant, key, user, model, domain or day"))?;
        if groups.contains(&by) {
            return Err(format!("`by` names `{word}` twice"));
        }
        groups.push(by);
    }
    if groups.len() > 4 { Err("`by` names more than 4 groups".into()) } else { Ok(groups) }
}

/// The filters. What was left out of groups that are too many is nobody's.
fn filter(reader: &Reader, parameters: &mut Parameters) -> Filter {
    let mut filter = Filter::default();
    for (name, by) in By::ALL {
        if by == By::Day {
            continue;
        }
        match parameters.text(name) {
            None => {}
            Some(text) if text.is_empty() => {
                let is_other = by.is_other().unwrap_or("false");
                filter.and(format!("{} IS NULL AND NOT ({is_other})", by.sql()));
            }
            Some(text) => filter.and(format!("{} = {}", by.sql(), (reader.dialect().text)(&text))),
        }
    }
    filter
}

fn csv(by: &[By], lines: &[super::spend_page::Line]) -> String {
    let [counted @ .., saved_tokens] = COUNTED;
    let head =
        by.iter().map(|by| by.name()).chain(counted).chain(["cost_usd", "unpriced", "saved_cost_usd", saved_tokens]);
    let mut text = head.collect::<Vec<_>>().join(",") + "\r\n";
    for line in lines {
        let group = line.group.iter().map(|part| match part {
            Some(part) => csv_field(part),
            None if line.is_other => "(other)".into(),
            None => String::new(),
        });
        text.push_str(&group.chain([line.figures.csv()]).collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

/// How many of these days have rows of before the sums were kept that nobody has summed up yet.
async fn unfilled(reader: &Reader, from: Timestamp, to: Timestamp) -> Result<i64, Failure> {
    let dialect = reader.dialect();
    let tasks = format!(
        "SELECT task, {} FROM ledger_tasks WHERE task IN ('rollups', 'rollups_filled')",
        (dialect.time_text)("done_at")
    );
    let mut begun = None;
    for row in reader.rows(&tasks, 2).await? {
        let mut columns = Columns::of(row);
        if columns.text().as_deref() == Some("rollups_filled") {
            return Ok(0);
        }
        begun = columns.time();
    }
    let earliest = (reader.words().earliest)("created_at");
    let first = reader.rows(&format!("SELECT {earliest} FROM api_requests"), 1).await?;
    let first = first.into_iter().next().and_then(|row| Columns::of(row).time());
    let (Some(begun), Some(first)) = (begun, first) else { return Ok(0) };
    // the day on which that began is filled once it is over
    let (from, until) = (from.max(Date::of(first).start()), to.min(Date::of(begun).next().start()));
    let days = (until.micros() - from.micros()) / DAY;
    if days <= 0 {
        return Ok(0);
    }
    let (first, last) = (show::day(from), show::day(Timestamp::from_micros(until.micros() - 1)));
    let filled = format!("SELECT CAST(count(*) AS text) FROM usage_days WHERE day >= '{first}' AND day <= '{last}'");
    let filled = reader.rows(&filled, 1).await?.into_iter().next().map_or(0, |row| Columns::of(row).sum());
    Ok(days - i64::try_from(filled).unwrap_or(0))
}

/// What filters may name.
pub(super) async fn options(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let (from, to) = parameters.days()?;
    parameters.finish()?;
    // the newest are enough for a menu, and five queries go through them
    let from = from.max(Timestamp::from_micros(to.micros() - OPTION_DAYS * DAY));
    let (first, last) = (show::day(from), show::day(Timestamp::from_micros(to.micros() - 1)));
    let mut all = Map::new();
    for (name, by) in By::ALL {
        if by == By::Day {
            continue;
        }
        let value = by.sql();
        let query = format!(
            "SELECT {value} FROM usage_daily WHERE day >= '{first}' AND day <= '{last}' AND {value} IS NOT NULL
             GROUP BY 1 ORDER BY sum(requests) DESC, {} LIMIT {OPTIONS}",
            group_order(reader.dialect(), value)
        );
        let rows = reader.rows(&query, 1).await?;
        let values: Vec<String> = rows.into_iter().flatten().flatten().collect();
        all.insert(name.to_owned(), json!(values));
    }
    Ok(json_answer(Value::Object(all)))
}
