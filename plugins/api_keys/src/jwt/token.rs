//! The parts of a token, taken apart. Believes nothing that they say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TokenFault;
use super::key_set::Algorithm;

/// The longest token, in bytes.
const LONGEST: usize = 16 << 10;

/// Whether a credential has the form of a token: a JSON object and two more parts in Base64, with dots between them.
pub(crate) fn looks_like_token(credential: &[u8]) -> bool {
    credential.starts_with(b"eyJ") && credential.iter().filter(|byte| **byte == b'.').count() == 2
}

/// A token, taken apart.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    /// The name of the key that it is signed with.
    pub(super) key: Option<String>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    /// JSON.
    pub(super) claims: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Names of extensions that a reader must know.
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, TokenFault> {
        let parts: Vec<_> = text.splitn(4, |byte| *byte == b'.').collect();
        let [header, claims, signature] = parts[..] else { return Err(TokenFault::Malformed) };
        if text.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed);
        let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenFault::Malformed)?;
        if head.crit.is_some() {
            return Err(TokenFault::Algorithm);
        }
        Ok(Self {
            algorithm: Algorithm::of(&head.alg).ok_or(TokenFault::Algorithm)?,
            key: head.kid,
            signed: &text[..header.len() + 1 + claims.len()],
            signature: decode(signature)?,
            claims: decode(claims)?,
        })
    }
}
