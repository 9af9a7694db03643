//! What the rules of an upstream and of its fallbacks want to know of a request: what is hashed, and the tokens it asks
//! for.

use std::net::IpAddr;

use http::HeaderMap;
use plugin_api::{CallFacts, ModelCall, TokenLimitValue};

use crate::balance::{ASSUMED_TOKENS, Algorithm, HashKey, hash_of};
use crate::exchange::upstream::Upstream;

/// What each upstream of a chain of fallbacks hashes of a request. Empty where none does.
pub type Keys = Vec<Option<u64>>;

/// The keys that the head of the request holds.
#[must_use]
pub fn of_head(upstream: &Upstream, client: Option<IpAddr>, headers: &HeaderMap) -> Keys {
    if !upstream.chain().any(|upstream| hash_key(upstream).is_some()) {
        return Keys::new();
    }
    let key = |upstream: &Upstream| match hash_key(upstream)? {
        HashKey::ClientIp => Some(match client?.to_canonical() {
            IpAddr::V4(address) => hash_of(&address.octets()),
            IpAddr::V6(address) => hash_of(&address.octets()),
        }),
        HashKey::Header(name) => Some(hash_of(headers.get(name)?.as_bytes())),
        HashKey::Body(_) => None,
    };
    upstream.chain().map(key).collect()
}

/// The keys that its body holds, by their place in the chain.
#[must_use]
pub fn of_body(upstream: &Upstream, call: &ModelCall) -> Vec<(usize, u64)> {
    let key = |(place, upstream): (usize, &Upstream)| match hash_key(upstream)? {
        HashKey::Body(path) => Some((place, hash_of(json_extract::at_path(call.text(), path)?.as_bytes()))),
        _ => None,
    };
    upstream.chain().enumerate().filter_map(key).collect()
}

/// The tokens that a call may generate, all calls of a batch together.
#[must_use]
pub fn tokens(call: &ModelCall) -> u64 {
    let asked = |call: &CallFacts| {
        let limits = call.token_limits.iter().filter_map(|limit| match limit.asked {
            TokenLimitValue::Tokens(tokens) => Some(tokens),
            TokenLimitValue::Null | TokenLimitValue::NotANumber => None,
        });
        // what nobody can generate would count for everybody
        limits.max().unwrap_or(ASSUMED_TOKENS).min(MOST_TOKENS)
    };
    if call.calls().is_empty() { ASSUMED_TOKENS } else { call.calls().iter().map(asked).sum() }
}

/// More than any model generates at once.
const MOST_TOKENS: u64 = 1_000_000;

fn hash_key(upstream: &Upstream) -> Option<&HashKey> {
    match upstream.pool.rule() {
        Algorithm::Hash(settings) => Some(&settings.key),
        _ => None,
    }
}
