//! What is remembered of one exchange, and how that and its outcome become a row. Decides nothing about where the row goes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::{
    Answer, AnswerState, BatchResult, LONGEST_HOST, LONGEST_PATH, LONGEST_TEXT, LateResult, Outcome, Record, Usage,
    Uuid, stored_text, tags,
};
use prices::Prices;

use crate::bill::Bill;
use crate::captured_bodies::CapturedBodies;
use crate::conversation::{Caller, place};
use crate::request_type;
use crate::row::{BatchRow, Cost, Row, RowAttempt, RowSpans, RowText, Timestamp, Tokens, UsageSource};
use crate::spending::Reported;

/// The longest usage object that is kept.
const USAGE: usize = 64 << 10;
/// The longest method that is kept.
const LONGEST_METHOD: usize = 32;
/// The longest text that is held in the row itself, in bytes.
const IN_PLACE: usize = 23;
/// The host of requests that name none.
const UNKNOWN: &str = "unknown";
/// A row that was predicted is corrected only where its time is wrong by more.
const TIME_OFF: Duration = Duration::from_millis(10);

/// What is remembered of one exchange.
#[derive(Debug, Default)]
pub struct Entry {
    /// What the call says of its part in a session.
    pub(crate) caller: Caller,
    /// The hash of the caller's API key.
    pub(crate) api_key_hash: Option<RowText>,
    /// The run that it is a row of, and its number there; 0 as long as it has none.
    pub(crate) instance: Uuid,
    pub(crate) sequence: i64,
    /// What was reported of it so far.
    pub(crate) reported: Reported,
    /// What was predicted, once it was.
    pub(crate) predicted: Option<PredictedOutcome>,
    /// Bodies to be kept; none where none are.
    pub(crate) bodies: Option<Box<CapturedBodies>>,
}

/// The outcome that a row was written with before it was certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PredictedOutcome {
    end: Outcome,
    error: Option<&'static str>,
    status: Option<u16>,
    bytes: (u64, u64),
    answer: Option<(AnswerState, plugin_api::Tokens)>,
    total: Duration,
}

impl PredictedOutcome {
    pub(crate) fn of(record: &Record) -> Self {
        let tokens = |answer: &Answer| answer.usage.as_ref().map(|usage| usage.tokens).unwrap_or_default();
        Self {
            end: record.outcome,
            error: record.error,
            status: record.status.map(|status| status.as_u16()),
            bytes: (record.request_bytes, record.response_bytes),
            answer: record.answer.as_ref().map(|answer| (answer.state, tokens(answer))),
            total: record.total,
        }
    }

    /// Whether the outcome is as predicted.
    pub(crate) fn holds(self, record: &Record) -> bool {
        let came = Self::of(record);
        came.total.saturating_sub(self.total) <= TIME_OFF && Self { total: came.total, ..self } == came
    }
}

