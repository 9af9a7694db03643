//! Sends a call where the `models` of its route say, once all plugins have seen it: under another name, or to another upstream.

use std::sync::Arc;

use pingora_proxy::Session;
use plugin_api::{Bytes, CallFacts, ModelCall, ParsedBody};

use crate::exchange::attempts::Demand;
use crate::exchange::failure::Failure;
use crate::exchange::upstream::Upstream;

use super::ctx::Exchange;
use super::interruption::{Interruption, refuse_with};
use super::request::begin_attempts;
use super::websocket::RealtimeModel;

/// Follows the rule of the route's `models` that takes the call, if one does.
///
/// # Errors
/// That it is not certain where the call goes. Then it is refused.
pub fn follow(session: &mut Session, ctx: &mut Exchange, call: &mut ModelCall) -> Result<(), Interruption> {
    let Some(route) = ctx.route.clone() else { return Ok(()) };
    let Some((own, models)) = route.upstream().and_then(|own| Some((own, own.models.as_ref()?))) else { return Ok(()) };
    let target = match models.target(&own.upstream, call) {
        Ok(target) => target,
        Err(why) => return Err(refuse_with(ctx, Failure::UnroutableModel, &why.to_string())),
    };
    call.edit(target.edits);
    if let Some(model) = &target.model {
        ctx.record.upstream_model = Some((**model).to_owned());
    }
    if let Some(asked) = &target.asked {
        ctx.plugins.restore_model(asked);
    }
    if let Some(upstream) = target.upstream {
        redirect(session, ctx, upstream);
    }
    Ok(())
}

/// The model of a call, where a plugin gave it another than the one that was asked for.
pub fn renamed(call: &ModelCall, asked: Option<&str>) -> Option<String> {
    let model = call.call().filter(|_| call.is_edited())?.model.as_deref();
    model.filter(|model| Some(*model) != asked).map(str::to_owned)
}

/// Follows the rule that takes the model of a session, which its handshake names.
///
/// # Errors
/// That it is not certain which model that is, or where the session goes. Then it is refused.
pub fn follow_session(session: &mut Session, ctx: &mut Exchange) -> Result<(), Interruption> {
    let Some(endpoint) = ctx.websocket_endpoint else { return Ok(()) };
    let Some(route) = ctx.route.clone() else { return Ok(()) };
    ctx.realtime_model = RealtimeModel::of(endpoint, ctx.uri(session.req_header()))
        .map_err(|why| refuse_with(ctx, Failure::InvalidHead, why))?;
    let Some((own, models)) = route.upstream().and_then(|own| Some((own, own.models.as_ref()?))) else { return Ok(()) };
    let Some(name) = &mut ctx.realtime_model else { return Ok(()) };
    let facts = CallFacts { model: Some(name.requested().to_owned()), ..CallFacts::default() };
    let call = ModelCall::new(endpoint, Bytes::new(), None, ParsedBody::Calls(vec![facts]));
    let target = match models.target(&own.upstream, &call) {
        Ok(target) => target,
        Err(why) => return Err(refuse_with(ctx, Failure::UnroutableModel, &why.to_string())),
    };
    if let Some(model) = &target.model {
        name.rename(model);
    }
    if let Some(upstream) = target.upstream {
        redirect(session, ctx, upstream);
    }
    Ok(())
}

/// Begins the attempts with another upstream than the route's own. None has been made yet.
fn redirect(session: &mut Session, ctx: &mut Exchange, upstream: Arc<Upstream>) {
    let Some(attempts) = &mut ctx.attempts else { return };
    let demand = Demand { idempotent: attempts.demand().idempotent, ..Demand::default() };
    begin_attempts(session, ctx, upstream, demand);
}
