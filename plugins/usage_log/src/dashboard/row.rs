//! The columns of requests that the dashboard shows, each under its name in JSON.

use serde_json::{Map, Value, json};

use super::json::{self as show, Columns};
use super::reader::Reader;
use crate::report::engine::TextRow;

/// A column: its name in JSON, its name in SQL, and what it is.
pub(super) type Field = (&'static str, &'static str, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    Time,
    /// In SQL without the unit at the end of its name.
    Money,
    Json,
}

/// What a list of calls shows.
pub(super) const CALL: [Field; 36] = [
    ("id", "id", Kind::Text),
    ("created_at", "created_at", Kind::Time),
    ("domain", "domain", Kind::Text),
    ("method", "method", Kind::Text),
    ("path", "path", Kind::Text),
    ("endpoint", "endpoint", Kind::Text),
    ("tenant", "tenant", Kind::Text),
    ("key", "coalesce(key_name, api_key_hash)", Kind::Text),
    ("user", "user_id", Kind::Text),
    ("session", "session_id", Kind::Text),
    ("conversation", "conversation_id", Kind::Text),
    ("model", "model", Kind::Text),
    ("requested_model", "requested_model", Kind::Text),
    ("served_model", "served_model", Kind::Text),
    ("route", "route", Kind::Text),
    ("rule", "rule", Kind::Text),
    ("upstream", "upstream", Kind::Text),
    ("server", "server", Kind::Text),
    ("attempts", "attempts", Kind::Number),
    ("outcome", "outcome", Kind::Text),
    ("status", "response_status", Kind::Number),
    ("error_type", "error_type", Kind::Text),
    ("reason", "reason", Kind::Text),
    ("plugin", "plugin", Kind::Text),
    ("stop_reason", "stop_reason", Kind::Text),
    ("response_time_ms", "response_time_ms", Kind::Number),
    ("first_byte_ms", "first_byte_ms", Kind::Number),
    ("first_token_ms", "first_token_ms", Kind::Number),
    ("streaming", "streaming", Kind::Flag),
    ("input_tokens", "input_tokens", Kind::Number),
    ("cache_read_input_tokens", "cache_read_input_tokens", Kind::Number),
    ("cache_creation_input_tokens", "cache_creation_input_tokens", Kind::Number),
    ("output_tokens", "output_tokens", Kind::Number),
    ("reasoning_tokens", "reasoning_tokens", Kind::Number),
    ("cost_usd", "cost", Kind::Money),
    ("cache_status", "cache_status", Kind::Text),
];

/// What one call shows beside that.
pub(super) const DETAILS: [Field; 31] = [
    ("revision", "revision", Kind::Number),
    ("instance", "instance", Kind::Text),
    ("sequence", "sequence", Kind::Number),
    ("request_type", "request_type", Kind::Text),
    ("usage_source", "usage_source", Kind::Text),
    ("usage_data", "usage_data", Kind::Json),
    ("billed", "billed", Kind::Json),
    ("saved_cost_usd", "saved_cost", Kind::Money),
    ("provider_cost_usd", "provider_cost", Kind::Money),
    ("assumed_cost_usd", "assumed_cost", Kind::Money),
    ("saved_input_tokens", "saved_input_tokens", Kind::Number),
    ("saved_output_tokens", "saved_output_tokens", Kind::Number),
    ("cache_creation_1h_input_tokens", "cache_creation_1h_input_tokens", Kind::Number),
    ("request_bytes", "request_bytes", Kind::Number),
    ("response_bytes", "response_bytes", Kind::Number),
    ("client_ip", "client_ip", Kind::Text),
    ("upstream_request_id", "upstream_request_id", Kind::Text),
    ("answer_id", "answer_id", Kind::Text),
    ("service_tier", "service_tier", Kind::Text),
    ("batch_id", "batch_id", Kind::Text),
    ("batch_wait_ms", "batch_wait_ms", Kind::Number),
    ("inference_geo", "inference_geo", Kind::Text),
    ("speed", "speed", Kind::Text),
    ("protocol", "protocol", Kind::Text),
    ("attempt_details", "attempt_details", Kind::Json),
    ("trace_id", "trace_id", Kind::Text),
    ("limit_tokens", "limit_tokens", Kind::Number),
    ("web_search_requests", "web_search_requests", Kind::Number),
    ("web_fetch_requests", "web_fetch_requests", Kind::Number),
    ("key_name", "key_name", Kind::Text),
    ("key_hash", "api_key_hash", Kind::Text),
];

/// The columns as SQL has them, each as text.
pub(super) fn columns(reader: &Reader, fields: &[Field]) -> String {
    let each = fields.iter().map(|(_, column, kind)| match kind {
        Kind::Time => (reader.dialect().time_text)(column),
        Kind::Money => format!("CAST({} AS text)", (reader.words().money)(column)),
        _ => format!("CAST({column} AS text)"),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A row of these columns.
pub(super) fn shown(fields: &[Field], row: TextRow) -> Map<String, Value> {
    let mut columns = Columns::of(row);
    let each = fields.iter().map(|(name, _, kind)| {
        let value = match kind {
            Kind::Text => json!(columns.text()),
            Kind::Number => show::optional(columns.number()),
            Kind::Flag => json!(columns.flag()),
            Kind::Time => columns.time().map_or(Value::Null, show::time),
            Kind::Money => show::money(columns.number()),
            // what is no JSON is shown as it is
            Kind::Json => columns.text().map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(json!(text))),
        };
        ((*name).to_owned(), value)
    });
    each.collect()
}
