//! A plugin's own request at work: an exchange without client, route, plugins and row, which Pingora carries on as a subrequest. The way
//! to it from any thread is in `plugin_sender`.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use log::debug;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::PreparedSubrequest;
use pingora_proxy::subrequest::{BodyMode, Ctx};
use plugin_api::{BODIES, SendError, SendFailure, SendLimits, SentTo, UpstreamRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::balance::ASSUMED_TOKENS;
use crate::exchange::attempts::{Attempts, Demand, ErrorAnswer};
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::deadlines::LINGER;
use crate::exchange::failure::Failure;
use crate::exchange::hash_key;
use crate::exchange::header_flags::HeaderFlags;
use crate::exchange::upstream::TimeoutOverrides;

use super::ctx::Exchange;
use super::detached;
use super::snapshot::Snapshot;
use super::timer::Timer;
use super::worker_proxy::WorkerProxy;

/// The head that a subrequest begins with; the exchange has the real one.
const PLACEHOLDER: &[u8] = b"POST / HTTP/1.1\r\nHost: placeholder\r\n\r\n";
/// It has its head from the start.
const HEAD: Duration = Duration::from_secs(10);

/// What an exchange has in the place of a client, where it carries a plugin's own request.
pub struct PluginRequest {
    /// Limits in place of the upstream's own.
    pub timeouts: TimeoutOverrides,
    report: Arc<Report>,
}

/// What the plugin learns of its request beside the response.
#[derive(Debug, Default)]
pub struct Report {
    sent: OnceLock<Box<SentTo>>,
    failure: OnceLock<Box<SendFailure>>,
    /// The plugin has all of the response.
    received: AtomicBool,
    /// The plugin wants it no more.
    abandoned: AtomicBool,
}

impl Report {
    /// Where the request went, once its response has begun.
    #[must_use]
    pub fn sent(&self) -> Option<&SentTo> {
        self.sent.get().map(|sent| &**sent)
    }

    /// How it failed, once it has.
    #[must_use]
    pub fn failure(&self) -> Option<&SendFailure> {
        self.failure.get().map(|failure| &**failure)
    }

    /// The plugin has all of the response.
    pub fn set_received(&self) {
        self.received.store(true, Ordering::Release);
    }
}

/// A request that runs, as the plugin holds it. Dropping it ends the request.
pub struct Begun {
    /// Ends with the request; while it is there, the request runs.
    pub over: oneshot::Receiver<()>,
    /// The response.
    pub response: mpsc::Receiver<HttpTask>,
    /// What else is known.
    pub report: Arc<Report>,
}

impl PluginRequest {
    /// The response has begun.
    pub fn answered(&self, ctx: &Exchange) {
        // there is one for each request
        let _ = self.report.sent.set(Box::new(sent_to(ctx, None)));
    }

    /// There is no whole response. What was told first stands.
    pub fn failed(&self, failure: Failure, answer: Option<ErrorAnswer>, ctx: &Exchange) {
        let Some(answer) = answer.or_else(|| ErrorAnswer::of(failure)) else { return };
        let ErrorAnswer { kind, status, message, retry_after } = answer;
        let sent = Box::new(sent_to(ctx, Some(failure)));
        let _ = self.report.failure.set(Box::new(SendFailure { kind, status, message, retry_after, sent }));
    }

    /// Whether the plugin wants the response no more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.report.abandoned.load(Ordering::Relaxed)
    }
}

fn sent_to(ctx: &Exchange, failure: Option<Failure>) -> SentTo {
    let record = &ctx.record;
    SentTo {
        upstream: record.upstream.clone().unwrap_or_default(),
        server: record.server.clone(),
        addresses: record.upstream_addrs.clone(),
        attempts: record.attempts,
        attempt_log: record.attempt_log.clone(),
        began: ctx.began.into_std(),
        model: record.upstream_model.clone(),
        error: failure.map(Failure::word),
    }
}

