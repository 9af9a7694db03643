//! Sums of a whole day from the ledger's own sums, where these say what the rows say.

use super::By;
use super::engine::{Engine, Limit};
use super::sums::{Line, NO_TIME, SUMS, line};
use crate::Timestamp;
use crate::store::StoreError;
use crate::store::calendar::Date;

/// The sums of a span that is a day that is over and was compared with its rows; none where rows are to be asked.
pub(super) async fn of_day(
    engine: &dyn Engine,
    by: &[By],
    since: Timestamp,
    until: Timestamp,
) -> Result<Option<Vec<Line>>, StoreError> {
    let day = Date::of(since);
    let groups: Option<Vec<&str>> = by.iter().map(|by| group(*by)).collect();
    let Some(groups) = groups.filter(|_| day.start() == since && day.next().start() == until) else { return Ok(None) };
    if !is_that_of_rows(engine, day).await {
        return Ok(None);
    }
    let (cost, saved) = ((engine.words().money)("cost"), (engine.words().money)("saved_cost"));
    let sums = SUMS.map(|column| match column {
        "cost" => format!("CAST(CASE WHEN sum(priced) <> 0 THEN sum({cost}) END AS text)"),
        "saved" => format!("CAST(CASE WHEN sum(saved_known) <> 0 THEN sum({saved}) END AS text)"),
        "unknown" => "CAST(sum(requests) + sum(batch_results) - sum(priced) AS text)".to_owned(),
        count => format!("CAST(sum({count}) AS text)"),
    });
    let selected = groups
        .iter()
        .map(|group| (*group).to_owned())
        .chain(sums)
        .chain([NO_TIME.to_owned()])
        .collect::<Vec<_>>()
        .join(", ");
    let numbers: Vec<String> = (1..=by.len()).map(|number| number.to_string()).collect();
    let grouped = if by.is_empty() {
        String::new()
    } else {
        format!("GROUP BY {0} HAVING sum(requests) <> 0 OR sum(batch_results) <> 0 ORDER BY {0}", numbers.join(", "))
    };
    let query = format!("SELECT {selected} FROM usage_daily WHERE day = '{day}' {grouped}");
    let rows = engine.rows(&query, by.len() + SUMS.len() + 1, Limit::Usual).await?;
    rows.into_iter().map(|row| line(by.len(), row)).collect::<Result<_, _>>().map(Some)
}

/// The expression of a group, as [`sums`](super::sums) has it of rows; none where sums by day do not know it.
fn group(by: By) -> Option<&'static str> {
    match by {
        By::Model => Some("model"),
        By::Domain => Some("domain"),
        By::Tenant => Some("coalesce(tenant, key_name, api_key_hash)"),
        By::Key => Some("coalesce(key_name, api_key_hash)"),
        By::User => Some("user_id"),
        By::Day => Some("CAST(day AS text)"),
        By::Month => Some("substr(CAST(day AS text), 1, 7)"),
        By::Session | By::Conversation | By::Upstream | By::Outcome | By::Hour => None,
    }
}

/// Whether a day was compared with its rows, no group of it stands for others, and no row came since that is not summed up, or is gone.
async fn is_that_of_rows(engine: &dyn Engine, day: Date) -> bool {
    let time = engine.words().time;
    let within = format!("created_at >= {} AND created_at < {}", time(day.start()), time(day.next().start()));
    let query = format!(
        "SELECT 'as rows' FROM usage_days WHERE day = '{day}'
            AND NOT EXISTS (SELECT 1 FROM usage_daily WHERE day = '{day}' AND others > 0)
            AND (SELECT coalesce(sum(requests), 0) FROM usage_daily WHERE day = '{day}') = (SELECT count(*) FROM api_requests WHERE {within})
            AND (SELECT coalesce(sum(batch_results), 0) FROM usage_daily WHERE day = '{day}') = (SELECT count(*) FROM batch_results WHERE {within})"
    );
    // a schema of before has no sums
    engine.rows(&query, 1, Limit::Usual).await.is_ok_and(|rows| !rows.is_empty())
}
