//! The models of a call on a WebSocket: renamed as the route's `models` and the fallbacks say. The upstream is the connection's, since
//! its handshake names no model.

use plugin_api::{Edit, ModelCall};

use super::handshake::Handshake;

/// Gives a call the name that its upstream knows; that name, where it is another than the client's.
///
/// # Errors
/// That the call is for another upstream, or that this is not certain; why, for the caller.
pub fn rename(handshake: &Handshake, call: &mut ModelCall) -> Result<Option<String>, String> {
    let mut renamed = None;
    if let Some(models) = &handshake.route.models {
        let target = models.target(&handshake.route.upstream, call).map_err(|why| why.to_string())?;
        if target.upstream.is_some() {
            return Err("This model is served by another upstream than this connection's; send the call as a request"
                .to_owned());
        }
        call.edit(target.edits);
        renamed = target.model.as_deref().map(str::to_owned);
    }
    let mut upstream = &handshake.route.upstream;
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