/// Carries a request to its end, or until the plugin wants it no more.
pub async fn carry(request: UpstreamRequest, begun: oneshot::Sender<Result<Begun, SendError>>, proxy: &WorkerProxy) {
    let report = Arc::new(Report::default());
    let prepared = prepare(request, report.clone(), proxy).await;
    let Prepared { ctx, subrequest, response } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // the plugin may have given it up
            let _ = begun.send(Err(error));
            return;
        }
    };
    let (mut running, over) = oneshot::channel();
    if begun.send(Ok(Begun { over, response: response.rx, report: report.clone() })).is_err() {
        return;
    }
    // held, since a subrequest takes its end for that of its client
    let _client = response.tx;
    let mut run = Box::pin(detached::carry_on(ctx, &Timer::new(HEAD, HEAD), subrequest));
    tokio::select! {
        biased;
        () = running.closed() => {
            if report.received.load(Ordering::Acquire) {
                // the server gets time to end the response, so that its connection can be used again
                let _ = timeout(LINGER, run).await;
            } else {
                report.abandoned.store(true, Ordering::Relaxed);
                drop(run);
            }
        }
        _ = &mut run => {}
    }
}

/// A request that is ready to run.
struct Prepared {
    ctx: Box<Exchange>,
    subrequest: PreparedSubrequest,
    response: pingora_core::protocols::http::subrequest::server::SubrequestHandle,
}

async fn prepare(request: UpstreamRequest, report: Arc<Report>, proxy: &WorkerProxy) -> Result<Prepared, SendError> {
    let body = request.body.clone();
    let ctx = exchange(request, report, proxy.snapshot())?;
    let invalid = |error| {
        debug!(error:%; "a plugin's request cannot be carried");
        SendError::Invalid
    };
    let mut template = ServerSession::new_http1(Box::new(Cursor::new(PLACEHOLDER.to_vec())));
    template.read_request().await.map_err(invalid)?;
    let body_mode = if body.is_empty() { BodyMode::NoBody } else { BodyMode::ExpectBody };
    let (subrequest, response) =
        proxy.spawner().create_subrequest(&template, Ctx::builder().body_mode(body_mode).build());
    if body_mode == BodyMode::ExpectBody {
        let one_byte = HttpTask::Body(Some(Bytes::from_static(b"x")), true);
        response.tx.try_send(one_byte).map_err(|_| SendError::Invalid)?;
    }
    Ok(Prepared { ctx, subrequest, response })
}

/// The exchange that carries the request.
fn exchange(
    request: UpstreamRequest,
    report: Arc<Report>,
    snapshot: Arc<Snapshot>,
) -> Result<Box<Exchange>, SendError> {
    let UpstreamRequest { upstream: name, method, target, headers, body, limits, once } = request;
    let upstream = snapshot.upstreams.iter().find(|upstream| upstream.name == name).cloned();
    let upstream = upstream.ok_or(SendError::UnknownUpstream(name))?;
    let mut charge = BODIES.charge();
    charge.grow_to(body.len()).map_err(|_| SendError::NoMemory)?;
    let uri: Uri = target.parse().map_err(|_| SendError::Invalid)?;
    let invalid = |_| SendError::Invalid;
    let mut head = RequestHeader::build(method.clone(), target.as_bytes(), Some(headers.len() + 2)).map_err(invalid)?;
    for (name, value) in &headers {
        if !plugin_api::is_of_connection(name.as_str()) {
            head.append_header(name.clone(), value.clone()).map_err(invalid)?;
        }
    }
    let timeouts = overrides(limits);
    let mut ctx = Exchange::of_plugin(snapshot, PluginRequest { timeouts, report });
    let demand = Demand {
        hash_keys: hash_key::of(&upstream, &ctx.record.context, &head.headers, Some(&body)),
        tokens: ASSUMED_TOKENS,
        idempotent: method.is_idempotent(),
        once,
    };
    ctx.flags = HeaderFlags::of(&head.headers);
    ctx.record.method = method;
    ctx.record.path = uri.path().to_owned();
    ctx.record.upstream = Some(upstream.name.clone());
    if ctx.flags.content_encoding && upstream.renames_models {
        ctx.sent_headers = Some(Box::new(head.headers.clone()));
    }
    ctx.body = Some(BufferedBody::new(charge.on(body), false));
    let now = Instant::now();
    let deadline = now + ctx.timeouts_of(&upstream).total;
    ctx.attempts = Some(Attempts::new(upstream, demand, deadline, now));
    ctx.handed_over = Some(Box::new(head));
    Ok(ctx)
}

fn overrides(limits: SendLimits) -> TimeoutOverrides {
    let SendLimits { connect, first_byte, idle, total } = limits;
    TimeoutOverrides { connect, first_byte, idle, total, upgraded: None }
}
