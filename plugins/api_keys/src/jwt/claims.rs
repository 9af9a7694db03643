//! What a token whose signature is right says of its holder, and whether it is for this gateway, now.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::{Glob, Grants};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Identity, JwtConfig, TokenFault};
use crate::settings::Label;

#[derive(Deserialize)]
struct Claims {
    iss: Option<Value>,
    aud: Option<Value>,
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Who the holder is, if these claims are for this gateway at this time, in seconds since 1970.
pub(super) fn identity(claims: &[u8], config: &JwtConfig, now: u64) -> Result<Identity, TokenFault> {
    let claims: Claims = serde_json::from_slice(claims).map_err(|_| TokenFault::Malformed)?;
    let leeway = config.leeway.get();
    let expires = claims.exp.ok_or_else(|| TokenFault::Claim("exp".into()))?;
    let expires = after(expires, leeway);
    if now >= expires {
        return Err(TokenFault::Expired);
    }
    if claims.nbf.is_some_and(|begin| after(begin, Duration::ZERO) > now.saturating_add(leeway.as_secs())) {
        return Err(TokenFault::Early);
    }
    if claims.iss.as_ref().and_then(Value::as_str) != Some(&config.issuer) {
        return Err(TokenFault::Issuer);
    }
    let is_ours = |audience: &Value| audience.as_str() == Some(&config.audience);
    let is_for_us = match &claims.aud {
        Some(Value::Array(several)) => several.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if !is_for_us {
        return Err(TokenFault::Audience);
    }
    let claim = |name: &str| {
        // those that have a meaning of their own are no names
        let text = match claims.others.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(TokenFault::Claim(name.to_owned())),
        };
        Label::try_from(text).map(|label| Arc::from(label.as_str())).map_err(|_| TokenFault::Claim(name.to_owned()))
    };
    let models = |name: &String| {
        let texts = claims.others.get(name).and_then(Value::as_array);
        let globs =
            texts.map(|texts| texts.iter().map(|text| text.as_str().map(Glob::new)).collect::<Option<Box<[_]>>>());
        globs.flatten().ok_or_else(|| TokenFault::Claim(name.clone()))
    };
    let grants = Grants { models: config.models.as_ref().map(models).transpose()?, ..Grants::default() };
    Ok(Identity {
        name: claim(&config.name)?,
        tenant: config.tenant.as_deref().map(claim).transpose()?,
        grants: Arc::new(grants),
        expires,
    })
}

/// So much after a moment that a token says, in whole seconds. What lies before 1970 is long over.
fn after(moment: f64, time: Duration) -> u64 {
    // saturates
    (moment as u64).saturating_add(time.as_secs())
}
