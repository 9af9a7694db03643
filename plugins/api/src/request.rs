//! What a plugin sees of a request before its body.

use http::{HeaderMap, Method, Uri, Version};

use crate::{
    Context, Endpoint, HeaderEdits, KeyDigest, Protocol, RequestHead, RouteModels, UpstreamAddrs, Variables, api_key,
};

/// The head of a request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a mut Context,
    /// The method.
    pub method: &'a Method,
    /// The target that goes upstream, parsed: the client's, unless the route changes the path. That is not in its normal form.
    pub uri: &'a Uri,
    /// The target as the client sent it: path and query, or in absolute form.
    pub target: &'a [u8],
    /// The path that goes upstream in its normal form: decoded, with dots resolved and slashes merged. The request is understood by it.
    pub path: &'a str,
    /// The version of HTTP.
    pub version: Version,
    /// The headers, hop-by-hop ones included.
    pub headers: &'a HeaderMap,
    /// The host asked for, as the client wrote it, without the port.
    pub host: &'a str,
    /// The host of the route as the YAML writes it; `other` where the route names none.
    pub domain: &'a str,
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
            self.context.api_key_digest = api_key(self.headers).map(KeyDigest::of);
        }
        self.context.api_key_digest
    }

    /// The digest of a key that it carries: the [same](Self::api_key_digest), unless the key stands elsewhere.
    pub fn digest_of(&mut self, key: &[u8]) -> KeyDigest {
        if api_key(self.headers) != Some(key) {
            return KeyDigest::of(key);
        }
        *self.context.api_key_digest.get_or_insert_with(|| KeyDigest::of(key))
    }

    /// What nginx's variables are read from. No attempt has been made yet, and there is no response.
    #[must_use]
    pub fn variables(&self) -> Variables<'_> {
        const NONE: &UpstreamAddrs = &UpstreamAddrs::NONE;
        let request = RequestHead {
            method: self.method,
            target: self.target,
            path: self.path,
            version: self.version,
            host: self.host,
            domain: self.domain,
            headers: self.headers,
        };
        Variables { context: self.context, request, response: None, upstream_addrs: NONE }
    }
}
