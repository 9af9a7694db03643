//! What plugins need done for them. A route pays for what one of its plugins needs, and for nothing else.

use crate::Hashing;

/// What a plugin needs the gateway to do.
///
/// ```
/// # use plugin_api::Needs;
/// const NEEDS: Needs = Needs { body: true, ..Needs::NOTHING };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The bodies of calls read, for [`on_call`](crate::Plugin::on_call). Other routes stream them.
    pub body: bool,
    /// The calls of each `WebSocket` seen one by one, for [`on_request`](crate::Plugin::on_request) of each. [`body`](Needs::body) includes it.
    pub messages: bool,
    /// The answers to calls read as they pass, for [`Record::answer`](crate::Record::answer).
    pub answer: bool,
    /// Usage reported by every stream, for [`Record::answer`](crate::Record::answer): where an API reports the usage of a stream only
    /// on request, the gateway requests it, and takes it out of the answer to a client that did not. The upstream of such a
    /// call is asked for an unencoded answer. Needs [`body`](Needs::body).
    pub usage: bool,
    /// Downloads of batch results read as they pass, for [`on_batch_result`](crate::Plugin::on_batch_result).
    pub batch_results: bool,
    /// Calls placed in conversations, for [`Record::conversation`](crate::Record::conversation). Needs [`body`](Needs::body).
    pub conversation: bool,
    /// The digest of a call's messages, for [`ModelCall::messages_digest`](crate::ModelCall::messages_digest), where another plugin
    /// needs the [`conversation`](Needs::conversation). Both are made in one reading; alone, a plugin reads the text itself.
    pub messages_digest: bool,
    /// Responses that it may change, for [`transforms`](crate::Plugin::transforms) and [`on_part`](crate::Plugin::on_part). The
    /// upstream is asked for unencoded answers.
    pub transform: bool,
    /// Calls that may go on after their client has left: see [`DetachUntil`](crate::DetachUntil).
    pub detach: bool,
    /// Calls that it may send in the gateway's place, for [`on_send`](crate::Plugin::on_send). Needs [`body`](Needs::body).
    pub send: bool,
    /// Traces, where `telemetry.otlp` is configured: it keeps the rows of which spans are made. On other routes `traceparent` passes as it came.
    pub trace: bool,
}

impl Needs {
    /// No needs.
    pub const NOTHING: Self = Self {
        body: false,
        messages: false,
        answer: false,
        usage: false,
        batch_results: false,
        conversation: false,
        messages_digest: false,
        transform: false,
        detach: false,
        send: false,
        trace: false,
    };

    /// What either of two needs.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            body: self.body || other.body,
            messages: self.messages || other.messages,
            answer: self.answer || other.answer,
            usage: self.usage || other.usage,
            batch_results: self.batch_results || other.batch_results,
            conversation: self.conversation || other.conversation,
            messages_digest: self.messages_digest || other.messages_digest,
            transform: self.transform || other.transform,
            detach: self.detach || other.detach,
            send: self.send || other.send,
            trace: self.trace || other.trace,
        }
    }

    /// The hashes of a call's messages that are needed.
    #[must_use]
    pub const fn hashing(self) -> Hashing {
        match (self.conversation, self.messages_digest) {
            (false, _) => Hashing::Nothing,
            (true, false) => Hashing::Conversation,
            (true, true) => Hashing::ConversationAndDigest,
        }
    }
}
