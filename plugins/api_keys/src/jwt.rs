//! Callers who come with a token that an identity provider has signed (JWT), in the place of a key: the settings, and who such a caller is.

mod cache;
mod claims;
mod key_set;
mod provider;
mod token;
mod verifier;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::http::Uri;
use plugin_api::{Grants, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use cache::BYTES as CACHE_BYTES;
pub(crate) use token::looks_like_token;
pub(crate) use verifier::{Verifier, claimed};

/// The longest that a request may wait for a provider.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that clocks may differ.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);

/// Tokens of an identity provider that are taken in the place of keys.
///
/// A token is a JWT that is signed with RS256, PS256, ES256 or `EdDSA` by a key of the provider, and has an expiry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The keys of the provider (JWKS): an `https://` or `http://` URL, or a file, relative to this one. They are read again in the
    /// background; those that were read last serve on while that fails.
    pub jwks: String,
    /// What a token must have as its `iss`.
    pub issuer: String,
    /// What a token must have in its `aud`.
    pub audience: String,
    /// The claim with the caller's name.
    #[serde(default = "subject")]
    pub name: String,
    /// The claim with the caller's tenant. A token must have it. Absent: callers have no tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The claim with patterns of the models that the caller may ask for, a list of texts. A token must have it. Absent: any model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// How often the keys at a URL are read again. Files are looked at each second.
    #[serde(default = "refresh")]
    pub refresh: Period,
    /// How long a request may wait while the keys are read again because they lack the one that its token names.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// How much the clocks of the provider and the gateway may differ.
    #[serde(default = "leeway")]
    pub leeway: Period,
}

fn subject() -> String {
    "sub".to_owned()
}

fn refresh() -> Period {
    Period::from_secs(300)
}

fn timeout() -> Period {
    Period::from_secs(1)
}

fn leeway() -> Period {
    Period::from_secs(30)
}

/// Who a token is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) grants: Arc<Grants>,
    /// From when on it is refused, in seconds since 1970, leeway included.
    expires: u64,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// It cannot be read.
    Malformed,
    /// It is signed in a way that is not taken.
    Algorithm,
    /// The provider has no key of the name that it says.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
    /// Another has issued it.
    Issuer,
    /// It is for another server.
    Audience,
    /// It lacks this claim, or has something in it that does not belong there.
    Claim(String),
    /// The provider's keys have never been read.
    NoKeys,
}

/// Where the keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Url(Uri),
    File(std::path::PathBuf),
}

impl JwtConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.jwks.contains("://") {
            let url = self.jwks.parse::<Uri>().ok();
            let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
            if !url.as_ref().is_some_and(is_http) {
                return Err("`jwt.jwks` is neither a URL like `https://host/path` nor a file".into());
            }
        }
        let claims = [Some(&self.name), self.tenant.as_ref(), self.models.as_ref()];
        for (setting, text) in [("jwks", &self.jwks), ("issuer", &self.issuer), ("audience", &self.audience)]
            .into_iter()
            .chain(["name", "tenant", "models"].into_iter().zip(claims).filter_map(|(name, text)| Some((name, text?))))
        {
            if text.trim().is_empty() {
                return Err(format!("`jwt.{setting}` is empty"));
            }
        }
        if self.refresh.get() < Duration::from_secs(1) {
            return Err("`jwt.refresh` is below 1s".into());
        }
        if self.timeout.get() > LONGEST_TIMEOUT {
            return Err(format!("`jwt.timeout` is {}, wanted at most 10s", self.timeout));
        }
        if self.leeway.get() > LONGEST_LEEWAY {
            return Err(format!("`jwt.leeway` is {}, wanted at most 5m", self.leeway));
        }
        Ok(())
    }

    /// Reads a file of keys, as far as they are in one.
    pub(crate) fn check_file(&self, base: &Path) -> Result<(), String> {
        match self.source(base) {
            Source::File(path) => provider::read_file(&path).map(drop),
            Source::Url(_) => Ok(()),
        }
    }

    /// Whether its keys are at a URL.
    pub(crate) fn is_remote(&self, base: &Path) -> bool {
        matches!(self.source(base), Source::Url(_))
    }

    fn source(&self, base: &Path) -> Source {
        match self.jwks.parse::<Uri>() {
            Ok(url) if self.jwks.contains("://") => Source::Url(url),
            _ => Source::File(base.join(&self.jwks)),
        }
    }
}

#[cfg(test)]
mod tests;
