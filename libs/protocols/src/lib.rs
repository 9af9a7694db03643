//! The protocols of LLM APIs as plain data, and what is read from their bytes: what a call asks for, and what its answer says
//! of itself and of its cost.
//!
//! A [`Protocol`] is one value in a file of its own ([`anthropic`](Protocol::ANTHROPIC), [`openai`](Protocol::OPENAI),
//! [`ollama`](Protocol::OLLAMA)), and an [`Endpoint`] is a handle into it. To add one is a file and a line in the list of
//! `protocol.rs`. What the many servers that speak `OpenAI`'s API do differently is a table, in `compatible.rs`.
//!
//! Nothing here changes a byte, but for the [`StreamUsageFilter`] and [`with_model`], and nothing guesses: what cannot be read with certainty is
//! said to be so. Knows no gateway, no socket and no plugin.

mod answer;
mod answer_model;
mod anthropic;
mod batch_results;
mod charset;
mod compatible;
mod conversation;
mod endpoint;
mod facts;
mod form;
mod lenient_object;
mod ollama;
mod openai;
mod path;
mod protocol;
mod reader;
mod refused;
mod request;
mod response;
mod slot;
mod spoken;
mod stream_usage;
mod usage;
mod usage_text;
mod websocket;
mod words;

pub use answer::{Answer, AnswerState};
pub use answer_model::with_model;
pub use batch_results::{BatchReader, batch_of_results};
pub use conversation::{ConversationHash, Earlier, Hashing, MessageHashes, MessagesDigest};
pub use endpoint::{BatchMembers, Endpoint, EndpointSpec, PathRule, Sign};
pub use facts::{CallFacts, CallerFacts, StreamOptions, ThinkingBudget, TokenField, TokenLimit, TokenLimitValue};
pub use form::FormModel;
pub use protocol::{ApiError, ErrorSchema, LimitHeaders, MemberPath, Protocol, ResetFormat};
pub use reader::AnswerReader;
pub use refused::{Closing, OpenStream, refused_body};
pub use request::{ParsedBody, parse};
pub use stream_usage::StreamUsageFilter;
pub use usage::{BatchResult, Iteration, Tokens, Usage};
pub use websocket::{
    AnswerEvents, CallMessage, ClientMessage, EventError, EventKind, MessageSchema, ServerEvent, ServerMessages,
    SessionModel, error_event,
};
