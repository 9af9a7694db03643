//! A call that is about to go upstream, as a plugin sees it that may send it in the gateway's place.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, Method};

use crate::{Context, ModelCall, SendLimits, UpstreamRequest};

/// A call on its way upstream, as [`on_send`](crate::Plugin::on_send) sees it.
#[derive(Debug)]
pub struct OutgoingCall<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a mut Context,
    /// The call as it will be sent: with the edits of all plugins, and the name that the route's `models` give the model.
    pub call: &'a ModelCall,
    /// The upstream that it goes to, by its name in the YAML: by the route's `models`, else the route's own.
    pub upstream: &'a Arc<str>,
    /// Whether that has a credential of its own, which takes the place of the client's.
    pub upstream_has_credential: bool,
    /// The method.
    pub method: &'a Method,
    /// The path and the query as they will be sent.
    pub target: &'a str,
    /// The headers as they will be sent, with the edits of all plugins; without those of the connection, those that say for whom the call
    /// is forwarded, and the upstream's own, which [`Upstreams::send`](crate::Upstreams::send) adds.
    pub headers: HeaderMap,
    /// The limits of its route, in place of the upstream's.
    pub limits: SendLimits,
}

impl OutgoingCall<'_> {
    /// A request that is this call with another body, as text. An answer in plain text is asked for.
    #[must_use]
    pub fn request(&self, body: Bytes) -> UpstreamRequest {
        let mut headers = self.headers.clone();
        headers.remove(CONTENT_ENCODING);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        UpstreamRequest {
            upstream: self.upstream.clone(),
            method: self.method.clone(),
            target: self.target.to_owned(),
            headers,
            body,
            limits: self.limits,
            once: false,
        }
    }
}
