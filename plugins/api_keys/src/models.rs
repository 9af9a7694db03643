//! Whether a key may ask for the models of a request. A key with `models` may send only what tells them beforehand.

use plugin_api::http::Method;
use plugin_api::http::header::UPGRADE;
use plugin_api::{CallFacts, Endpoint, Grants, ModelCall, ParsedBody, Request, SessionModel};

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
    if request.head.method == Method::CONNECT || request.head.headers.contains_key(UPGRADE) {
        return check_handshake(grants, request);
    }
    let is_read = request.endpoint.is_some_and(|endpoint| endpoint.takes_json);
    let runs_nothing = [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE].contains(request.head.method);
    let cancels = *request.head.method == Method::POST && request.uri.path().ends_with("/cancel");
    if is_read || runs_nothing || cancels { Ok(()) } else { Err(ModelFault::Hidden) }
}

/// Checks a handshake: by the model in its address, where the connection is for one, which must be certain; otherwise its messages
/// must be read.
fn check_handshake(grants: &Grants, request: &Request<'_>) -> Result<(), ModelFault> {
    let schema = Endpoint::of_websocket(request.uri.path()).and_then(|endpoint| endpoint.websocket);
    match schema {
        Some(schema) if schema.model_in_query => match SessionModel::of(request.uri.query()).name() {
            Some(model) if grants.allow_model(&model) => Ok(()),
            Some(model) => Err(ModelFault::Forbidden(model.into_owned())),
            None => Err(ModelFault::Hidden),
        },
        // each call on it is checked by its own
        Some(_) if request.reads_messages => Ok(()),
        Some(_) | None => Err(ModelFault::Hidden),
    }
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
