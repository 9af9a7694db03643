//! Calls, the newest first.

use plugin_api::AdminAnswer;
use serde_json::{Value, json};

use super::filter::Filter;
use super::json as show;
use super::parameters::Parameters;
use super::reader::Reader;
use super::row::{CALL, columns, shown};
use super::walk::{Place, Walk};
use super::{Failure, json_answer};
use crate::report::moment;

/// The filters of calls and conversations, and what each is compared with.
pub(super) const FILTERS: [(&str, &str); 6] = [
    ("tenant", "coalesce(tenant, key_name, api_key_hash)"),
    ("key", "coalesce(key_name, api_key_hash)"),
    ("user", "user_id"),
    ("model", "coalesce(served_model, model)"),
    ("domain", "domain"),
    ("session", "session_id"),
];
const MORE_FILTERS: [(&str, &str); 3] = [("endpoint", "endpoint"), ("outcome", "outcome"), ("upstream", "upstream")];

/// A call that did not end as its caller wanted.
pub(super) const IS_ERROR: &str = "(outcome NOT IN ('completed', 'cached') OR response_status >= 400)";

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let (from, to) = parameters.span()?;
    let filter = filter(reader, parameters)?;
    let limit = parameters.number("limit", 1, 50, 200)?;
    let mut walk = Walk::of(parameters, from, to)?;
    parameters.finish()?;
    let (names, filter) = (columns(reader, &CALL), filter.sql());
    let mut calls = Vec::new();
    while calls.len() <= limit {
        let Some(rows) = walk.step(reader).await? else { break };
        let query = format!(
            "SELECT {names} FROM api_requests WHERE {rows}{filter} ORDER BY created_at DESC, id DESC LIMIT {}",
            limit + 1 - calls.len()
        );
        calls.extend(reader.rows(&query, CALL.len()).await?.into_iter().map(|row| shown(&CALL, row)));
    }
    let mut next = walk.next();
    let mut searched_to = walk.searched_to();
    if calls.len() > limit {
        calls.truncate(limit);
        let last = calls.last();
        let text = |name: &str| last.and_then(|call| call.get(name)).and_then(Value::as_str);
        if let (Some(time), Some(id)) = (text("created_at").and_then(moment), text("id").and_then(|id| id.parse().ok()))
        {
            (next, searched_to) = (Some(Place::behind(time, id)), time);
        }
    }
    Ok(json_answer(json!({
        "from": show::time(from),
        "to": show::time(to),
        "searched_to": show::time(searched_to),
        "calls": calls,
        "next": next.map(|next| next.to_string()),
    })))
}

fn filter(reader: &Reader, parameters: &mut Parameters) -> Result<Filter, String> {
    let mut filter = Filter::default();
    filter.take(parameters, reader.dialect(), &FILTERS);
    filter.take(parameters, reader.dialect(), &MORE_FILTERS);
    match parameters.word("status").as_deref() {
        None => {}
        Some(class) if class.len() == 3 && class.ends_with("xx") => {
            let first: u8 =
                class[..1].parse().map_err(|_| format!("`status`: found `{class}`, wanted one like 4xx"))?;
            filter.and(format!("response_status >= {first}00 AND response_status <= {first}99"));
        }
        Some(status) => {
            let status: u16 = status.parse().map_err(|_| format!("`status`: found `{status}`, wanted one like 404"))?;
            filter.and(format!("response_status = {status}"));
        }
    }
    if parameters.flag("errors")? {
        filter.and(IS_ERROR.to_owned());
    }
    if let Some(least) = parameters.parsed::<u32>("min_ms", "milliseconds")? {
        filter.and(format!("response_time_ms >= {least}"));
    }
    if let Some(id) = parameters.id("conversation")? {
        filter.and(format!("conversation_id = '{id}'{}", reader.words().uuid));
    }
    Ok(filter)
}
