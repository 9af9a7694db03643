//! Makes a request one for the fallback of an exhausted upstream, with the model that the YAML names for it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use log::warn;
use pingora_error::{Error, ErrorType, Result};
use plugin_api::{BODIES, Edit, Endpoint, Hashing, LogLimit, run_blocking};

use crate::balance::Fallback;
use crate::dialect;
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::upstream::Upstream;

use super::call_body::most_in_line;
use super::ctx::Exchange;

/// Makes the request one for the fallback of this upstream.
///
/// # Errors
/// That the call could not be read, which would be a fault of the gateway.
pub async fn apply(ctx: &mut Exchange, exhausted: &Upstream) -> Result<()> {
    static FAILOVERS: LogLimit<Arc<str>> = LogLimit::new();
    let Some((fallback, settings)) = &exhausted.fallback else { return Ok(()) };
    let (from, to) = (&*exhausted.name, &*fallback.name);
    if let Some(suppressed) = FAILOVERS.pass(exhausted.name.clone()) {
        warn!(id:% = ctx.record.context.id, upstream = from, fallback = to, suppressed; "upstream exhausted; its fallback takes over");
    }
    ctx.record.upstream = Some(fallback.name.clone());
    rename_model(ctx, settings).await
}

/// Puts the fallback's model in the place of the call's own, and changes no other byte of its text.
async fn rename_model(ctx: &mut Exchange, settings: &Fallback) -> Result<()> {
    if !settings.changes_models() {
        return Ok(());
    }
    if let Some(name) = &mut ctx.realtime_model {
        if let Some(model) = settings.model_for(name.upstream()) {
            name.rename(model);
        }
        return Ok(());
    }
    let (Some(endpoint), Some(body)) = (Endpoint::of(ctx.path()), &ctx.body) else { return Ok(()) };
    let headers = ctx.sent_headers.as_deref().filter(|_| !body.edited).cloned().unwrap_or_default();
    let (bytes, max) = (body.bytes.clone(), ctx.snapshot.limits.max_body);
    let renamed = if bytes.len() > most_in_line(endpoint, Hashing::Nothing) || !headers.is_empty() {
        // on a blocking thread, so that other requests of this worker go on
        let settings = settings.clone();
        let renamed = run_blocking(move || renamed(endpoint, &headers, bytes, &settings, max)).await;
        renamed.ok_or_else(|| Error::explain(ErrorType::InternalError, "renaming the model of a call panicked"))?
    } else {
        renamed(endpoint, &headers, bytes, settings, max)
    };
    if let Some((bytes, model)) = renamed {
        ctx.record.upstream_model = model;
        // replaces the charge of the body before
        let mut charge = BODIES.charge();
        charge.settle(bytes.len());
        ctx.body = Some(BufferedBody::new(charge.on(bytes), true));
    }
    Ok(())
}

/// The call with its new name, and that name; `None` where it keeps its own.
fn renamed(
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: Bytes,
    settings: &Fallback,
    max: usize,
) -> Option<(Bytes, Option<String>)> {
    let mut call = dialect::read(endpoint, headers, body, max, Hashing::Nothing);
    let edits: Vec<Edit> = call
        .calls()
        .iter()
        .filter_map(|call| Some((call, settings.model_for(call.model.as_deref()?)?)))
        .flat_map(|(call, model)| Edit::rename_model(call, model))
        .collect();
    call.edit(edits);
    let model = call.call().and_then(|call| call.model.clone());
    call.is_edited().then(|| (call.into_body(), model))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(settings: &str, body: &'static str) -> Option<Bytes> {
        let settings: Fallback = serde_json::from_str(settings).unwrap();
        let body = Bytes::from_static(body.as_bytes());
        renamed(Endpoint::MESSAGES, &HeaderMap::new(), body, &settings, 1000).map(|(body, _)| body)
    }

    #[test]
    fn the_model_is_changed_and_no_other_byte() {
        let all = r#"{ "upstream": "b", "model": "x\"y" }"#;
        assert_eq!(
            sent(all, r#"{ "a":1e400, "model" : "claude", "b":[] }"#).unwrap(),
            r#"{ "a":1e400, "model" : "x\"y", "b":[] }"#
        );
        assert_eq!(
            sent(all, r#"{"model":"a","model":"b","MODEL":"c"}"#).unwrap(),
            r#"{"model":"x\"y","model":"x\"y","MODEL":"x\"y"}"#
        );
        for body in [r#"{"messages":[]}"#, r#"{"model":"x\"y"}"#, r#"{"model":7}"#, "not JSON"] {
            assert_eq!(sent(all, body), None, "{body}");
        }
    }

    #[test]
    fn a_model_of_its_own_goes_before_the_one_for_all() {
        let some = r#"{ "upstream": "b", "models": { "claude": "x" } }"#;
        assert_eq!(sent(some, r#"{"model":"claude"}"#).unwrap(), r#"{"model":"x"}"#);
        assert_eq!(sent(some, r#"{"model":"other"}"#), None);
        let both = r#"{ "upstream": "b", "model": "z", "models": { "claude": "x" } }"#;
        assert_eq!(sent(both, r#"{"model":"claude"}"#).unwrap(), r#"{"model":"x"}"#);
        assert_eq!(sent(both, r#"{"model":"other"}"#).unwrap(), r#"{"model":"z"}"#);
    }
}