impl Entry {
    /// The row of an exchange, without bodies.
    pub(crate) fn row(&self, record: &Record, prices: &Prices) -> Row {
        let answer = record.answer.as_deref();
        let spoke = answer.or(record.saved.as_deref());
        let caller = record.context.principal();
        let model = record.model.as_deref().map(short);
        // mostly it is the same, and need not be kept twice
        let served_model = spoke.and_then(|answer| answer.model.as_deref()).map(|served| match &model {
            Some(asked) if asked == served => asked.clone(),
            _ => short(served),
        });
        let requested_model = model.clone().filter(|_| record.upstream_model.is_some());
        let mut row = Row {
            id: record.context.id,
            created_at: Timestamp::from(record.started),
            revision: i16::from(self.predicted.is_some()),
            domain: domain(&record.host),
            method: text(record.method.as_str(), LONGEST_METHOD),
            path: text(&record.path, LONGEST_PATH),
            endpoint: record.endpoint.map(|endpoint| RowText::new_static(endpoint.as_str())),
            model,
            request_type: RowText::new_static(request_type::of(record)),
            served_model,
            api_key_hash: self.api_key_hash.clone(),
            response_status: record.status.and_then(|status| i16::try_from(status.as_u16()).ok()),
            response_time_ms: milliseconds(record.total),
            first_byte_ms: record.first_byte.map(milliseconds),
            first_token_ms: record.first_token.map(milliseconds),
            streaming: record.streaming,
            cache_status: record.context.tags.get(tags::CACHE_STATUS).map(RowText::new),
            rule: record.context.tags.get(tags::RULE).map(RowText::new),
            upstream: record.upstream.as_ref().map(shared),
            server: record.server.as_ref().map(shared),
            attempts: i32::try_from(record.attempts).unwrap_or(i32::MAX),
            outcome: RowText::new_static(record.outcome.as_str()),
            error_type: made_here(record)
                .map(RowText::new_static)
                .or_else(|| spoke.and_then(|answer| answer.error_type.as_deref()).map(short)),
            plugin: record.plugin.map(RowText::new_static),
            reason: record.reason.map(RowText::new_static),
            route: record.context.route.as_ref().map(shared),
            tenant: caller.tenant.as_ref().map(shared),
            key_name: caller.key_name.as_ref().map(shared),
            session_id: caller.session.as_ref().map(shared),
            user_id: caller.user.as_ref().map(shared),
            requested_model,
            protocol: Some(RowText::new_static(record.transport.as_str())),
            stop_reason: spoke.and_then(|answer| answer.stop_reason.as_deref()).map(short),
            request_bytes: whole(record.request_bytes),
            response_bytes: whole(record.response_bytes),
            client_ip: record.context.client,
            upstream_request_id: record.upstream_request_id.as_deref().map(short),
            answer_id: spoke.and_then(|answer| answer.id.as_deref()).map(short),
            instance: self.instance,
            sequence: self.sequence,
            counted_before: self.reported.counted,
            unpriced_before: self.reported.unpriced,
            ..Row::default()
        };
        if let Some(trace) = &record.context.trace {
            row.trace_id = Some(trace.id.to_string().into());
            if trace.is_sampled || is_failed(record) {
                row.spans = RowSpans::of(record);
            }
        }
        if let attempts @ [_, _, ..] = record.attempt_log.as_slice() {
            row.attempt_details = attempts.iter().map(RowAttempt::from).collect();
        }
        place::put(&mut row, record, &self.caller);
        let batch = record.context.batched.as_ref().and_then(|batched| batched.answer());
        if let Some(batch) = batch {
            row.batch_id = Some(short(&batch.batch));
            row.batch_wait_ms = Some(milliseconds(batch.waited));
        }
        if let Some(answer) = answer {
            used(&mut row, answer, record, prices, batch.is_some());
        }
        // what a batch bills is told by its result
        let is_of_batch = record.context.batched.as_ref().is_some_and(|batched| batched.is_billed_elsewhere(answer));
        if let Some(assumed) = record.context.assumed_cost.as_ref().filter(|_| !is_of_batch) {
            let cost = |usage: &Usage| Bill::of(prices, usage, who_answered(answer, record)).cost;
            row.assumed_cost_usd = assumed.of(record, row.cost_usd, cost);
        }
        if let Some(meter) = &record.context.meter {
            row.limit_tokens = meter.used(record).map(whole);
            let tokens = |tokens: Option<i64>| tokens.map(i64::unsigned_abs);
            row.window_counts = meter.changes(tokens(self.reported.limit_tokens), tokens(row.limit_tokens));
        }
        if let Some(saved) = &record.saved
            && let Some(usage) = &saved.usage
        {
            row.saved = Tokens::from(usage.tokens);
            row.saved_cost_usd = Bill::of(prices, usage, saved.model.as_deref().or(record.model.as_deref())).cost;
        }
        row
    }

    /// The row of a batch's result that was seen in this exchange.
    pub(crate) fn batch_row(&self, record: &Record, result: &BatchResult, prices: &Prices) -> BatchRow {
        let caller = record.context.principal();
        BatchRow {
            request_id: record.context.id,
            created_at: Timestamp::from(record.started),
            domain: domain(&record.host),
            api_key_hash: self.api_key_hash.clone(),
            upstream: record.upstream.as_deref().map(short),
            tenant: caller.tenant.as_deref().map(short),
            key_name: caller.key_name.as_deref().map(short),
            ..result_row(result, prices)
        }
    }
}

/// The row of a batch's result that came when the client of its call had gone.
pub(crate) fn late_row(late: &LateResult, prices: &Prices) -> BatchRow {
    BatchRow {
        request_id: late.request,
        created_at: Timestamp::from(late.began),
        domain: domain(&late.domain),
        api_key_hash: late.api_key_hash.as_deref().map(RowText::new),
        upstream: Some(short(&late.upstream)),
        tenant: late.tenant.as_deref().map(short),
        key_name: late.key_name.as_deref().map(short),
        ..result_row(&late.result, prices)
    }
}

/// What a result says itself.
fn result_row(result: &BatchResult, prices: &Prices) -> BatchRow {
    let usage = &result.usage;
    let bill = Bill::of_batch(prices, usage, result.model.as_deref());
    BatchRow {
        batch: short(&result.batch),
        custom_id: short(&result.custom_id),
        served_model: result.model.as_deref().map(short),
        tokens: Tokens::from(usage.tokens),
        usage_data: usage.raw.as_deref().and_then(|raw| raw_usage(raw.get())),
        billed: bill.parts,
        cost_usd: bill.cost,
        web_search_requests: usage.web_search_requests.map(whole),
        service_tier: usage.service_tier.as_deref().map(short),
        ..BatchRow::default()
    }
}

