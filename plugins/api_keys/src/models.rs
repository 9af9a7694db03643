//! Whether a key may ask for the models of a request. A key with `models` may send only what tells them beforehand.

use plugin_api::http::header::UPGRADE;
use plugin_api::http::{Method, Uri};
use plugin_api::{CallFacts, Grants, ModelCall, ParsedBody, Request};

use crate::denial::ModelFault;

/// Checks a request by its head.
///
/// Its body is checked by [`check_call`] where it is read. Without a body no model runs, so that lists, files and the state of
/// jobs may be read and deleted, and jobs may be cancelled. A WebSocket says its model in the address, where it is for one model
/// alone, and otherwise in messages, which are checked like bodies where they are read.
pub(crate) fn check_head(grants: &Grants, request: &Request<'_>) -> Result<(), ModelFault> {
    if grants.models.is_none() {
        return Ok(());
    }
    if request.method == Method::CONNECT || request.headers.contains_key(UPGRADE) {
        return match realtime_model(request.uri) {
            Some(model) if grants.allow_model(model) => Ok(()),
            Some(model) => Err(ModelFault::Forbidden(model.to_owned())),
            // each call on it is checked by its own
            None if request.reads_messages => Ok(()),
            None => Err(ModelFault::Hidden),
        };
    }
    let is_read = request.endpoint.is_some_and(|endpoint| endpoint.takes_json);
    let runs_nothing = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE].contains(request.method);
    let cancels = *request.method == Method::POST && request.uri.path().ends_with("/cancel");
    if is_read || runs_nothing || cancels { Ok(()) } else { Err(ModelFault::Hidden) }
}

/// Checks every model that a server might read in the body of a call, or in those of a batch.
pub(crate) fn check_call(grants: &Grants, body: &ModelCall) -> Result<(), ModelFault> {
    if grants.models.is_none() {
        return Ok(());
    }
    match body.parsed() {
        ParsedBody::Calls(calls) if calls.is_empty() => Err(ModelFault::Unnamed),
        ParsedBody::Calls(calls) => calls.iter().try_for_each(|call| check_facts(grants, call)),
        ParsedBody::NotACall | ParsedBody::Unreadable(_) => Err(ModelFault::Unreadable),
    }
}

fn check_facts(grants: &Grants, call: &CallFacts) -> Result<(), ModelFault> {
    let mut named = std::iter::once(&call.model).chain(&call.other_models);
    named.try_for_each(|model| match model {
        Some(model) if grants.allow_model(model) => Ok(()),
        Some(model) => Err(ModelFault::Forbidden(model.clone())),
        None => Err(ModelFault::Unnamed),
    })
}

/// The model in the address of a realtime session, where it is for certain that one.
fn realtime_model(uri: &Uri) -> Option<&str> {
    if !uri.path().ends_with("/realtime") {
        return None;
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    let query = uri.query()?;
    // a server may take a key in another spelling for the same
    let mut named = query.split(['&', ';']).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (mut model, mut is_certain) = (None, true);
    for (key, value) in &mut named {
        if key == "model" && model.is_none() && value.chars().all(is_plain) {
            model = Some(value);
        } else if key.contains('%') || key.eq_ignore_ascii_case("model") || key.starts_with("model[") {
            is_certain = false;
        }
    }
    model.filter(|_| is_certain)
}
