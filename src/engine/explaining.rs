//! Takes a request as far as it goes without a socket: through admission, routing, plugins and the head that would go upstream, by the
//! same code as a request that comes. `tollgate explain` asks for it.

mod pipe;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use pingora_proxy::Session;
use plugin_api::{ConnectionInfo, Endpoint, Hashing, ModelCall, Record, Reply};
use tokio::time::{Instant, timeout};

use crate::balance::Algorithm;
use crate::dialect;
use crate::exchange::attempts::{Action, Event};
use crate::exchange::failure::Failure;
use crate::exchange::{hop_by_hop, request_line};
use crate::routes::Mismatch;

use super::ctx::Exchange;
use super::forward;
use super::interruption::Interruption;
use super::request::{prepare, route_request};
use super::snapshot::Snapshot;

use pipe::Pipe;

/// How long a request may take that waits for more of its body.
const LIMIT: Duration = Duration::from_secs(5);

/// A request that is explained.
pub struct ClientRequest {
    /// Its head as HTTP/1.1 has it, up to and with the empty line.
    pub head: Vec<u8>,
    /// Its body, in the framing that the head says.
    pub body: Bytes,
    /// Its body without the framing.
    pub content: Bytes,
    /// The connection that it comes on.
    pub connection: ConnectionInfo,
}

/// What would become of a request.
pub struct Prepared {
    /// What is recorded of it so far.
    pub record: Record,
    /// The path by which its route is found.
    pub path: String,
    /// Its query.
    pub query: Option<String>,
    /// The call in its body, where it is one to a known endpoint.
    pub call: Option<ModelCall>,
    /// The place of its route, where one takes it.
    pub route: Option<usize>,
    /// The routes that were asked before, and why each does not take it.
    pub mismatches: Vec<(usize, String)>,
    /// What becomes of it.
    pub end: End,
}

/// What becomes of a request.
pub enum End {
    /// It goes upstream.
    Sent(Box<SentRequest>),
    /// It is answered here.
    Answered(Box<Reply>),
    /// It fails; the word for why.
    Failed(&'static str),
}

/// A request that goes upstream.
pub struct SentRequest {
    /// The place of its upstream among those of the configuration.
    pub upstream: usize,
    /// The target, as it is sent.
    pub target: String,
    /// The headers as the client sent them.
    pub client_headers: HeaderMap,
    /// The headers as they are sent, without those of the connection. `host` is that of the server, where it has one of its own.
    pub headers: HeaderMap,
    /// The body as it is sent, where it was read here.
    pub body: Option<Bytes>,
    /// The server that its key leads to while nothing is in flight, where the upstream hashes and every address is known.
    pub hashed_to: Option<Arc<str>>,
    /// Whether it asks for a WebSocket.
    pub is_websocket: bool,
}

/// Why a request cannot be explained.
#[derive(Debug)]
pub enum Unexplained {
    /// It is no HTTP.
    NoRequest(String),
    /// Its body does not come to its end.
    Unfinished,
}

/// Takes a request as far as it goes. The plugins of the snapshot are built to explain.
///
/// # Errors
/// That it is no whole request.
pub async fn explain(snapshot: Arc<Snapshot>, request: ClientRequest) -> Result<Prepared, Unexplained> {
    let ClientRequest { head, body, content, connection } = request;
    let head = with_plain_line(head)?;
    let mut session = Session::new_h1(Box::new(Pipe::new(&[&head, &body[..]].concat(), connection)));
    match timeout(LIMIT, session.downstream_session.read_request()).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) | Err(_) => return Err(Unexplained::NoRequest("there is no request".to_owned())),
        Ok(Err(error)) => return Err(Unexplained::NoRequest(error.to_string())),
    }
    let client_headers = session.req_header().headers.clone();
    // it is no request that a plugin or a log hears of at its end
    let mut ctx = Exchange::stand_in(snapshot);
    let prepared = timeout(LIMIT, prepare(&mut session, &mut ctx)).await.map_err(|_| Unexplained::Unfinished)?;
    let (path, query) = (ctx.client_path().to_owned(), session.req_header().uri.query().map(str::to_owned));
    let is_post = session.req_header().method == Method::POST;
    let endpoint = Endpoint::of(ctx.path()).filter(|endpoint| is_post && endpoint.takes_json);
    let call =
        endpoint.map(|endpoint| dialect::read(endpoint, &client_headers, content, ctx.max_read(), Hashing::Nothing));
    let route = ctx.route.as_ref().map(|route| route.index);
    let is_routed = route.is_some() || ctx.record.error == Some(Failure::NoRoute.word());
    let asked = if is_routed { route.unwrap_or(ctx.snapshot.routes.len()) } else { 0 };
    let mismatches = mismatches(&session, &ctx, asked);
    let end = match prepared {
        Ok(()) => match sent(&mut session, &mut ctx, client_headers) {
            Ok(sent) => End::Sent(Box::new(sent)),
            Err(error) => return Err(Unexplained::NoRequest(error.to_string())),
        },
        Err(Interruption::Answer(reply)) => End::Answered(reply),
        Err(Interruption::Fail(failure, _)) => End::Failed(failure.word()),
    };
    let record = std::mem::replace(&mut ctx.record, Record::begun(plugin_api::Uuid::nil(), std::time::UNIX_EPOCH));
    Ok(Prepared { record, path, query, call, route, mismatches, end })
}

