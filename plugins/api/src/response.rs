//! What a plugin sees of a response: its head, then its bytes as they pass.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{Context, HeaderEdits, RequestHead, UpstreamAddrs, Variables};

/// The head of the response that is about to be sent.
#[derive(Debug)]
pub struct Response<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a mut Context,
    /// The head of its request.
    pub request: RequestHead<'a>,
    /// Where attempts were made to get it.
    pub upstream_addrs: &'a UpstreamAddrs,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Changes to the headers on their way to the client. Plugins above still see the headers as they came.
    pub edits: HeaderEdits,
}

impl Response<'_> {
    /// What nginx's variables are read from.
    #[must_use]
    pub fn variables(&self) -> Variables<'_> {
        Variables {
            context: self.context,
            request: self.request,
            response: Some((self.status, self.headers)),
            upstream_addrs: self.upstream_addrs,
        }
    }
}

/// Bytes of the response's body, as they came: cut anywhere, encoded as the `content-encoding` says.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a Context,
    /// The bytes, which may be none at the end.
    pub bytes: &'a Bytes,
    /// Whether the body is complete with them. A broken body never says so.
    pub last: bool,
    /// Whether the answer says that it is complete with them (`[DONE]`), although the end of its body has not come.
    pub complete: bool,
}
