//! The tables that records are written to: each column, and where its value comes from. The same for every engine.

use std::borrow::Cow;

use serde_json::{Map, json};

use super::leaf::Parent;
use super::value::Value;
use crate::{BatchRow, Billed, Piece, Row, Timestamp};

/// A table whose rows are made from `R`.
pub(super) struct Table<R: 'static> {
    pub(super) name: &'static str,
    /// What tells its rows apart.
    key: &'static str,
    pub(super) columns: &'static [Column<R>],
}

/// A column: its name, and its value.
pub(super) struct Column<R>(pub(super) &'static str, pub(super) for<'a> fn(&'a R) -> Value<'a>);

/// A piece of an answer, and whose it is.
pub(super) struct Chunk {
    id: uuid::Uuid,
    created_at: Timestamp,
    index: i32,
    piece: Piece,
}

impl Chunk {
    /// The pieces of a request's answer.
    pub(super) fn of(row: &Row) -> impl Iterator<Item = Self> {
        let Row { id, created_at, .. } = *row;
        (0..).zip(row.chunks.iter().cloned()).map(move |(index, piece)| Self { id, created_at, index, piece })
    }
}

use Value::{Address, Bool, Bytes, Int4, Int8, Json, Money, Null, Time, Uuid};

pub(super) static REQUESTS: Table<Row> = Table {
    name: "api_requests",
    key: "id, created_at",
    columns: &[
        Column("id", |row| Uuid(row.id)),
        Column("created_at", |row| Time(row.created_at)),
        Column("revision", |row| Int4(row.revision.into())),
        Column("instance", |row| Uuid(row.instance)),
        Column("sequence", |row| Int8(row.sequence)),
        Column("domain", |row| Value::key(&row.domain)),
        Column("method", |row| Value::text(&row.method)),
        Column("path", |row| Value::text(&row.path)),
        Column("endpoint", |row| text(row.endpoint.as_deref())),
        Column("model", |row| text(row.model.as_deref())),
        Column("request_type", |row| Value::text(&row.request_type)),
        Column("served_model", |row| text(row.served_model.as_deref())),
        Column("conversation_id", |row| Value::some(row.conversation_id, Uuid)),
        Column("turn_hash", |row| Value::some(row.turn_hash.as_ref(), |hash| Bytes(hash))),
        Column("previous_turn_hash", |row| Value::some(row.previous_turn_hash.as_ref(), |hash| Bytes(hash))),
        Column("api_key_hash", |row| text(row.api_key_hash.as_deref())),
        Column("response_status", |row| Value::some(row.response_status, |status| Int4(status.into()))),
        Column("response_time_ms", |row| Int8(row.response_time_ms)),
        Column("first_byte_ms", |row| Value::some(row.first_byte_ms, Int8)),
        Column("first_token_ms", |row| Value::some(row.first_token_ms, Int8)),
        Column("streaming", |row| Value::some(row.streaming, Bool)),
        Column("input_tokens", |row| Value::some(row.tokens.input, Int8)),
        Column("output_tokens", |row| Value::some(row.tokens.output, Int8)),
        Column("cache_read_input_tokens", |row| Value::some(row.tokens.cache_read, Int8)),
        Column("cache_creation_input_tokens", |row| Value::some(row.tokens.cache_creation, Int8)),
        Column("cache_creation_1h_input_tokens", |row| Value::some(row.tokens.cache_creation_1h, Int8)),
        Column("reasoning_tokens", |row| Value::some(row.tokens.reasoning, Int8)),
        Column("usage_source", |row| Value::text(row.usage_source.as_str())),
        Column("usage_data", |row| json_text(row.usage_data.as_deref())),
        Column("billed", |row| billed(&row.billed)),
        Column("cost_usd", |row| Value::some(row.cost_usd, Money)),
        Column("cache_status", |row| text(row.cache_status.as_deref())),
        Column("saved_input_tokens", |row| Value::some(row.saved.input, Int8)),
        Column("saved_output_tokens", |row| Value::some(row.saved.output, Int8)),
        Column("saved_cache_read_input_tokens", |row| Value::some(row.saved.cache_read, Int8)),
        Column("saved_cache_creation_input_tokens", |row| Value::some(row.saved.cache_creation, Int8)),
        Column("saved_cost_usd", |row| Value::some(row.saved_cost_usd, Money)),
        Column("upstream", |row| text(row.upstream.as_deref())),
        Column("server", |row| text(row.server.as_deref())),
        Column("attempts", |row| Int4(row.attempts)),
        Column("outcome", |row| Value::text(&row.outcome)),
        Column("error_type", |row| text(row.error_type.as_deref())),
        Column("stop_reason", |row| text(row.stop_reason.as_deref())),
        Column("request_bytes", |row| Int8(row.request_bytes)),
        Column("response_bytes", |row| Int8(row.response_bytes)),
        Column("client_ip", |row| Value::some(row.client_ip, Address)),
        Column("upstream_request_id", |row| text(row.upstream_request_id.as_deref())),
        Column("answer_id", |row| text(row.answer_id.as_deref())),
        Column("service_tier", |row| text(row.service_tier.as_deref())),
        Column("inference_geo", |row| text(row.inference_geo.as_deref())),
        Column("speed", |row| text(row.speed.as_deref())),
        Column("web_search_requests", |row| Value::some(row.web_search_requests, Int8)),
        Column("web_fetch_requests", |row| Value::some(row.web_fetch_requests, Int8)),
        Column("provider_cost_usd", |row| Value::some(row.provider_cost_usd, Money)),
    ],
};

pub(super) static BODIES: Table<Row> = Table {
    name: "api_request_bodies",
    key: "id, created_at",
    columns: &[
        Column("id", |row| Uuid(row.id)),
        Column("created_at", |row| Time(row.created_at)),
        Column("revision", |row| Int4(row.revision.into())),
        Column("request_body", |row| Value::some(row.request_body.as_ref(), |body| Bytes(&body.bytes))),
        Column("request_body_encoding", |row| {
            text(row.request_body.as_ref().and_then(|body| body.encoding.as_deref()))
        }),
        Column("request_body_truncated", |row| Value::some(row.request_body.as_ref(), |body| Bool(body.truncated))),
        Column("response_body", |row| Value::some(row.response_body.as_ref(), |body| Bytes(&body.bytes))),
        Column("response_body_encoding", |row| {
            text(row.response_body.as_ref().and_then(|body| body.encoding.as_deref()))
        }),
        Column("response_body_truncated", |row| Value::some(row.response_body.as_ref(), |body| Bool(body.truncated))),
    ],
};

pub(super) static CHUNKS: Table<Chunk> = Table {
    name: "streaming_chunks",
    key: "request_id, chunk_index",
    columns: &[
        Column("request_id", |chunk| Uuid(chunk.id)),
        Column("chunk_index", |chunk| Int4(chunk.index)),
        Column("created_at", |chunk| Time(chunk.created_at)),
        Column("timestamp", |chunk| {
            let after = chunk.piece.after_ms.saturating_mul(1000);
            Time(Timestamp::from_micros(chunk.created_at.micros().saturating_add(after)))
        }),
        Column("data", |chunk| Bytes(&chunk.piece.bytes)),
    ],
};

pub(super) static BATCHES: Table<BatchRow> = Table {
    name: "batch_results",
    key: "batch_id, custom_id",
    columns: &[
        Column("batch_id", |row| Value::text(&row.batch)),
        Column("custom_id", |row| Value::text(&row.custom_id)),
        Column("request_id", |row| Uuid(row.request_id)),
        Column("created_at", |row| Time(row.created_at)),
        Column("domain", |row| Value::key(&row.domain)),
        Column("api_key_hash", |row| text(row.api_key_hash.as_deref())),
        Column("upstream", |row| text(row.upstream.as_deref())),
        Column("served_model", |row| text(row.served_model.as_deref())),
        Column("input_tokens", |row| Value::some(row.tokens.input, Int8)),
        Column("output_tokens", |row| Value::some(row.tokens.output, Int8)),
        Column("cache_read_input_tokens", |row| Value::some(row.tokens.cache_read, Int8)),
        Column("cache_creation_input_tokens", |row| Value::some(row.tokens.cache_creation, Int8)),
        Column("cache_creation_1h_input_tokens", |row| Value::some(row.tokens.cache_creation_1h, Int8)),
        Column("reasoning_tokens", |row| Value::some(row.tokens.reasoning, Int8)),
        Column("usage_data", |row| json_text(row.usage_data.as_deref())),
        Column("billed", |row| billed(&row.billed)),
        Column("cost_usd", |row| Value::some(row.cost_usd, Money)),
        Column("web_search_requests", |row| Value::some(row.web_search_requests, Int8)),
        Column("service_tier", |row| text(row.service_tier.as_deref())),
    ],
};

/// The names of a table's columns, with commas between, each as `name` has it.
pub(super) fn names(parent: Parent, name: impl Fn(&'static str) -> String) -> String {
    match parent {
        Parent::Requests => REQUESTS.names(name),
        Parent::Bodies => BODIES.names(name),
        Parent::Chunks => CHUNKS.names(name),
        Parent::Batches => BATCHES.names(name),
    }
}

impl<R> Table<R> {
    /// The names of its columns, with commas between, each as `name` has it.
    pub(super) fn names(&self, name: impl Fn(&'static str) -> String) -> String {
        self.columns.iter().map(|column| name(column.0)).collect::<Vec<_>>().join(", ")
    }

    /// What becomes of a row that is there already: a higher revision takes its place, anything else changes nothing. A row that
    /// only an operator's own constraint takes for another is refused.
    pub(super) fn on_conflict(&self, name: impl Fn(&'static str) -> String) -> String {
        if !self.columns.iter().any(|column| column.0 == "revision") {
            return format!("ON CONFLICT ({}) DO NOTHING", self.key);
        }
        let replaced = self.names(|column| format!("{0} = excluded.{0}", name(column)));
        format!("ON CONFLICT ({}) DO UPDATE SET {replaced} WHERE excluded.revision > {}.revision", self.key, self.name)
    }
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Null, Value::text)
}

fn json_text(text: Option<&str>) -> Value<'_> {
    text.map_or(Null, |text| Json(Cow::Borrowed(text)))
}

/// Each sampling as a JSON object, under the names of the columns; money as text, for no JSON number is exact.
fn billed(billed: &[Billed]) -> Value<'static> {
    if billed.is_empty() {
        return Null;
    }
    let object = |one: &Billed| {
        let mut object = Map::new();
        let tokens = one.tokens;
        object.insert("kind".into(), json!(one.kind));
        object.insert("model".into(), json!(one.model));
        object.insert("input_tokens".into(), json!(tokens.input));
        object.insert("output_tokens".into(), json!(tokens.output));
        object.insert("cache_read_input_tokens".into(), json!(tokens.cache_read));
        object.insert("cache_creation_input_tokens".into(), json!(tokens.cache_creation));
        object.insert("cache_creation_1h_input_tokens".into(), json!(tokens.cache_creation_1h));
        object.insert("reasoning_tokens".into(), json!(tokens.reasoning));
        object.insert("cost_usd".into(), json!(one.cost_usd.map(|cost| cost.to_string())));
        object
    };
    Json(Cow::Owned(json!(billed.iter().map(object).collect::<Vec<_>>()).to_string()))
}
