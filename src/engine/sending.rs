//! Offers a call to the plugins that may send it themselves, before it goes upstream.

use std::sync::Arc;

use pingora_proxy::Session;
use plugin_api::{Charge, ModelCall, OutgoingCall, SendLimits, SentTo};

use crate::exchange::failure::Failure;
use crate::exchange::upstream::TimeoutOverrides;

use super::ctx::Exchange;
use super::forward;
use super::interruption::{Interruption, client_left, ended_by_plugin};

/// A call that is ready to be sent.
pub struct Outgoing {
    call: ModelCall,
    /// For the memory that reading it took.
    _charge: Charge,
}

impl Outgoing {
    /// This call.
    #[must_use]
    pub fn new(call: ModelCall, charge: Charge) -> Self {
        Self { call, _charge: charge }
    }
}

/// Offers the call to the plugins.
///
/// # Errors
/// That a plugin has answered or refused it, or that its client left.
pub async fn offer(session: &mut Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let Some(outgoing) = ctx.outgoing.take() else { return Ok(()) };
    let Some(upstream) = ctx.attempts.as_ref().map(|attempts| attempts.upstream()) else { return Ok(()) };
    let (upstream, upstream_has_credential) = (upstream.name.clone(), upstream.has_credential);
    let head = session.req_header();
    let headers = forward::headers(head, ctx).map_err(|error| Interruption::Fail(Failure::Internal, error))?;
    let uri = ctx.uri(head);
    let target = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
    let method = head.method.clone();
    let limits = ctx.route.as_ref().and_then(|route| route.upstream()).map(|target| limits(&target.timeouts));
    // a detached call has no client of its own to watch
    let has_client = ctx.delivery.is_none();
    let mut call = OutgoingCall {
        context: &mut ctx.record.context,
        call: &outgoing.call,
        upstream: &upstream,
        upstream_has_credential,
        method: &method,
        target: &target,
        headers,
        limits: limits.unwrap_or_default(),
    };
    let ran = tokio::select! {
        biased;
        ran = ctx.plugins.on_send(&mut call) => ran,
        // a plugin may take long, but does not go on for a client that has left
        gone = session.downstream_session.read_body_or_idle(true), if has_client => {
            return Err(client_left(ctx, gone.err()));
        }
    };
    ran.map_err(|exit| ended_by_plugin(ctx, exit))
}

fn limits(overrides: &TimeoutOverrides) -> SendLimits {
    let TimeoutOverrides { connect, first_byte, idle, total, .. } = *overrides;
    SendLimits { connect, first_byte, idle, total }
}

/// Records where a plugin's request went whose answer is the call's.
pub fn record(sent: &SentTo, ctx: &mut Exchange) {
    let record = &mut ctx.record;
    record.upstream = Some(Arc::clone(&sent.upstream));
    record.server.clone_from(&sent.server);
    record.upstream_addrs.clone_from(&sent.addresses);
    record.attempts = sent.attempts;
    let has_spans = record.context.trace.as_ref().is_some_and(|trace| trace.span.is_some());
    if has_spans || sent.attempt_log.as_slice().len() > 1 {
        let later = sent.began.saturating_duration_since(ctx.began.into_std());
        record.attempt_log = sent.attempt_log.clone().later_by(later);
    }
    if sent.model.is_some() {
        record.upstream_model.clone_from(&sent.model);
    }
    record.error = sent.error;
    record.first_byte = sent.error.is_none().then(|| ctx.began.elapsed());
}
