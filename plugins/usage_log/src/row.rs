//! What the ledger keeps of one request, column by column, and of one result of a batch. Knows no database.

mod attempt;
mod body;
mod spans;
mod time;

use std::net::IpAddr;

use plugin_api::WindowCount;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::Place;

pub use attempt::RowAttempt;
pub use body::{Body, Piece};
pub use prices::Cost;
pub use spans::RowSpans;
pub use time::Timestamp;

/// A text: never with a NUL in it, which no Postgres text can hold. One of at most 23 bytes, and a word of the gateway's own, takes no memory
/// besides.
pub type RowText = SmolStr;

/// One thing to be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A request. Kept once per [`Row::id`], at its highest [`Row::revision`]; never twice in one batch.
    Request(Box<Row>),
    /// A result of a batch. Kept once per [`BatchRow::batch`] and [`BatchRow::custom_id`], however often it is downloaded.
    Batch(Box<BatchRow>),
}

impl Record {
    /// Whether bodies or chunks are kept with it.
    pub(crate) fn has_bodies(&self) -> bool {
        match self {
            Self::Request(row) => row.request_body.is_some() || row.response_body.is_some() || !row.chunks.is_empty(),
            Self::Batch(_) => false,
        }
    }

    /// Takes out the bodies and chunks; whether there were any.
    pub(crate) fn leave_out_bodies(&mut self) -> bool {
        let had = self.has_bodies();
        if let Self::Request(row) = self {
            (row.request_body, row.response_body) = (None, None);
            row.chunks = Vec::new();
        }
        had
    }
}

