//! The models of calls on a WebSocket: renamed as the route's `models` and the fallbacks say. The upstream is the connection's. A
//! session has the name that its handshake went upstream with.

use plugin_api::{Edit, ModelCall};

use crate::engine::route::Route;
use crate::exchange::upstream::Upstream;

use super::handshake::Handshake;

/// Gives a call the name that its upstream knows; that name, where it is another than the client's.
///
/// # Errors
/// That the call is for another upstream, or that this is not certain; why, for the caller.
pub fn rename(handshake: &Handshake, route: &Route, call: &mut ModelCall) -> Result<Option<String>, String> {
    if call.calls().iter().all(|call| call.models_at.is_empty()) {
        return Ok(handshake.upstream_model.clone());
    }
    let Some(own) = route.upstream() else {
        return Err("This path leads to no upstream any more; open another connection".to_owned());
    };
    let (mut upstream, mut renamed) = (own.upstream.clone(), None);
    if let Some(models) = &own.models {
        let target = models.target(&own.upstream, call).map_err(|why| why.to_string())?;
        let is_ruled = call.calls().iter().any(|call| matches!(models.models().rule_of(call), Ok(Some(_))));
        upstream = target.upstream.unwrap_or(upstream);
        // be it that the rule names another, or that a reload has given the route another
        if is_ruled && !leads_to(&upstream, handshake) {
            return Err("This model is served by another upstream than this connection's; send the call as a request"
                .to_owned());
        }
        call.edit(target.edits);
        renamed = target.model.as_deref().map(str::to_owned);
    }
    if !leads_to(&upstream, handshake) {
        // a reload has given the route another upstream; the connection keeps its own, and the call its name
        return Ok(None);
    }
    let mut upstream = &*upstream;
    while handshake.upstream.as_ref() != Some(&upstream.name)
        && let Some((fallback, settings)) = &upstream.fallback
    {
        let edits: Vec<Edit> = call
            .calls()
            .iter()
            .filter_map(|call| Some((call, settings.model_for(call.model.as_deref()?)?)))
            .flat_map(|(call, model)| Edit::rename_model(call, model))
            .collect();
        if !edits.is_empty() {
            call.edit(edits);
            renamed = call.call().and_then(|call| call.model.clone());
        }
        upstream = fallback;
    }
    Ok(renamed)
}

/// Whether an upstream is that of the connection, or leads to it by its fallbacks.
fn leads_to(upstream: &Upstream, handshake: &Handshake) -> bool {
    let mut next = Some(upstream);
    while let Some(upstream) = next {
        if handshake.upstream.as_ref() == Some(&upstream.name) {
            return true;
        }
        next = upstream.fallback.as_ref().map(|(fallback, _)| &**fallback);
    }
    false
}
