//! Records as the releases before fields had numbers wrote them: postcard's encoding of these structs, field by field in their
//! order. The structs never change.

use std::net::IpAddr;

use serde::Deserialize;
use uuid::Uuid;

use crate::{Cost, Record, RowText, Timestamp};

#[derive(Deserialize)]
enum AnyRecord {
    Request(Box<Row>),
    Batch(Box<BatchRow>),
}

#[derive(Deserialize)]
struct Row {
    id: Uuid,
    created_at: i64,
    revision: i16,
    domain: RowText,
    method: RowText,
    path: RowText,
    endpoint: Option<RowText>,
    model: Option<RowText>,
    request_type: RowText,
    served_model: Option<RowText>,
    conversation_id: Option<Uuid>,
    turn_hash: Option<[u8; 32]>,
    previous_turn_hash: Option<[u8; 32]>,
    api_key_hash: Option<RowText>,
    response_status: Option<i16>,
    response_time_ms: i64,
    first_byte_ms: Option<i64>,
    first_token_ms: Option<i64>,
    streaming: Option<bool>,
    tokens: Tokens,
    usage_source: UsageSource,
    usage_data: Option<String>,
    billed: Vec<Billed>,
    cost_usd: Option<i64>,
    cache_status: Option<RowText>,
    saved: Tokens,
    saved_cost_usd: Option<i64>,
    upstream: Option<RowText>,
    server: Option<RowText>,
    attempts: i32,
    outcome: RowText,
    error_type: Option<RowText>,
    stop_reason: Option<RowText>,
    request_bytes: i64,
    response_bytes: i64,
    client_ip: Option<IpAddr>,
    upstream_request_id: Option<RowText>,
    answer_id: Option<RowText>,
    service_tier: Option<RowText>,
    inference_geo: Option<RowText>,
    speed: Option<RowText>,
    web_search_requests: Option<i64>,
    web_fetch_requests: Option<i64>,
    instance: Uuid,
    sequence: i64,
    request_body: Option<Body>,
    response_body: Option<Body>,
    chunks: Vec<Piece>,
    /// The first release did not write it.
    provider_cost_usd: Option<i64>,
}

#[derive(Deserialize)]
struct BatchRow {
    batch: RowText,
    custom_id: RowText,
    request_id: Uuid,
    created_at: i64,
    domain: RowText,
    api_key_hash: Option<RowText>,
    upstream: Option<RowText>,
    served_model: Option<RowText>,
    tokens: Tokens,
    usage_data: Option<String>,
    billed: Vec<Billed>,
    cost_usd: Option<i64>,
    web_search_requests: Option<i64>,
    service_tier: Option<RowText>,
}

#[derive(Deserialize)]
struct Tokens {
    input: Option<i64>,
    output: Option<i64>,
    cache_read: Option<i64>,
    cache_creation: Option<i64>,
    cache_creation_1h: Option<i64>,
    reasoning: Option<i64>,
}

#[derive(Deserialize)]
enum UsageSource {
    None,
    Partial,
    Reported,
}

#[derive(Deserialize)]
struct Billed {
    kind: String,
    model: Option<RowText>,
    tokens: Tokens,
    cost_usd: Option<i64>,
}

#[derive(Deserialize)]
struct Body {
    bytes: Vec<u8>,
    encoding: Option<String>,
    truncated: bool,
}

#[derive(Deserialize)]
struct Piece {
    after_ms: i64,
    bytes: Vec<u8>,
}

/// The record; `None` if the bytes are none of these.
pub(super) fn read(bytes: &[u8]) -> Option<Record> {
    let read = match postcard::from_bytes(bytes) {
        // without the last field: in this encoding `None` is a zero
        Err(postcard::Error::DeserializeUnexpectedEnd) => postcard::from_bytes(&[bytes, &[0]].concat()),
        read => read,
    };
    Some(match read.ok()? {
        AnyRecord::Request(row) => Record::Request(Box::new((*row).into())),
        AnyRecord::Batch(row) => Record::Batch(Box::new((*row).into())),
    })
}

