//! The cache key: a hash of the tenant, the target, the headers that change an answer, and the digest of the body.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use http::header::{ACCEPT_ENCODING, ORIGIN};
use http::{HeaderMap, HeaderName};
use plugin_api::{
    AnswerModel, Endpoint, LONGEST_TEXT, ModelRule, Principal, Request, api_key, fingerprint, is_credential, shortened,
};

use crate::bypass::Bypass;
use crate::canonical::Digest;
use crate::control::Control;
use crate::settings::Scope;

/// The key of an answer: a 256-bit hash of everything that the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// A call whose head has been read, with the key so far.
pub(crate) struct CacheRequest {
    /// The client's cache directives.
    pub(crate) control: Control,
    /// The tenant, as a purge names it: the name or the header value of the scope, or the API key's hash as in the ledger.
    pub(crate) tenant: Box<str>,
    pub(crate) endpoint: Endpoint,
    /// The name of the upstream that the call goes to.
    pub(crate) upstream: Box<str>,
    /// What makes the key, part by part.
    parts: Vec<u8>,
}

/// How many bytes the parts of a key usually take.
const PARTS: usize = 512;
/// The version of the key's form. A change makes every stored answer a miss.
const CONTEXT: &str = "tollgate response_cache key 6";
/// What BLAKE3 makes of it, which every key begins with.
static CONTEXT_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CONTEXT));

impl CacheRequest {
    /// Reads the head of a call to this endpoint.
    ///
    /// # Errors
    /// Why the call bypasses the cache.
    pub(crate) fn of(
        request: &Request<'_>,
        endpoint: Endpoint,
        scope: &Scope,
        vary: &[HeaderName],
    ) -> Result<Self, Bypass> {
        let Request { context, head, .. } = request;
        let control = Control::of(head.headers);
        if control.forbidden {
            return Err(Bypass::Client);
        }
        let mut parts = Vec::with_capacity(PARTS);
        let tenant = tenant(head.headers, context.principal(), scope, &mut parts).ok_or(Bypass::NoTenant)?;
        part(&mut parts, head.host.to_ascii_lowercase().as_bytes());
        part(&mut parts, request.upstream.as_bytes());
        let target = request.uri.path_and_query().map_or("", |target| target.as_str());
        part(&mut parts, target.as_bytes());
        part(&mut parts, endpoint.as_str().as_bytes());
        encodings(head.headers, &mut parts);
        headers(head.headers, vary, &mut parts);
        Ok(Self { control, tenant, endpoint, upstream: request.upstream.into(), parts })
    }

    /// The call goes where this rule of the route's `models` says. Another rule for the same model is another key.
    pub(crate) fn follow(&mut self, rule: Option<&ModelRule>) {
        let Some(ModelRule { model, upstream, answer_model, .. }) = rule else { return };
        for name in [model, upstream] {
            part(&mut self.parts, &[u8::from(name.is_some())]);
            part(&mut self.parts, name.as_deref().unwrap_or_default().as_bytes());
        }
        part(&mut self.parts, &[u8::from(*answer_model == AnswerModel::Asked)]);
        if let Some(upstream) = upstream {
            self.upstream = (**upstream).into();
        }
    }

    /// The key of the call with this digest.
    pub(crate) fn key(&mut self, digest: Digest) -> Key {
        part(&mut self.parts, &digest);
        Key(*blake3::Hasher::new_from_context_key(&CONTEXT_KEY).update(&self.parts).finalize().as_bytes())
    }
}

impl fmt::Debug for CacheRequest {
    /// Without the parts, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheRequest")
    }
}

/// Whether the key covers this request header, so that an answer may vary by it.
pub(crate) fn tells_apart(name: &str, scope: &Scope, vary: &[HeaderName]) -> bool {
    let by_scope = match scope {
        Scope::Credential => is_credential(name),
        // one caller may have several secrets
        Scope::Tenant | Scope::Key => false,
        Scope::Header(own) => own.eq_ignore_ascii_case(name),
        Scope::Name(_) => false,
    };
    by_scope || name == ACCEPT_ENCODING.as_str() || is_of_api(name) || vary.iter().any(|own| own.as_str() == name)
}

/// Adds one part with its length before it, so that different parts never make the same bytes.
fn part(parts: &mut Vec<u8>, bytes: &[u8]) {
    count(parts, bytes.len());
    parts.extend_from_slice(bytes);
}

/// Adds a number, in one byte if it is small, since the hash takes time for each 64 bytes. No number begins as another one does.
fn count(parts: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(count) if count < u8::MAX => parts.push(count),
        _ => {
            parts.push(u8::MAX);
            parts.extend_from_slice(&(count as u64).to_le_bytes());
        }
    }
}

