//! The inputs of the balancing rules of an upstream and its fallbacks: the hashes of the request's keys, and the tokens that it asks for.

use std::net::IpAddr;

use http::HeaderMap;
use plugin_api::{CallFacts, Context, ModelCall, TokenLimitValue};

use crate::balance::{ASSUMED_TOKENS, Algorithm, HashKey, hash_of};

use super::upstream::Upstream;

/// The hash of the request's key for each upstream of a chain of fallbacks. Empty if no upstream of the chain hashes.
pub type Keys = Vec<Option<u64>>;

/// The hashes of the keys of a request. `text` is the body of a call, where it was read.
#[must_use]
pub fn of(upstream: &Upstream, context: &Context, headers: &HeaderMap, text: Option<&[u8]>) -> Keys {
    if !upstream.chain().any(|upstream| hash_key(upstream).is_some()) {
        return Keys::new();
    }
    let key = |upstream: &Upstream| match hash_key(upstream)? {
        HashKey::Session => {
            let principal = context.principal();
            Some(hash_of(principal.session.as_ref().or(principal.user.as_ref())?.as_bytes()))
        }
        HashKey::ClientIp => Some(match context.client?.to_canonical() {
            IpAddr::V4(address) => hash_of(&address.octets()),
            IpAddr::V6(address) => hash_of(&address.octets()),
        }),
        HashKey::Header(name) => Some(hash_of(headers.get(name)?.as_bytes())),
        HashKey::Body(path) => Some(hash_of(json_extract::at_path(text?, path)?.as_bytes())),
    };
    upstream.chain().map(key).collect()
}

/// Whether a key of the chain stands in the body.
#[must_use]
pub fn reads_text(upstream: &Upstream) -> bool {
    upstream.chain().any(|upstream| matches!(hash_key(upstream), Some(HashKey::Body(_))))
}

/// The tokens that a call may generate; for a batch, the sum of its calls.
#[must_use]
pub fn tokens(call: &ModelCall) -> u64 {
    let asked = |call: &CallFacts| {
        let limits = call.token_limits.iter().filter_map(|limit| match limit.asked {
            TokenLimitValue::Tokens(tokens) => Some(tokens),
            TokenLimitValue::Null | TokenLimitValue::NotANumber => None,
        });
        // a limit that no model can reach would distort the balance
        limits.max().unwrap_or(ASSUMED_TOKENS).min(MOST_TOKENS)
    };
    if call.calls().is_empty() { ASSUMED_TOKENS } else { call.calls().iter().map(asked).sum() }
}

/// More tokens than any model generates in one answer.
const MOST_TOKENS: u64 = 1_000_000;

fn hash_key(upstream: &Upstream) -> Option<&HashKey> {
    match upstream.pool.rule() {
        Algorithm::Hash(settings) => Some(&settings.key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::context;
    use plugin_api::{Endpoint, Hashing};
    use serde_json::{Value, json};

    use super::*;
    use crate::balance::UpstreamRegistry;
    use crate::dialect;
    use crate::dns::Resolver;

    /// A chain of upstreams with these algorithms, each the fallback of the one before.
    fn chain(algorithms: &[Value]) -> Upstream {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let mut chain: Option<Upstream> = None;
        for (index, balance) in algorithms.iter().enumerate().rev() {
            let mut settings = json!({ "servers": [{ "address": "127.0.0.1:1" }], "balance": balance });
            if chain.is_some() {
                settings["fallback"] = format!("up{}", index + 1).into();
            }
            let settings = serde_json::from_value(settings).unwrap();
            let fallback = chain.take().map(Into::into);
            chain = Some(Upstream::new(&format!("up{index}"), index, &settings, &registry, &resolver, fallback));
        }
        chain.unwrap()
    }

    fn call(body: &str) -> ModelCall {
        dialect::read(Endpoint::MESSAGES, &HeaderMap::new(), body.to_owned().into(), 1000, Hashing::Nothing)
    }

    #[test]
    fn each_upstream_of_a_chain_has_the_key_that_it_hashes() {
        let chain = chain(&[
            json!("least_conn"),
            json!({ "hash": { "key": "client_ip" } }),
            json!({ "hash": { "key": "header:x-user" } }),
            json!({ "hash": { "key": "body:metadata.user_id" } }),
            json!({ "hash": {} }),
        ]);
        let mut context = context();
        let body = r#"{"model":"m","metadata":{"user_id":"bob"},"messages":[]}"#.as_bytes();
        assert_eq!(of(&chain, &context, &HeaderMap::new(), None), [None; 5]);
        context.client = Some("::ffff:10.0.0.1".parse().unwrap());
        context.principal_mut().user = Some("alice".into());
        let mut headers = HeaderMap::new();
        headers.insert("x-user", http::HeaderValue::from_static("alice"));
        let (ip, alice) = (Some(hash_of(&[10, 0, 0, 1])), Some(hash_of(b"alice")));
        assert_eq!(of(&chain, &context, &headers, None), [None, ip, alice, None, alice]);
        // the JSON text of the body's field is hashed, and a session goes before its user
        context.principal_mut().session = Some("s1".into());
        let (bob, session) = (Some(hash_of(b"\"bob\"")), Some(hash_of(b"s1")));
        assert_eq!(of(&chain, &context, &HeaderMap::new(), Some(body)), [None, ip, None, bob, session]);
        assert_eq!(of(&chain, &context, &HeaderMap::new(), Some(b"{}"))[3], None);
    }

    #[test]
    fn a_chain_that_hashes_nothing_has_no_keys() {
        let chain = chain(&[json!("least_conn"), json!("round_robin")]);
        assert!(of(&chain, &context(), &HeaderMap::new(), None).is_empty());
    }

    #[test]
    fn the_tokens_of_a_call_are_its_limit_within_reason() {
        for (body, wanted) in [
            (r#"{"model":"m","max_tokens":7,"messages":[]}"#, 7),
            (r#"{"model":"m","max_tokens":9000000000,"messages":[]}"#, MOST_TOKENS),
            (r#"{"model":"m","max_tokens":null,"messages":[]}"#, ASSUMED_TOKENS),
            (r#"{"model":"m","messages":[]}"#, ASSUMED_TOKENS),
            ("not JSON", ASSUMED_TOKENS),
        ] {
            assert_eq!(tokens(&call(body)), wanted, "{body}");
        }
    }
}