fn cost(picos: Option<i64>) -> Option<Cost> {
    picos.map(|picos| Cost::from_picos(picos.into()))
}

impl From<Row> for crate::Row {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            created_at: Timestamp::from_micros(row.created_at),
            revision: row.revision,
            domain: row.domain,
            method: row.method,
            path: row.path,
            endpoint: row.endpoint,
            model: row.model,
            request_type: row.request_type,
            served_model: row.served_model,
            conversation_id: row.conversation_id,
            turn_hash: row.turn_hash,
            previous_turn_hash: row.previous_turn_hash,
            api_key_hash: row.api_key_hash,
            response_status: row.response_status,
            response_time_ms: row.response_time_ms,
            first_byte_ms: row.first_byte_ms,
            first_token_ms: row.first_token_ms,
            streaming: row.streaming,
            tokens: row.tokens.into(),
            usage_source: match row.usage_source {
                UsageSource::None => crate::UsageSource::None,
                UsageSource::Partial => crate::UsageSource::Partial,
                UsageSource::Reported => crate::UsageSource::Reported,
            },
            usage_data: row.usage_data,
            billed: row.billed.into_iter().map(Into::into).collect(),
            cost_usd: cost(row.cost_usd),
            cache_status: row.cache_status,
            saved: row.saved.into(),
            saved_cost_usd: cost(row.saved_cost_usd),
            upstream: row.upstream,
            server: row.server,
            attempts: row.attempts,
            outcome: row.outcome,
            error_type: row.error_type,
            stop_reason: row.stop_reason,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            client_ip: row.client_ip,
            upstream_request_id: row.upstream_request_id,
            answer_id: row.answer_id,
            service_tier: row.service_tier,
            inference_geo: row.inference_geo,
            speed: row.speed,
            web_search_requests: row.web_search_requests,
            web_fetch_requests: row.web_fetch_requests,
            instance: row.instance,
            sequence: row.sequence,
            request_body: row.request_body.map(Into::into),
            response_body: row.response_body.map(Into::into),
            chunks: row.chunks.into_iter().map(|Piece { after_ms, bytes }| crate::Piece { after_ms, bytes }).collect(),
            provider_cost_usd: cost(row.provider_cost_usd),
            ..Self::default()
        }
    }
}

impl From<BatchRow> for crate::BatchRow {
    fn from(row: BatchRow) -> Self {
        Self {
            batch: row.batch,
            custom_id: row.custom_id,
            request_id: row.request_id,
            created_at: Timestamp::from_micros(row.created_at),
            domain: row.domain,
            api_key_hash: row.api_key_hash,
            upstream: row.upstream,
            served_model: row.served_model,
            tokens: row.tokens.into(),
            usage_data: row.usage_data,
            billed: row.billed.into_iter().map(Into::into).collect(),
            cost_usd: cost(row.cost_usd),
            web_search_requests: row.web_search_requests,
            service_tier: row.service_tier,
            ..Self::default()
        }
    }
}

impl From<Tokens> for crate::Tokens {
    fn from(tokens: Tokens) -> Self {
        let Tokens { input, output, cache_read, cache_creation, cache_creation_1h, reasoning } = tokens;
        Self { input, output, cache_read, cache_creation, cache_creation_1h, reasoning }
    }
}

impl From<Billed> for crate::Billed {
    fn from(billed: Billed) -> Self {
        let Billed { kind, model, tokens, cost_usd } = billed;
        Self { kind, model, tokens: tokens.into(), cost_usd: cost(cost_usd) }
    }
}

impl From<Body> for crate::Body {
    fn from(Body { bytes, encoding, truncated }: Body) -> Self {
        Self { bytes, encoding, truncated }
    }
}