/// One request: the columns of `api_requests`, under their names. A figure that was never learned is `None`, not 0; every
/// number fits a signed 64-bit column and is not negative.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// The exchange's own id, a `UUIDv7`; with `created_at` the key.
    pub id: Uuid,
    /// When its head had been read.
    pub created_at: Timestamp,
    /// 0 for what was predicted before the last bytes went to the client, 1 for what became of it. A second record of the same
    /// `id` and `created_at` takes the place of the first if its revision is higher; else it is known already.
    pub revision: i16,
    /// The host asked for, in lower case, without the port; `unknown` where there was none.
    pub domain: RowText,
    /// The method.
    pub method: RowText,
    /// The path, without the query.
    pub path: RowText,
    /// The word for the endpoint (`messages`, `chat_completions`, …), where it was a call to a model.
    pub endpoint: Option<RowText>,
    /// The model asked for.
    pub model: Option<RowText>,
    /// `inference`, `query_evaluation` or `quota`; `other` for what is no call to a model.
    pub request_type: RowText,
    /// The model that answered and is billed.
    pub served_model: Option<RowText>,
    /// The conversation it is a turn of: that of the session, or else the `id` of the first request of it.
    pub conversation_id: Option<Uuid>,
    /// The hash of its caller, its messages and the words of its answer.
    pub turn_hash: Option<[u8; 32]>,
    /// `turn_hash` of the request that it goes on from.
    pub previous_turn_hash: Option<[u8; 32]>,
    /// The beginning of the SHA-256 of the caller's API key: 32 hexadecimal digits.
    pub api_key_hash: Option<RowText>,
    /// The status sent to the client.
    pub response_status: Option<i16>,
    /// From the head of the request to the end, in milliseconds.
    pub response_time_ms: i64,
    /// From the head of the request to the head of the upstream's answer, in milliseconds.
    pub first_byte_ms: Option<i64>,
    /// From the head of the request to the first content of a stream, in milliseconds.
    pub first_token_ms: Option<i64>,
    /// Whether a stream was asked for.
    pub streaming: Option<bool>,
    /// The tokens that the answer cost, the answer's own sum.
    pub tokens: Tokens,
    /// How the tokens are known.
    pub usage_source: UsageSource,
    /// The provider's own object of usage, as JSON text. It may hold `\u0000`, which `jsonb` does not take.
    pub usage_data: Option<String>,
    /// Where the sum is not the bill: each sampling, with its model and its cost. Empty otherwise.
    pub billed: Vec<Billed>,
    /// What the tokens cost; `None` where a price is not known.
    pub cost_usd: Option<Cost>,
    /// `hit`, `miss`, `coalesced` or `bypass`, where there is a cache.
    pub cache_status: Option<RowText>,
    /// The tokens that an answer from a cache did not cost.
    pub saved: Tokens,
    /// What they would have cost.
    pub saved_cost_usd: Option<Cost>,
    /// The upstream's name.
    pub upstream: Option<RowText>,
    /// The server of the last attempt.
    pub server: Option<RowText>,
    /// Attempts upstream; 0 where none was made.
    pub attempts: i32,
    /// `completed`, `refused`, `cached`, `upstream_failed`, `client_gone` or `aborted`.
    pub outcome: RowText,
    /// What went wrong: the type of the error object that the gateway answered with (`invalid_request_error`), its word where
    /// there was no such answer (`client_gone`), or the provider's own (`overloaded_error`).
    pub error_type: Option<RowText>,
    /// Why the model stopped.
    pub stop_reason: Option<RowText>,
    /// Bytes of the request's body.
    pub request_bytes: i64,
    /// Bytes of the answer's body passed to the client.
    pub response_bytes: i64,
    /// The peer's address.
    pub client_ip: Option<IpAddr>,
    /// The provider's id of the exchange.
    pub upstream_request_id: Option<RowText>,
    /// The provider's id of the answer (`msg_…`).
    pub answer_id: Option<RowText>,
    /// `standard`, `priority`, `batch`, …
    pub service_tier: Option<RowText>,
    /// Where it ran.
    pub inference_geo: Option<RowText>,
    /// `standard` or `fast`.
    pub speed: Option<RowText>,
    /// Web searches that the provider ran.
    pub web_search_requests: Option<i64>,
    /// Web pages that it fetched.
    pub web_fetch_requests: Option<i64>,
    /// The gateway that served it, by an id that is new with every start.
    pub instance: Uuid,
    /// Its number among the rows of its instance: 1, 2, 3, … The journal gives it, to a row that has 0. One that is missing is a row
    /// that is lost, and shows in SQL.
    pub sequence: i64,
    /// The request's body, where it is to be kept.
    pub request_body: Option<Body>,
    /// The answer's body, where it is to be kept.
    pub response_body: Option<Body>,
    /// The pieces in which the answer came, for `streaming_chunks`; empty where they are not to be kept.
    pub chunks: Vec<Piece>,
    /// What the provider itself says that it charges for the answer.
    pub provider_cost_usd: Option<Cost>,
    /// The plugin that refused the request, where one did.
    pub plugin: Option<RowText>,
    /// Why it was refused, in a word (`too_many_tokens`).
    pub reason: Option<RowText>,
    /// The name of the route.
    pub route: Option<RowText>,
    /// The caller's tenant, where a plugin knows it.
    pub tenant: Option<RowText>,
    /// The name of the caller's API key, where a plugin knows it.
    pub key_name: Option<RowText>,
    /// The session, where the client names one.
    pub session_id: Option<RowText>,
    /// The user, where the client names one.
    pub user_id: Option<RowText>,
    /// The model asked for, where the upstream was asked for another one in its place.
    pub requested_model: Option<RowText>,
    /// How the request came: `http/1.1`, `h2`, `websocket`.
    pub protocol: Option<RowText>,
    /// The tokens that limits counted, by the weights of `rate_limit`; `None` where no limit counted the request.
    pub limit_tokens: Option<i64>,
    /// What budgets count in the place of a cost that is not known, or not all of it.
    pub assumed_cost_usd: Option<Cost>,
    /// Which rule of `model_router` chose the model: `auto/2; pinned`.
    pub rule: Option<RowText>,
    /// The id of the trace that it belongs to, in hexadecimal digits.
    pub trace_id: Option<RowText>,
    /// What it adds to limits by day or month. The journal alone has it, and a rejected row has none: it was counted.
    #[serde(skip)]
    pub window_counts: Vec<WindowCount>,
    /// Of a row that corrects an earlier one: what budgets counted of that, in picodollars. The journal alone has it, too.
    #[serde(skip)]
    pub counted_before: i64,
    /// Of such a row: 1 where the earlier one was counted as an answer of unknown cost, and 0 where it was not.
    #[serde(skip)]
    pub unpriced_before: i64,
    /// Its spans, where they are to be sent. The journal alone has them.
    #[serde(skip)]
    pub spans: Option<RowSpans>,
    /// The conversation that started this one for a subagent.
    pub parent_conversation_id: Option<Uuid>,
    /// The provider's batch that answered the call, where one did.
    pub batch_id: Option<RowText>,
    /// From the moment at which the call was accepted to that answer, in milliseconds.
    pub batch_wait_ms: Option<i64>,
    /// What other calls find it by. The journal alone has it.
    #[serde(skip)]
    pub place: Option<Box<Place>>,
    /// Each attempt upstream, where there was more than one; empty otherwise.
    pub attempt_details: Vec<RowAttempt>,
}

