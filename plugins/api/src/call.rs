//! The body of a call to a model, with the facts read from it. Does not read it itself, and knows no transport.

mod detach_until;
mod edit;

use bytes::Bytes;

use crate::{
    AmbiguousModel, CallFacts, Context, ConversationHash, Endpoint, MessageHashes, MessagesDigest, ModelRule,
    ParsedBody, Protocol, RouteModels,
};

pub use detach_until::DetachUntil;
pub use edit::Edit;

/// A call to a model, as [`on_call`](crate::Plugin::on_call) sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a mut Context,
    /// Its body, with the facts read from it.
    pub body: &'a mut ModelCall,
}

/// A call, or a batch of calls, whose whole body has been read.
///
/// The body is kept as the client sent it. Where it came encoded (`content-encoding: gzip`), the facts and the
/// edits speak of the decoded text; an edited call is sent decoded.
#[derive(Debug)]
pub struct ModelCall {
    endpoint: Endpoint,
    // as the client sent it; none once it was edited
    sent: Option<Bytes>,
    text: Bytes,
    parsed: ParsedBody,
    hashes: MessageHashes,
    models: RouteModels,
    /// How long the call may go on after its client has left; `None` if it ends with its client.
    pub detach_until: Option<DetachUntil>,
    /// Whether it is the first call on a WebSocket: the request that the handshake counts as is this one.
    pub is_first_on_websocket: bool,
}

impl ModelCall {
    /// A call as it was read. `decoded` is the body without its content-encoding, where it had one.
    #[must_use]
    pub fn new(endpoint: Endpoint, sent: Bytes, decoded: Option<Bytes>, parsed: ParsedBody) -> Self {
        let text = decoded.unwrap_or_else(|| sent.clone());
        let (hashes, models) = (MessageHashes::default(), RouteModels::default());
        Self {
            endpoint,
            sent: Some(sent),
            text,
            parsed,
            hashes,
            models,
            detach_until: None,
            is_first_on_websocket: false,
        }
    }

    /// The same call, on a route with these `models`.
    #[must_use]
    pub fn on_route(mut self, models: RouteModels) -> Self {
        self.models = models;
        self
    }

    /// The endpoint it was sent to.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The protocol it speaks.
    #[must_use]
    pub fn protocol(&self) -> &'static Protocol {
        self.endpoint.protocol
    }

    /// What the body turned out to be.
    #[must_use]
    pub fn parsed(&self) -> &ParsedBody {
        &self.parsed
    }

    /// The calls it makes: one, or those of a batch; none where the body could not be read.
    #[must_use]
    pub fn calls(&self) -> &[CallFacts] {
        match &self.parsed {
            ParsedBody::Calls(calls) => calls,
            ParsedBody::NotACall | ParsedBody::Unreadable(_) => &[],
        }
    }

    /// The one call it makes; none for a batch, and where the body could not be read.
    #[must_use]
    pub fn call(&self) -> Option<&CallFacts> {
        if self.endpoint.is_batch() { None } else { self.calls().first() }
    }

    /// The rule of the route's `models` that takes the one call as it stands now; none for a batch. The gateway follows the rule once
    /// all plugins have seen the call.
    ///
    /// # Errors
    /// That it names several models that different rules take. The gateway will refuse it.
    pub fn model_rule(&self) -> Result<Option<&ModelRule>, AmbiguousModel> {
        self.call().map_or(Ok(None), |call| self.model_rule_of(call))
    }

    /// The rule of the route's `models` that takes one of the [`calls`](Self::calls).
    ///
    /// # Errors
    /// As for [`model_rule`](Self::model_rule).
    pub fn model_rule_of(&self, call: &CallFacts) -> Result<Option<&ModelRule>, AmbiguousModel> {
        self.models.rule_of(call)
    }

    /// The name of the model by which the upstream will be asked, where the one call names a model; none for a batch. By it the call
    /// is priced before its answer says more.
    #[must_use]
    pub fn upstream_model(&self) -> Option<&str> {
        self.upstream_model_of(self.call()?)
    }

    /// The name of the model by which the upstream will be asked in one of the [`calls`](Self::calls), where it names a model: its own,
    /// or that of the route's `models`.
    #[must_use]
    pub fn upstream_model_of<'a>(&'a self, call: &'a CallFacts) -> Option<&'a str> {
        let rule = self.model_rule_of(call).ok().flatten();
        rule.and_then(|rule| rule.model.as_deref()).or(call.model.as_deref())
    }

    /// The same call, with the hashes of its messages.
    #[must_use]
    pub fn hashed(mut self, hashes: MessageHashes) -> Self {
        self.hashes = hashes;
        self
    }

    /// Its place in a conversation, where a plugin [needs it](crate::Needs::conversation).
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationHash> {
        self.hashes.conversation
    }

    /// The digest of its messages, where a plugin [needs it](crate::Needs::messages_digest) and there is one. It is gone once an
    /// edit has changed them.
    #[must_use]
    pub fn messages_digest(&self) -> Option<&MessagesDigest> {
        self.hashes.digest.as_ref()
    }

    /// The body as text: without its content-encoding, with the edits made so far.
    #[must_use]
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Makes these changes to the text, and to no other byte of it. The facts follow, so that what reads
    /// the call next sees it as it will be sent. Of two edits of the same bytes the first is made.
    ///
    /// The text is copied once, however many the edits.
    pub fn edit(&mut self, edits: Vec<Edit>) {
        let ParsedBody::Calls(calls) = &mut self.parsed else { return };
        if let Some(text) = edit::apply(&self.text, calls, &mut self.hashes.digest, edits) {
            self.text = text;
            self.sent = None;
        }
    }

    /// Whether anything was changed. If so, the body to send is no longer encoded.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        self.sent.is_none()
    }

    /// The memory that it takes beside the body as it was sent, in bytes: the decoded text, and the facts.
    #[must_use]
    pub fn made_bytes(&self) -> usize {
        let is_own = self.sent.as_ref().is_none_or(|sent| sent.as_ptr() != self.text.as_ptr());
        let text = if is_own { self.text.len() } else { 0 };
        text + size_of_val(self.calls())
    }

    /// The body to send, as [`into_body`](Self::into_body) gives it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.sent.as_ref().unwrap_or(&self.text)
    }

    /// The body to send: as it came, or, if it was edited, the edited text without content-encoding.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.sent.unwrap_or(self.text)
    }
}