/// Whether something failed, so that the spans of an exchange are sent whatever the share of those that are.
fn is_failed(record: &Record) -> bool {
    let has_error = record.answer.as_ref().is_some_and(|answer| answer.error_type.is_some());
    let is_well = matches!(record.outcome, Outcome::Completed | Outcome::Cached);
    !is_well || has_error || record.error.is_some() || record.status.is_none_or(|status| status.as_u16() >= 400)
}

/// The error type of a response that the gateway made: that of the error object that the client got, or else the word for what happened.
fn made_here(record: &Record) -> Option<&'static str> {
    // a client that left got no error object
    let sent = record.error_type.filter(|_| record.outcome != Outcome::ClientGone);
    sent.or(record.error)
}

/// What the answer says it cost, and what that comes to.
fn used(row: &mut Row, answer: &Answer, record: &Record, prices: &Prices, is_of_batch: bool) {
    let Some(usage) = &answer.usage else { return };
    row.usage_source = match answer.state {
        AnswerState::Complete | AnswerState::Unrecognized => UsageSource::Reported,
        AnswerState::Partial | AnswerState::Failed => UsageSource::Partial,
    };
    row.provider_cost_usd = usage.provider_cost_picos.map(|picos| Cost::from_picos(picos.into()));
    row.tokens = Tokens::from(usage.tokens);
    row.usage_data = usage.raw.as_deref().and_then(|raw| raw_usage(raw.get()));
    // not every provider says so in the answer itself
    let tier = if is_of_batch { Some("batch") } else { usage.service_tier.as_deref() };
    row.service_tier = tier.map(short);
    row.inference_geo = usage.inference_geo.as_deref().map(short);
    row.speed = usage.speed.as_deref().map(short);
    row.web_search_requests = usage.web_search_requests.map(whole);
    row.web_fetch_requests = usage.web_fetch_requests.map(whole);
    let model = who_answered(Some(answer), record);
    let bill = if is_of_batch { Bill::of_batch(prices, usage, model) } else { Bill::of(prices, usage, model) };
    (row.cost_usd, row.billed) = (bill.cost, bill.parts);
}

/// The model that answers. Who does not say which one it is answers as the one that the upstream was asked for.
fn who_answered<'a>(answer: Option<&'a Answer>, record: &'a Record) -> Option<&'a str> {
    answer.and_then(|answer| answer.model.as_deref()).or_else(|| record.model_at_upstream())
}

fn domain(host: &str) -> RowText {
    if host.is_empty() {
        return RowText::new_static(UNKNOWN);
    }
    let domain = text(host, LONGEST_HOST);
    if domain.bytes().any(|byte| byte.is_ascii_uppercase()) { domain.to_ascii_lowercase().into() } else { domain }
}

fn short(text_: &str) -> RowText {
    text(text_, LONGEST_TEXT)
}

/// A text that every database takes: no NUL, and no longer than it may be.
fn text(text: &str, longest: usize) -> RowText {
    match stored_text(text, longest) {
        Cow::Borrowed(text) => RowText::new(text),
        Cow::Owned(text) => text.into(),
    }
}

/// The same of a text that others have, too: a long one is not copied.
fn shared(text: &Arc<str>) -> RowText {
    match stored_text(text, LONGEST_TEXT) {
        Cow::Borrowed(short) if short.len() <= IN_PLACE => RowText::new(short),
        Cow::Borrowed(_) => text.clone().into(),
        Cow::Owned(text) => text.into(),
    }
}

/// A usage object, unless it is out of all proportion.
fn raw_usage(raw: &str) -> Option<String> {
    let has_nul = || memchr::memchr(0, raw.as_bytes()).is_some();
    (raw.len() <= USAGE).then(|| if has_nul() { raw.replace('\0', " ") } else { raw.to_owned() })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn whole(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

impl From<plugin_api::Tokens> for Tokens {
    fn from(tokens: plugin_api::Tokens) -> Self {
        Self {
            input: tokens.input.map(whole),
            output: tokens.output.map(whole),
            cache_read: tokens.cache_read.map(whole),
            cache_creation: tokens.cache_creation.map(whole),
            cache_creation_1h: tokens.cache_creation_1h.map(whole),
            reasoning: tokens.reasoning.map(whole),
        }
    }
}

#[cfg(test)]
mod tests;
