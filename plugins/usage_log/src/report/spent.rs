//! What was spent in a span of time, by spender, for plugins that limit it. One query, by the index of `created_at`.

use plugin_api::{SpendingQuery, SpentBy, StoredSum, Sum};
use prices::Cost;
use uuid::Uuid;

use super::engine::{Engine, Limit, TextRow, Words};
use crate::Timestamp;
use crate::spending::GENERATING;
use crate::store::StoreError;

/// The sums behind the spender.
const SUMS: [&str; 4] = ["own_cost", "own_unpriced", "rest_cost", "rest_unpriced"];

pub(super) async fn by_spender(
    engine: &dyn Engine,
    query: &SpendingQuery,
    own: &[Uuid],
    all: &[Uuid],
) -> Result<Vec<StoredSum>, StoreError> {
    let text = text(engine.words(), query, own, all);
    let rows = engine.rows(&text, query.by.len() + SUMS.len(), Limit::Usual).await?;
    rows.into_iter().map(|row| sum(query.by.len(), row)).collect()
}

/// The query, with the runs of the ledger that asks and those of all ledgers of its process. What is unpriced is as
/// [`spending`](crate::spending) says it.
fn text(words: &Words, query: &SpendingQuery, own: &[Uuid], all: &[Uuid]) -> String {
    let columns: Vec<&str> = query.by.iter().map(|by| column(*by)).collect();
    let sums = SUMS.map(|column| format!("CAST(sum({column}) AS text)"));
    let selected = columns.iter().map(|column| (*column).to_owned()).chain(sums).collect::<Vec<_>>().join(", ");
    let grouped = if columns.is_empty() { String::new() } else { format!("GROUP BY {}", columns.join(", ")) };
    let second = |second: i64| (words.time)(Timestamp::from_micros(second.saturating_mul(1_000_000)));
    let within = format!("created_at >= {} AND created_at < {}", second(query.since), second(query.until));
    let (cost, assumed) = ((words.money)("cost"), (words.money)("assumed_cost"));
    let endpoints = GENERATING.map(|endpoint| format!("'{endpoint}'")).join(", ");
    let unpriced = format!(
        "CASE WHEN {cost} IS NULL AND {assumed} IS NULL AND (usage_source <> 'none' OR (outcome = 'completed' AND response_status >= 200
            AND response_status < 300 AND endpoint IN ({endpoints}))) THEN 1 ELSE 0 END"
    );
    let list = |runs: &[Uuid]| {
        let each = runs.iter().map(|run| format!("'{run}'{}", words.uuid));
        each.collect::<Vec<_>>().join(", ")
    };
    let (own, rest) = (format!("instance IN ({})", list(own)), format!("instance NOT IN ({})", list(all)));
    let spent = format!("coalesce({assumed}, {cost})");
    format!(
        "SELECT {selected} FROM (
            SELECT tenant, key_name, user_id, model,
                CASE WHEN {own} THEN {spent} END AS own_cost, CASE WHEN {own} THEN {unpriced} ELSE 0 END AS own_unpriced,
                CASE WHEN {rest} THEN {spent} END AS rest_cost, CASE WHEN {rest} THEN {unpriced} ELSE 0 END AS rest_unpriced
            FROM api_requests WHERE {within}
            UNION ALL
            SELECT tenant, key_name, NULL, served_model, NULL, 0, {cost}, CASE WHEN {cost} IS NULL THEN 1 ELSE 0 END
            FROM batch_results WHERE {within}
        ) AS spent {grouped}"
    )
}

fn column(by: SpentBy) -> &'static str {
    match by {
        SpentBy::Tenant => "tenant",
        SpentBy::Key => "key_name",
        SpentBy::User => "user_id",
        SpentBy::Model => "model",
    }
}

fn sum(parts: usize, mut row: TextRow) -> Result<StoredSum, StoreError> {
    let sums = row.split_off(parts.min(row.len()));
    let mut figures = [0_i128; SUMS.len()];
    for (figure, sum) in figures.iter_mut().zip(sums) {
        // no row, or none that knows
        let sum = sum.map_or(Ok(0), |sum| sum.parse());
        *figure = sum.map_err(|error| StoreError::Unavailable(format!("a sum is no number: {error}")))?;
    }
    let [own_cost, own_unpriced, rest_cost, rest_unpriced] = figures;
    let sum = |cost, unpriced| Sum { cost: Cost::from_picos(cost), unpriced: u64::try_from(unpriced).unwrap_or(0) };
    Ok(StoredSum { spender: row, own: sum(own_cost, own_unpriced), rest: sum(rest_cost, rest_unpriced) })
}
