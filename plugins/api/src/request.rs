//! What a plugin sees of a request before its body.

use std::net::IpAddr;

use http::{HeaderMap, Method, Uri};
use uuid::Uuid;

use crate::{Dialect, Endpoint, HeaderEdits};

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// The exchange's own id, a `UUIDv7`: the key of its row in every log.
    pub id: Uuid,
    /// The method.
    pub method: &'a Method,
    /// The target as the client wrote it: path and query.
    pub uri: &'a Uri,
    /// The headers, hop-by-hop ones included.
    pub headers: &'a HeaderMap,
    /// The host asked for, as the client wrote it, without the port.
    pub host: &'a str,
    /// The name of the upstream that the route leads to.
    pub upstream: &'a str,
    /// The peer's address; none where it has none (a Unix socket).
    pub client: Option<IpAddr>,
    /// The endpoint, where the request is a call to a model.
    pub endpoint: Option<Endpoint>,
    /// The dialect in which an answer is expected.
    pub dialect: Dialect,
    /// Changes to the headers on their way to the upstream. Plugins below still see the client's.
    pub edits: HeaderEdits,
}
