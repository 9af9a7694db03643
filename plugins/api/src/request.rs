//! What a plugin sees of a request before its body.

use http::Uri;

use crate::{
    Context, Endpoint, HeaderEdits, KeyDigest, Protocol, RequestHead, RouteModels, UpstreamAddrs, Variables, api_key,
};

/// A request whose head has arrived.
#[derive(Debug)]
pub struct Request<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a mut Context,
    /// Its head, as every hook sees it.
    pub head: RequestHead<'a>,
    /// The target that goes upstream, parsed: the client's, unless the route changes the path. That is not in its normal form.
    pub uri: &'a Uri,
    /// The name of the upstream that the route leads to.
    pub upstream: &'a str,
    /// The route's `models`, by which a call may go to another upstream; the same for every request of a plugin's route.
    pub models: &'a RouteModels,
    /// The endpoint, where the request is a call to a model.
    pub endpoint: Option<Endpoint>,
    /// The protocol in which an answer is expected.
    pub protocol: &'static Protocol,
    /// Whether it asks for a WebSocket whose messages are read: each call on it passes this hook again, with this head and its
    /// endpoint, and [`on_call`](crate::Plugin::on_call) after that.
    pub reads_messages: bool,
    /// Changes to the headers on their way to the upstream, in every attempt and on every fallback. Plugins below still see the
    /// client's headers.
    pub edits: HeaderEdits,
}

impl Request<'_> {
    /// The digest of the [API key](api_key) that it carries. It is computed once for all plugins.
    pub fn api_key_digest(&mut self) -> Option<KeyDigest> {
        if self.context.api_key_digest.is_none() {
            self.context.api_key_digest = api_key(self.head.headers).map(KeyDigest::of);
        }
        self.context.api_key_digest
    }

    /// The digest of a key that it carries: the [same](Self::api_key_digest), unless the key stands elsewhere.
    pub fn digest_of(&mut self, key: &[u8]) -> KeyDigest {
        if api_key(self.head.headers) != Some(key) {
            return KeyDigest::of(key);
        }
        *self.context.api_key_digest.get_or_insert_with(|| KeyDigest::of(key))
    }

    /// What nginx's variables are read from. No attempt has been made yet, and there is no response.
    #[must_use]
    pub fn variables(&self) -> Variables<'_> {
        const NONE: &UpstreamAddrs = &UpstreamAddrs::NONE;
        Variables { context: self.context, request: self.head, response: None, upstream_addrs: NONE }
    }
}