/// Adds the tenant to the key, and returns the name that a purge uses. `None` if the tenant is unknown.
fn tenant(headers: &HeaderMap, principal: &Principal, scope: &Scope, parts: &mut Vec<u8>) -> Option<Box<str>> {
    let mut known = |scope: &[u8], name: &str| {
        part(parts, scope);
        part(parts, name.as_bytes());
        Some(tenant_name(name).into())
    };
    match scope {
        Scope::Tenant => known(b"tenant", principal.tenant.as_deref()?),
        Scope::Key => {
            let key = known(b"key", principal.key_name.as_deref()?);
            // keys of one name may be of several lists, and of several tenants
            part(parts, &[u8::from(principal.tenant.is_some())]);
            part(parts, principal.tenant.as_deref().unwrap_or_default().as_bytes());
            key
        }
        Scope::Name(name) => known(b"name", name),
        Scope::Credential => {
            part(parts, b"credential");
            let named = named(headers, is_credential);
            // an empty value does not identify a caller
            let given = named.iter().map(|(_, value)| *value).find(|value| !value.trim_ascii().is_empty())?;
            all(&named, parts);
            Some(fingerprint(api_key(headers).unwrap_or(given)).into())
        }
        Scope::Header(name) => {
            let mut values = headers.get_all(name.as_str()).iter();
            let value = values.next().filter(|value| !value.is_empty())?;
            if values.next().is_some() {
                return None;
            }
            part(parts, b"header");
            part(parts, value.as_bytes());
            Some(tenant_name(&String::from_utf8_lossy(value.as_bytes())).into())
        }
    }
}

/// A tenant's name as it is stored and as purges name it.
pub(crate) fn tenant_name(name: &str) -> Cow<'_, str> {
    shortened(name, LONGEST_TEXT)
}

/// Headers and their values, sorted by name.
type Named<'a> = Vec<(&'a str, &'a [u8])>;

fn named(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Named<'_> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut named: Named<'_> = all.filter(|(name, _)| wanted(name)).collect();
    // the sort is stable, so the values of one name keep their order
    named.sort_by_key(|(name, _)| *name);
    named
}

fn all(named: &Named<'_>, parts: &mut Vec<u8>) {
    count(parts, named.len());
    for (name, value) in named {
        part(parts, name.as_bytes());
        part(parts, value);
    }
}

fn is_of_api(name: &str) -> bool {
    name.starts_with("anthropic-") || name.starts_with("openai-") || name == ORIGIN.as_str()
}

/// Adds the headers that change the answer. The values of `anthropic-beta` are a set: their order does not count.
fn headers(headers: &HeaderMap, vary: &[HeaderName], parts: &mut Vec<u8>) {
    const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
    let wanted = |name: &str| is_of_api(name) && name != BETA.as_str() || vary.iter().any(|own| own.as_str() == name);
    all(&named(headers, wanted), parts);
    let lines = headers.get_all(BETA).iter();
    let betas = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut betas: Vec<&[u8]> = betas.filter(|beta| !beta.is_empty()).collect();
    betas.sort_unstable();
    betas.dedup();
    count(parts, betas.len());
    for beta in betas {
        part(parts, beta);
    }
}

/// Adds the encodings that a client accepts or refuses, as a set. Only clients with the same set share answers, so a client never
/// gets an encoding that it cannot read.
fn encodings(headers: &HeaderMap, parts: &mut Vec<u8>) {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut set: Vec<(String, bool)> = items
        .filter_map(|item| {
            let item = String::from_utf8_lossy(item).to_ascii_lowercase();
            let (name, weight) = item.split_once(';').unwrap_or((&item, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), weight == Some(0.0)))
        })
        .collect();
    // `identity` is accepted by default, every other encoding is not
    let takes_others = set.iter().any(|(name, refused)| name == "*" && !refused);
    set.retain(|(name, refused)| match name.as_str() {
        "identity" => *refused,
        "*" => true,
        _ => !refused || takes_others,
    });
    set.sort_unstable();
    set.dedup();
    count(parts, set.len());
    for (name, refused) in set {
        part(parts, name.as_bytes());
        part(parts, &[u8::from(refused)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_begins_with_its_context() {
        let key = blake3::Hasher::new_from_context_key(&CONTEXT_KEY).update(b"parts").finalize();
        assert_eq!(*key.as_bytes(), blake3::derive_key(CONTEXT, b"parts"));
    }
}