/// The head with its first line as a connection gives it to Pingora.
fn with_plain_line(head: Vec<u8>) -> Result<Vec<u8>, Unexplained> {
    let end = head.windows(2).position(|bytes| bytes == b"\r\n").unwrap_or(head.len());
    match request_line::read(&head[..end]) {
        Ok(None) => Ok(head),
        Ok(Some(rewritten)) => Ok([&rewritten.line, &head[end..]].concat()),
        Err(fault) => Err(Unexplained::NoRequest(fault.to_owned())),
    }
}

/// Why each of the first so many routes does not take a request.
fn mismatches(session: &Session, ctx: &Exchange, asked: usize) -> Vec<(usize, String)> {
    let request = route_request(session, ctx);
    let why = |route: usize| {
        let connection = request.connection;
        Some(match ctx.snapshot.router.mismatch(route, &request)? {
            Mismatch::Host => format!("its hosts do not have `{}`", request.host),
            Mismatch::Path => format!("its paths do not have `{}`", request.path),
            Mismatch::Method => format!("its methods do not have {}", request.method),
            Mismatch::Scheme if connection.tls.is_some() => "its scheme is not `https`".to_owned(),
            Mismatch::Scheme => "its scheme is not `http`".to_owned(),
            Mismatch::Listener => {
                let listener = connection.listener.map(|address| address.to_string()).unwrap_or_default();
                format!("its listeners do not have `{listener}`")
            }
            Mismatch::Header(name) if !request.headers.contains_key(name) => format!("the header `{name}` is not sent"),
            Mismatch::Header(name) => format!("the header `{name}` has another value"),
            Mismatch::Parameter(name) => format!("the query has no such `{name}`"),
        })
    };
    (0..asked).filter_map(|route| Some((route, why(route)?))).collect()
}

/// The request as it goes upstream.
fn sent(session: &mut Session, ctx: &mut Exchange, client_headers: HeaderMap) -> pingora_error::Result<SentRequest> {
    let mut head = session.req_header().clone();
    for name in hop_by_hop::names(&head.headers, false) {
        // as Pingora does; what a WebSocket needs stays
        if !ctx.flags.upgrade || !matches!(name.as_str(), "connection" | "upgrade") {
            head.remove_header(&name);
        }
    }
    let hashed_to = hashed_to(ctx);
    let body = ctx.body.as_ref().map(|body| body.bytes.clone());
    forward::write_head(&mut head, ctx)?;
    let upstream = ctx.attempts.as_ref().map_or(0, |attempts| attempts.upstream().index);
    Ok(SentRequest {
        upstream,
        target: String::from_utf8_lossy(head.raw_path()).into_owned(),
        client_headers,
        headers: head.headers.clone(),
        body,
        hashed_to,
        is_websocket: ctx.flags.upgrade && super::websocket::is_websocket(&head.headers),
    })
}

/// The server that the request's key leads to, where it is certain without anything in flight.
fn hashed_to(ctx: &mut Exchange) -> Option<Arc<str>> {
    let attempts = ctx.attempts.as_mut()?;
    let upstream = attempts.upstream().clone();
    let has_key = attempts.demand().hash_keys.first().is_some_and(Option::is_some);
    let is_hashed = has_key && matches!(upstream.pool.rule(), Algorithm::Hash(_));
    if !is_hashed || !upstream.pool.unresolved().is_empty() {
        return None;
    }
    match attempts.on(Event::ServerWanted, Instant::now()) {
        Action::Connect => attempts.lease().map(|lease| lease.label().clone()),
        _ => None,
    }
}
