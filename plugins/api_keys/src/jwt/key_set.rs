//! The public keys of a provider (JWKS), and whether one of them has signed a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use super::TokenFault;
use super::token::Token;

/// The most keys of a provider; further ones are left out.
const MOST_KEYS: usize = 100;

/// A way to sign that is taken. None of them uses a secret that the gateway shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys of a provider.
#[derive(Debug, Default)]
pub(super) struct ProviderKeys(Vec<Key>);

#[derive(Debug)]
struct Key {
    name: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
    public: PublicKey,
}

#[derive(Debug)]
enum PublicKey {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(UnparsedPublicKey<Vec<u8>>),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl ProviderKeys {
    /// Reads a document. Keys that are of no use here are left out.
    ///
    /// # Errors
    /// It is not a set of keys, or none of them is of use.
    pub(super) fn parse(document: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(document).map_err(|_| "it is not a JSON Web Key Set".to_owned())?;
        let written = document.keys.into_iter().filter_map(|key| serde_json::from_value::<Written>(key).ok());
        let keys: Vec<_> = written.filter_map(Key::of).take(MOST_KEYS).collect();
        if keys.is_empty() {
            return Err("none of its keys is for RS256, PS256, ES256 or EdDSA".into());
        }
        Ok(Self(keys))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the signature of a token is that of one of these keys.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), TokenFault> {
        let mut fits = self.0.iter().filter(|key| key.name == token.key).peekable();
        if fits.peek().is_none() {
            return Err(TokenFault::UnknownKey);
        }
        if fits.any(|key| key.has_signed(token)) { Ok(()) } else { Err(TokenFault::Signature) }
    }
}

impl Key {
    fn of(written: Written) -> Option<Self> {
        if written.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let number =
            |text| bytes(text).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
        let public = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => PublicKey::Rsa(RsaPublicKeyComponents { n: number(written.n)?, e: number(written.e)? }),
            ("EC", Some("P-256")) => {
                let point = [vec![4], bytes(written.x)?, bytes(written.y)?].concat();
                PublicKey::P256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))
            }
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(UnparsedPublicKey::new(&ED25519, bytes(written.x)?)),
            _ => return None,
        };
        Some(Self { name: written.kid, algorithm: written.alg, public })
    }

    /// The algorithm has to be one of the key's own kind: what the token says chooses among those, and never another use of the key.
    fn has_signed(&self, token: &Token<'_>) -> bool {
        if self.algorithm.as_deref().is_some_and(|name| Algorithm::of(name) != Some(token.algorithm)) {
            return false;
        }
        let Token { signed, signature, .. } = token;
        match (&self.public, token.algorithm) {
            (PublicKey::Rsa(key), Algorithm::Rs256) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            (PublicKey::Rsa(key), Algorithm::Ps256) => key.verify(&RSA_PSS_2048_8192_SHA256, signed, signature),
            (PublicKey::P256(key), Algorithm::Es256) | (PublicKey::Ed25519(key), Algorithm::EdDsa) => {
                key.verify(signed, signature)
            }
            _ => return false,
        }
        .is_ok()
    }
}
