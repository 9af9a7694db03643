//! The settings of the admin listener, and its token.

use std::fmt;
use std::net::SocketAddr;

use located_yaml::Located;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routes::HostPattern;

/// The operator's listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// IP address and port. Without a token, keep it on the loopback or on a private network.
    #[schemars(with = "String")]
    pub address: Located<SocketAddr>,
    /// Further names under which it may be asked: exact ones, or `*.example.com` for every name below. It is always
    /// answered by IP address and by names without dots, such as `localhost` or a service of Kubernetes. Under any other
    /// name, and for pages of other sites, only `/healthz` and `/readyz` answer.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The token that is asked for as `authorization: Bearer TOKEN`, everywhere but at `/healthz` and `/readyz`; by
    /// `/dashboard` also in a form. At least 16 characters. Absent: none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<AdminToken>,
}

/// The token of the admin listener, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct AdminToken([u8; SHA256_OUTPUT_LEN]);

impl AdminToken {
    /// The fewest characters: what cannot be guessed over a network.
    const LEAST: usize = 16;

    /// Whether it is this one. The time that it takes says nothing of the token.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0 == sha256(presented)
    }
}

fn sha256(text: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut sum = [0; SHA256_OUTPUT_LEN];
    sum.copy_from_slice(digest(&SHA256, text).as_ref());
    sum
}

impl TryFrom<String> for AdminToken {
    type Error = String;

    fn try_from(token: String) -> Result<Self, String> {
        if token.len() < Self::LEAST {
            return Err(format!("the token has {} characters; it must have at least {}", token.len(), Self::LEAST));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has characters that no header can carry; it must be of visible ASCII alone".into());
        }
        Ok(Self(sha256(token.as_bytes())))
    }
}

impl From<AdminToken> for String {
    fn from(_: AdminToken) -> Self {
        "***".into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_fits_into_a_header() {
        for (token, wrong) in [
            ("0123456789abcde", "has 15 characters"),
            ("", "has 0 characters"),
            ("0123456789 abcdefg", "visible ASCII"),
            ("0123456789äbcdefg", "visible ASCII"),
        ] {
            let error = AdminToken::try_from(token.to_owned()).unwrap_err();
            assert!(error.contains(wrong) && (token.is_empty() || !error.contains(token)), "{error}");
        }
        let token = AdminToken::try_from("0123456789abcdef".to_owned()).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b"0123456789abcdeF"[..], b"", b"0123456789abcdef "] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?} {}", String::from(token.clone())), "AdminToken(***) ***");
    }
}