/// Tokens, in the classes that have prices of their own; the columns `input_tokens`, `output_tokens`,
/// `cache_read_input_tokens`, `cache_creation_input_tokens`, `cache_creation_1h_input_tokens` and `reasoning_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Input from no cache.
    pub input: Option<i64>,
    /// Output, reasoning included.
    pub output: Option<i64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<i64>,
    /// Input written to the provider's cache, for whatever time.
    pub cache_creation: Option<i64>,
    /// What of that is kept for an hour.
    pub cache_creation_1h: Option<i64>,
    /// What of the output is reasoning.
    pub reasoning: Option<i64>,
}

/// How the tokens of a row are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsageSource {
    /// They are not.
    #[default]
    None,
    /// The provider reported them so far; the answer broke off.
    Partial,
    /// The provider reported them in a whole answer.
    Reported,
}

impl UsageSource {
    /// The word in the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Reported => "reported",
        }
    }

    /// Its number in the journal.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Partial => 1,
            Self::Reported => 2,
        }
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::None, Self::Partial, Self::Reported].into_iter().find(|source| source.code() == code)
    }
}

/// One sampling within an answer, billed by its own model's prices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Billed {
    /// `message`, `compaction`, …
    pub kind: String,
    /// The model that it ran on.
    pub model: Option<RowText>,
    /// What it took.
    pub tokens: Tokens,
    /// What that cost; `None` where a price is not known.
    pub cost_usd: Option<Cost>,
}

/// One result of a batch; the columns of `batch_results`, whose key is `(batch, custom_id)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchRow {
    /// The batch's id.
    pub batch: RowText,
    /// The request's name in the batch.
    pub custom_id: RowText,
    /// The exchange in which it was downloaded.
    pub request_id: Uuid,
    /// When that exchange began.
    pub created_at: Timestamp,
    /// Its host.
    pub domain: RowText,
    /// Its key's hash.
    pub api_key_hash: Option<RowText>,
    /// Its upstream.
    pub upstream: Option<RowText>,
    /// The model that answered.
    pub served_model: Option<RowText>,
    /// The tokens it cost.
    pub tokens: Tokens,
    /// The provider's own object of usage, as JSON text.
    pub usage_data: Option<String>,
    /// Each sampling, where the sum is not the bill.
    pub billed: Vec<Billed>,
    /// What it cost, at the prices of batches.
    pub cost_usd: Option<Cost>,
    /// Web searches that the provider ran.
    pub web_search_requests: Option<i64>,
    /// `batch`, where it says so.
    pub service_tier: Option<RowText>,
    /// The tenant of the download.
    pub tenant: Option<RowText>,
    /// The name of its API key.
    pub key_name: Option<RowText>,
}
