//! What the head of a request says of whose call it is, and of what makes it differ from others.

use std::borrow::Cow;

use http::header::{ACCEPT_ENCODING, ORIGIN};
use http::{HeaderMap, HeaderName};
use plugin_api::{Endpoint, LONGEST_TEXT, Request, api_key, fingerprint, is_credential, shortened};

use crate::bypass::Bypass;
use crate::canonical::Digest;
use crate::control::Control;
use crate::settings::Scope;

/// Which answer a call may be given: 256 bits of a hash over all that makes it differ from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// A call whose head has come.
#[derive(Debug)]
pub(crate) struct CacheRequest {
    /// What the client says of caching.
    pub(crate) control: Control,
    /// Who shares its answer, as the operator may name them: the name or the header's value of the scope, or what stands
    /// for the API key in the ledger.
    pub(crate) tenant: Box<str>,
    pub(crate) endpoint: Endpoint,
    /// Who is to answer it.
    pub(crate) upstream: Box<str>,
    hasher: blake3::Hasher,
}

/// What keys begin with: another form of them is another world.
const CONTEXT: &str = "tollgate response_cache key 4";

impl CacheRequest {
    /// Reads the head of a call to this endpoint.
    ///
    /// # Errors
    /// What keeps the call out of the cache.
    pub(crate) fn of(
        head: &Request<'_>,
        endpoint: Endpoint,
        scope: &Scope,
        vary: &[HeaderName],
    ) -> Result<Self, Bypass> {
        let control = Control::of(head.headers);
        if control.forbidden {
            return Err(Bypass::Client);
        }
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let tenant = tenant(head.headers, scope, &mut hasher).ok_or(Bypass::NoTenant)?;
        part(&mut hasher, head.host.to_ascii_lowercase().as_bytes());
        part(&mut hasher, head.upstream.as_bytes());
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        part(&mut hasher, target.as_bytes());
        part(&mut hasher, endpoint.as_str().as_bytes());
        encodings(head.headers, &mut hasher);
        headers(head.headers, vary, &mut hasher);
        Ok(Self { control, tenant, endpoint, upstream: head.upstream.into(), hasher })
    }

    /// The key of the call with this digest. Where a plugin asked for usage that the client does not
    /// get, the answer is another than the one to a client that asked for the same.
    pub(crate) fn key(&mut self, digest: Digest, usage_is_taken_out: bool) -> Key {
        part(&mut self.hasher, &digest);
        part(&mut self.hasher, &[u8::from(usage_is_taken_out)]);
        Key(*self.hasher.finalize().as_bytes())
    }
}

/// Whether answers that vary by this header of the request are told apart by their keys.
pub(crate) fn tells_apart(name: &str, scope: &Scope, vary: &[HeaderName]) -> bool {
    let by_scope = match scope {
        Scope::Credential => is_credential(name),
        Scope::Header(own) => own.eq_ignore_ascii_case(name),
        Scope::Name(_) => false,
    };
    by_scope || name == ACCEPT_ENCODING.as_str() || is_of_api(name) || vary.iter().any(|own| own.as_str() == name)
}

/// Nothing that is added to a hash can be taken for anything else: every part says how long it is.
fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

/// Adds whose call it is, and gives the name by which the operator knows them.
fn tenant(headers: &HeaderMap, scope: &Scope, hasher: &mut blake3::Hasher) -> Option<Box<str>> {
    match scope {
        Scope::Credential => {
            part(hasher, b"credential");
            let named = named(headers, is_credential);
            // an empty one says nothing of who calls
            let given = named.iter().map(|(_, value)| *value).find(|value| !value.trim_ascii().is_empty())?;
            all(&named, hasher);
            Some(fingerprint(api_key(headers).unwrap_or(given)).into())
        }
        Scope::Header(name) => {
            let mut values = headers.get_all(name.as_str()).iter();
            let value = values.next().filter(|value| !value.is_empty())?;
            if values.next().is_some() {
                return None;
            }
            part(hasher, b"header");
            part(hasher, value.as_bytes());
            Some(tenant_name(&String::from_utf8_lossy(value.as_bytes())).into())
        }
        Scope::Name(name) => {
            part(hasher, b"name");
            part(hasher, name.as_bytes());
            Some(tenant_name(name).into())
        }
    }
}

/// A tenant's name as it is kept, and as a purge of it is.
pub(crate) fn tenant_name(name: &str) -> Cow<'_, str> {
    shortened(name, LONGEST_TEXT)
}

/// Headers and their values, sorted by name.
type Named<'a> = Vec<(&'a str, &'a [u8])>;

fn named(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Named<'_> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut named: Named<'_> = all.filter(|(name, _)| wanted(name)).collect();
    // stable: values of one name keep their order
    named.sort_by_key(|(name, _)| *name);
    named
}

fn all(named: &Named<'_>, hasher: &mut blake3::Hasher) {
    hasher.update(&(named.len() as u64).to_le_bytes());
    for (name, value) in named {
        part(hasher, name.as_bytes());
        part(hasher, value);
    }
}

fn is_of_api(name: &str) -> bool {
    name.starts_with("anthropic-") || name.starts_with("openai-") || name == ORIGIN.as_str()
}

/// Adds the headers that change the answer. Betas are a set, whatever their order and number of lines.
fn headers(headers: &HeaderMap, vary: &[HeaderName], hasher: &mut blake3::Hasher) {
    const BETA: &str = "anthropic-beta";
    let wanted = |name: &str| is_of_api(name) && name != BETA || vary.iter().any(|own| own.as_str() == name);
    all(&named(headers, wanted), hasher);
    let lines = headers.get_all(BETA).iter();
    let betas = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut betas: Vec<&[u8]> = betas.filter(|beta| !beta.is_empty()).collect();
    betas.sort_unstable();
    betas.dedup();
    hasher.update(&(betas.len() as u64).to_le_bytes());
    for beta in betas {
        part(hasher, beta);
    }
}

/// Adds the encodings that a client takes, and those that it refuses, as a set. Only clients that name the same share
/// answers, so none ever gets one that it cannot read.
fn encodings(headers: &HeaderMap, hasher: &mut blake3::Hasher) {
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
    // plain text is taken unless it is refused, and all else is refused unless it is taken
    let takes_others = set.iter().any(|(name, refused)| name == "*" && !refused);
    set.retain(|(name, refused)| match name.as_str() {
        "identity" => *refused,
        "*" => true,
        _ => !refused || takes_others,
    });
    set.sort_unstable();
    set.dedup();
    hasher.update(&(set.len() as u64).to_le_bytes());
    for (name, refused) in set {
        part(hasher, name.as_bytes());
        part(hasher, &[u8::from(refused)]);
    }
}
