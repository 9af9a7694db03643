//! What the messages of a WebSocket mean: the calls in those of a client, the answers in those of a server, and the error that a
//! client gets. Reads texts; knows no frames.

mod client;
mod error_event;
mod server;
mod session_model;
#[cfg(test)]
mod tests;

pub use client::{CallMessage, ClientMessage};
pub use error_event::{EventError, error_event};
pub use server::{AnswerEvents, EventKind, ServerEvent, ServerMessages};
pub use session_model::SessionModel;

/// How the calls of an endpoint stand in messages.
#[derive(Debug)]
pub struct MessageSchema {
    /// The types of the messages that ask for an answer.
    pub call_types: &'static [&'static str],
    /// The member that is the call; none where the message itself is.
    pub call_member: Option<&'static str>,
    /// Whether the server may begin an answer that no message asked for, and several at once.
    pub server_begins: bool,
    /// Whether the model is named once, in the address.
    pub model_in_query: bool,
}
