//! The contract between the gateway and its plugins: [`Plugin`], and the types its hooks see.
//! It knows no server, no socket and no configuration file, so a plugin's test needs none.

mod attempt;
mod batched;
mod blocking;
mod body;
mod budget;
mod budget_use;
mod build;
mod call;
mod command;
mod common;
mod connection;
mod connection_headers;
mod context;
mod credential;
mod explanation;
mod grants;
mod headers;
mod log_limit;
mod metering;
mod metric;
mod needs;
mod outgoing_call;
mod part;
mod plugin;
mod principal;
mod quota;
mod record;
mod refusal;
mod replay;
mod reply;
mod request;
mod request_head;
mod response;
mod route_models;
mod send_error;
mod settings;
mod shared;
mod shortened;
mod spending;
pub mod tags;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod transport;
mod upstream_addrs;
mod upstream_request;
mod upstreams;
mod variable;

pub use attempt::{Attempt, AttemptLog};
pub use batched::{Batched, BatchedAnswer, LateBook, LateBooks, LateResult};
pub use blocking::{run_blocking, set_blocking_slots};
pub use body::{Body, BodyStream, Broken};
pub use budget::{BODIES, Budget, Charge, Shortage};
pub use budget_use::{BudgetReader, BudgetUse, DeferredCost, HeldCost, Restoring};
pub use build::{BuildContext, CheckContext, ConfigProblem};
pub use bytes::Bytes;
pub use call::{Call, DetachUntil, Edit, ModelCall};
pub use clap;
pub use command::{Command, CommandContext, CommandError};
pub use common::{Common, LimitRejections};
pub use connection::{ClientCertificate, ConnectionInfo, TlsInfo};
pub use connection_headers::{is_hop_by_hop, is_of_connection};
pub use context::Context;
pub use credential::{KeyDigest, api_key, fingerprint, is_credential, query_secrets, secrets, without_bearer};
pub use explanation::{Explanation, on_call, on_request};
pub use glob::Glob;
pub use grants::Grants;
pub use headers::{HeaderEdit, HeaderEdits};
pub use http;
pub use log_limit::LogLimit;
pub use metering::{AssumedCost, CallMeter, WindowCount};
pub use metric::constant_metric;
pub use needs::Needs;
pub use outgoing_call::OutgoingCall;
pub use part::{Change, Part, PartKind, is_text_of_an_api};
pub use plugin::{Flow, Plugin};
pub use principal::Principal;
pub use prometheus;
pub use protocols::{
    Answer, AnswerState, BatchResult, CallFacts, CallerFacts, ConversationHash, Earlier, Endpoint, Hashing, Iteration,
    LimitHeaders, MessageHashes, MessagesDigest, ParsedBody, Protocol, ResetFormat, SessionModel, Sign, StreamOptions,
    ThinkingBudget, TokenField, TokenLimit, TokenLimitValue, Tokens, Usage,
};
pub use quota::{Quota, Rate, Window};
pub use record::{KnownCost, Outcome, Record};
pub use refusal::{Refusal, RefusalKind};
pub use replay::{PastCall, PastRoute, Replay, Replayed};
pub use reply::{ErrorKind, Reply};
pub use request::Request;
pub use request_head::RequestHead;
pub use response::{Chunk, Response};
pub use route_models::{AmbiguousModel, AnswerModel, ModelRule, RouteModels};
pub use send_error::{SendError, SendFailure};
pub use settings::{ByteSize, Count, HttpMethod, Period, SecretHeaders, SecretUrl, one_or_many};
pub use shared::{AdminAnswer, AdminBody, AdminHandler, AdminRequest, AdminRoute, Handover, Shared};
pub use shortened::{
    LONGEST_HOST, LONGEST_PATH, LONGEST_TEXT, shortened, shortened_answer, shortened_result, stored_text,
};
pub use spending::{
    DatabaseId, JournalIn, LedgerId, OpenLedger, RecordNumber, Spender, Spending, SpendingFeed, SpendingQuery,
    SpendingReader, Spent, SpentBy, StoredCounts, StoredSum, Sum,
};
pub use tags::Tags;
pub use telemetry::{OtlpCompression, OtlpSettings, SemConv, Share, Telemetry, TelemetrySettings};
pub use trace::{SpanId, Trace, TraceId, Traceparent};
pub use transport::Transport;
pub use upstream_addrs::UpstreamAddrs;
pub use upstream_request::{SendLimits, SentTo, UpstreamBody, UpstreamRequest, UpstreamResponse};
pub use upstreams::{Sending, UpstreamSender, Upstreams};
pub use uuid::Uuid;
pub use variable::{Variable, VariableTemplate, Variables, header_value};

/// The page for authors of plugins, whose code is tested.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugins.md")]
struct Page;
