//! The cache key: a hash of the tenant, the target, the headers that change an answer, and the digest of the body.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use http::header::{ACCEPT_ENCODING, ORIGIN};
use http::{HeaderMap, HeaderName};
use plugin_api::{
    AnswerModel, Endpoint, LONGEST_TEXT, ModelRule, Principal, Request, api_key, fingerprint, is_credential, shortened,
};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::bypass::Bypass;
use crate::canonical::Digest;
use crate::control::Control;
use crate::settings::Scope;

/// The key of an answer: a 256-bit hash of everything that the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl Hash for Key {
    /// By half of it, which is as random as the whole.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (words, _) = self.0.as_chunks();
        words.iter().take(2).for_each(|word| state.write_u64(u64::from_le_bytes(*word)));
    }
}

/// A call whose head has been read, with the key so far.
pub(crate) struct CacheRequest {
    /// The client's cache directives.
    pub(crate) control: Control,
    /// The tenant, as a purge names it: the name or the header value of the scope, or the API key's hash as in the ledger.
    pub(crate) tenant: Arc<str>,
    pub(crate) endpoint: Endpoint,
    /// The name of the upstream that the call goes to.
    pub(crate) upstream: SmolStr,
    /// What makes the key, part by part.
    parts: Parts,
    /// The key, once the body has been read.
    pub(crate) key: Option<Key>,
}

/// The parts of a key, with room for what they usually take.
type Parts = SmallVec<[u8; 256]>;
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
        let mut parts = Parts::new();
        let tenant = tenant(head.headers, context.principal(), scope, &mut parts).ok_or(Bypass::NoTenant)?;
        count(&mut parts, head.host.len());
        parts.extend(head.host.bytes().map(|byte| byte.to_ascii_lowercase()));
        part(&mut parts, request.upstream.as_bytes());
        let target = request.uri.path_and_query().map_or("", |target| target.as_str());
        part(&mut parts, target.as_bytes());
        part(&mut parts, endpoint.as_str().as_bytes());
        encodings(head.headers, &mut parts);
        headers(head.headers, vary, &mut parts);
        Ok(Self { control, tenant, endpoint, upstream: request.upstream.into(), parts, key: None })
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
            self.upstream = SmolStr::new(upstream);
        }
    }

    /// The key of the call with this digest.
    pub(crate) fn key(&mut self, digest: Digest) -> Key {
        part(&mut self.parts, &digest);
        let hash = blake3::Hasher::new_from_context_key(&CONTEXT_KEY).update(&self.parts).finalize();
        *self.key.insert(Key(*hash.as_bytes()))
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
fn part(parts: &mut Parts, bytes: &[u8]) {
    count(parts, bytes.len());
    parts.extend_from_slice(bytes);
}

/// Adds a number, in one byte if it is small, since the hash takes time for each 64 bytes. No number begins as another one does.
fn count(parts: &mut Parts, count: usize) {
    match u8::try_from(count) {
        Ok(count) if count < u8::MAX => parts.push(count),
        _ => {
            parts.push(u8::MAX);
            parts.extend_from_slice(&(count as u64).to_le_bytes());
        }
    }
}

/// Adds the tenant to the key, and returns the name that a purge uses. `None` if the tenant is unknown.
fn tenant(headers: &HeaderMap, principal: &Principal, scope: &Scope, parts: &mut Parts) -> Option<Arc<str>> {
    let mut known = |scope: &[u8], name: &Arc<str>| {
        part(parts, scope);
        part(parts, name.as_bytes());
        Some(match tenant_name(name) {
            Cow::Borrowed(_) => name.clone(),
            Cow::Owned(short) => short.into(),
        })
    };
    match scope {
        Scope::Tenant => known(b"tenant", principal.tenant.as_ref()?),
        Scope::Key => {
            let key = known(b"key", principal.key_name.as_ref()?);
            // keys of one name may be of several lists, and of several tenants
            part(parts, &[u8::from(principal.tenant.is_some())]);
            part(parts, principal.tenant.as_deref().unwrap_or_default().as_bytes());
            key
        }
        Scope::Name(name) => known(b"name", &name.as_str().into()),
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
type Named<'a> = SmallVec<[(&'a str, &'a [u8]); 8]>;

fn named(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Named<'_> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut named: Named<'_> = all.filter(|(name, _)| wanted(name)).collect();
    // the sort is stable, so the values of one name keep their order
    named.sort_by_key(|(name, _)| *name);
    named
}

fn all(named: &Named<'_>, parts: &mut Parts) {
    count(parts, named.len());
    for (name, value) in named {
        part(parts, name.as_bytes());
        part(parts, value);
    }
}

fn is_of_api(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'a') => name.starts_with("anthropic-"),
        Some(b'o') => name.starts_with("openai-") || name == ORIGIN.as_str(),
        _ => false,
    }
}

/// Adds the headers that change the answer. The values of `anthropic-beta` are a set: their order does not count.
fn headers(headers: &HeaderMap, vary: &[HeaderName], parts: &mut Parts) {
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
fn encodings(headers: &HeaderMap, parts: &mut Parts) {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut set: Vec<(Cow<'_, str>, bool)> = items
        .filter_map(|item| match std::str::from_utf8(item) {
            Ok(item) => encoding(item),
            Err(_) => {
                encoding(&String::from_utf8_lossy(item)).map(|(name, refused)| (name.into_owned().into(), refused))
            }
        })
        .collect();
    // `identity` is accepted by default, every other encoding is not
    let takes_others = set.iter().any(|(name, refused)| name == "*" && !refused);
    set.retain(|(name, refused)| match &**name {
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

/// The name of an encoding in lower case, and whether it is refused. Most clients write it so, which takes no memory.
fn encoding(item: &str) -> Option<(Cow<'_, str>, bool)> {
    let (name, weight) = item.split_once(';').unwrap_or((item, ""));
    let weight = weight.trim().strip_prefix(['q', 'Q']).and_then(|weight| weight.strip_prefix('='));
    let is_refused = weight.and_then(|q| q.trim().parse::<f32>().ok()) == Some(0.0);
    let name = name.trim();
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = || if is_lower { name.into() } else { name.to_ascii_lowercase().into() };
    (!name.is_empty()).then(|| (lower(), is_refused))
}

#[cfg(test)]
mod tests;
