//! What calls have in common that may go together: whose they are, where they go, and all that they say but their inputs.

use plugin_api::http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, USER_AGENT};
use plugin_api::http::{HeaderMap, HeaderName};
use plugin_api::{OutgoingCall, SendLimits, secrets};

use crate::inputs::{Inputs, Kind};

/// The digest of what calls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// The digest of the credentials with which a caller came.
pub(crate) type Caller = [u8; 32];

/// Headers that name one call among others: a merged one has none of them.
const OF_ONE_CALL: [HeaderName; 7] = [
    HeaderName::from_static("baggage"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-client-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-stainless-retry-count"),
];

/// With it a call asks to be answered once however often it is sent.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The caller that sends these headers, by its credentials.
pub(crate) fn caller(headers: &HeaderMap) -> Caller {
    let mut digest = blake3::Hasher::new();
    for secret in secrets(headers) {
        add(&mut digest, secret);
    }
    digest.finalize().into()
}

impl Key {
    /// The key of a call with these inputs, whose caller is known by its credentials where no plugin knows its tenant. None for a call
    /// that asks to be told apart from others.
    pub fn of(call: &OutgoingCall<'_>, inputs: &Inputs, caller: &Caller) -> Option<Self> {
        if call.headers.contains_key(IDEMPOTENCY_KEY) {
            return None;
        }
        let mut digest = blake3::Hasher::new();
        match call.context.principal().tenant.as_deref() {
            Some(tenant) => add(&mut digest, tenant.as_bytes()),
            None => add(&mut digest, caller),
        }
        let SendLimits { connect, first_byte, idle, total } = call.limits;
        for limit in [connect, first_byte, idle, total] {
            digest.update(&limit.map_or(u128::MAX, |limit| limit.as_nanos()).to_le_bytes());
        }
        let (before, after) = inputs.around();
        let kind: &[u8] = match inputs.kind {
            Kind::Texts => b"texts",
            Kind::Tokens => b"tokens",
        };
        let method = call.method.as_str().as_bytes();
        for part in [call.upstream.as_bytes(), method, call.target.as_bytes(), kind, before, after] {
            add(&mut digest, part);
        }
        let mut headers: Vec<(&str, &[u8])> = call
            .headers
            .iter()
            .filter(|(name, _)| tells_apart(name))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        headers.sort_unstable();
        for (name, value) in headers {
            add(&mut digest, name.as_bytes());
            add(&mut digest, value);
        }
        Some(Self(digest.finalize().into()))
    }
}

/// Removes what names the one call that a merged one was made of.
pub(crate) fn make_common(headers: &mut HeaderMap) {
    for name in &OF_ONE_CALL {
        headers.remove(name);
    }
}

/// Whether a header may make a difference to the answer.
fn tells_apart(name: &HeaderName) -> bool {
    // how an answer is packed is asked anew for a merged call
    let is_of_client = [USER_AGENT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING].contains(name);
    !is_of_client && !OF_ONE_CALL.contains(name) && !name.as_str().starts_with("x-stainless-")
}

fn add(digest: &mut blake3::Hasher, part: &[u8]) {
    digest.update(&(part.len() as u64).to_le_bytes());
    digest.update(part);
}
