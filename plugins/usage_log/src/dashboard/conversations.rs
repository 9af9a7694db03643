//! Conversations, those with the latest requests first.

use std::collections::HashMap;

use plugin_api::AdminAnswer;
use serde_json::{Value, json};
use uuid::Uuid;

use super::calls::{FILTERS, IS_ERROR};
use super::filter::Filter;
use super::json::{self as show, Columns};
use super::parameters::Parameters;
use super::reader::Reader;
use super::walk::{Place, Walk};
use super::{Failure, json_answer};
use crate::Timestamp;

/// The latest request of a conversation.
pub(super) struct Latest {
    pub(super) conversation: Uuid,
    pub(super) id: Uuid,
    pub(super) created_at: Timestamp,
    domain: Option<String>,
    tenant: Option<String>,
    key: Option<String>,
    user: Option<String>,
    session: Option<String>,
    model: Option<String>,
    parent: Option<String>,
}

const LATEST: [&str; 7] = [
    "domain",
    "tenant",
    "coalesce(key_name, api_key_hash)",
    "user_id",
    "session_id",
    "coalesce(served_model, model)",
    "CAST(parent_conversation_id AS text)",
];

impl Latest {
    /// The columns, each as text.
    pub(super) fn columns(reader: &Reader) -> String {
        let time = (reader.dialect().time_text)("created_at");
        format!("CAST(conversation_id AS text), CAST(id AS text), {time}, {}", LATEST.join(", "))
    }

    pub(super) const COLUMNS: usize = LATEST.len() + 3;

    pub(super) fn read(mut columns: Columns) -> Option<Self> {
        let (conversation, id, created_at) = (columns.id()?, columns.id()?, columns.time()?);
        let mut text = || columns.text();
        let (domain, tenant, key) = (text(), text(), text());
        let (user, session, model, parent) = (text(), text(), text(), text());
        Some(Self { conversation, id, created_at, domain, tenant, key, user, session, model, parent })
    }
}

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let (from, to) = parameters.span()?;
    let mut filter = Filter::default();
    filter.take(parameters, reader.dialect(), &FILTERS);
    let limit = parameters.number("limit", 1, 50, 200)?;
    let mut walk = Walk::of(parameters, from, to)?;
    parameters.finish()?;
    let (names, filter, until) = (Latest::columns(reader), filter.sql(), (reader.words().time)(to));
    let mut found: Vec<Latest> = Vec::new();
    while found.len() <= limit {
        let Some(rows) = walk.step(reader).await? else { break };
        // the latest of its conversation is found by the index, and only once all else is as it should be
        let query = format!(
            "SELECT {names} FROM api_requests
             WHERE {rows} AND conversation_id IS NOT NULL{filter} AND {}
             ORDER BY created_at DESC, id DESC LIMIT {}",
            is_latest(&format!("later.created_at < {until}")),
            limit + 1 - found.len()
        );
        let rows = reader.rows(&query, Latest::COLUMNS).await?;
        found.extend(rows.into_iter().filter_map(|row| Latest::read(Columns::of(row))));
    }
    let (mut next, mut searched_to) = (walk.next(), walk.searched_to());
    if found.len() > limit {
        found.truncate(limit);
        if let Some(last) = found.last() {
            (next, searched_to) = (Some(Place::behind(last.created_at, last.id)), last.created_at);
        }
    }
    Ok(json_answer(json!({
        "from": show::time(from),
        "to": show::time(to),
        "searched_to": show::time(searched_to),
        "conversations": summaries(reader, found).await?,
        "next": next.map(|next| next.to_string()),
    })))
}

/// The condition of a request that is the latest of its conversation, among those that this holds of.
pub(super) fn is_latest(among: &str) -> String {
    format!(
        "id = (
            SELECT later.id FROM api_requests AS later
            WHERE later.conversation_id = api_requests.conversation_id
              AND later.created_at >= api_requests.created_at AND {among}
            ORDER BY later.created_at DESC, later.id DESC LIMIT 1)"
    )
}

/// What these conversations came to, all of each.
pub(super) async fn summaries(reader: &Reader, found: Vec<Latest>) -> Result<Vec<Value>, Failure> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> =
        found.iter().map(|latest| format!("'{}'{}", latest.conversation, reader.words().uuid)).collect();
    let (dialect, words) = (reader.dialect(), reader.words());
    let tokens =
        ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens", "reasoning_tokens"];
    let tokens = tokens.map(|column| format!("CAST(sum({column}) AS text)")).join(", ");
    let (cost, is_known) = ((dialect.picos_sum)("cost"), (words.money)("cost"));
    let query = format!(
        "SELECT CAST(conversation_id AS text), {}, CAST(count(*) AS text),
            CAST(sum(CASE WHEN {IS_ERROR} THEN 1 ELSE 0 END) AS text), {tokens}, CAST({cost} AS text),
            CAST(sum(CASE WHEN attempts = 0 OR {is_known} IS NOT NULL THEN 1 ELSE 0 END) AS text),
            CAST(sum(CASE WHEN usage_source <> 'none' AND {is_known} IS NULL THEN 1 ELSE 0 END) AS text)
         FROM api_requests WHERE conversation_id IN ({}) GROUP BY conversation_id",
        (words.earliest)("created_at"),
        ids.join(", ")
    );
    let mut sums: HashMap<Uuid, Value> = HashMap::new();
    for row in reader.rows(&query, 12).await? {
        let mut columns = Columns::of(row);
        let Some(id) = columns.id() else { continue };
        let (first, requests, errors) = (columns.time(), columns.sum(), columns.sum());
        let [input, read, creation, output, reasoning] = std::array::from_fn(|_| columns.sum());
        let (cost, priced, unpriced) = (columns.sum(), columns.sum(), columns.sum());
        let summary = json!({
            "id": id.to_string(),
            "first_request_at": first.map(show::time),
            "requests": show::number(requests),
            "errors": show::number(errors),
            "input_tokens": show::number(input),
            "cache_read_input_tokens": show::number(read),
            "cache_creation_input_tokens": show::number(creation),
            "output_tokens": show::number(output),
            "reasoning_tokens": show::number(reasoning),
            "cost_usd": show::money(show::known(cost, priced, requests)),
            "unpriced": show::number(unpriced),
            "cache_read_share": show::cache_read_share(input, read, creation),
        });
        sums.insert(id, summary);
    }
    let shown = found.into_iter().filter_map(|latest| {
        let mut summary = sums.remove(&latest.conversation)?;
        summary["last_request_at"] = show::time(latest.created_at);
        summary["latest_request_id"] = json!(latest.id.to_string());
        for (name, text) in [
            ("domain", latest.domain),
            ("tenant", latest.tenant),
            ("key", latest.key),
            ("user", latest.user),
            ("session", latest.session),
            ("model", latest.model),
            ("parent", latest.parent),
        ] {
            summary[name] = json!(text);
        }
        Some(summary)
    });
    Ok(shown.collect())
}
