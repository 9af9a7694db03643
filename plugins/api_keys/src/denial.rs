//! Why a request is refused, in words for whoever wrote the client. Tells of a key its name or its public part, never itself.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::http::HeaderValue;
use plugin_api::http::header::WWW_AUTHENTICATE;
use plugin_api::{LONGEST_TEXT, Refusal, RefusalKind, shortened};

use crate::jwt::TokenFault;
use crate::settings::KeyHeader;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It has no key; the header for keys, where that is not a usual one.
    NoKey(Option<KeyHeader>),
    /// It has several that differ.
    Ambiguous,
    /// Nobody has this key; its public part, where it has one.
    Unknown(Option<String>),
    /// The time of the key of this name is over.
    Expired(Arc<str>),
    /// Its token is not taken.
    Token(TokenFault),
    /// The key is not for this route.
    Route {
        /// Its name.
        key: Arc<str>,
        /// The route's.
        route: String,
    },
    /// The key is not for this model.
    Model {
        /// Its name.
        key: Arc<str>,
        /// The model asked for.
        model: ModelFault,
    },
}

/// What is wrong with the model of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelFault {
    /// The key is for others than this one.
    Forbidden(String),
    /// The call does not name one for certain.
    Unnamed,
    /// The body is not one whose model can be told.
    Unreadable,
    /// Requests of this kind do not tell their model before they pass.
    Hidden,
}

impl ModelFault {
    /// The denial of a key of this name.
    pub(crate) fn of(self, key: &Arc<str>) -> Denial {
        Denial::Model { key: key.clone(), model: self }
    }

    /// The refusal to a caller whose key has this name.
    pub(crate) fn into_refusal_of(self, key: Option<&str>) -> Refusal {
        Denial::Model { key: key.unwrap_or("this one").into(), model: self }.into_refusal()
    }
}

impl Denial {
    /// The refusal.
    pub(crate) fn into_refusal(self) -> Refusal {
        let (kind, reason) = match &self {
            Self::NoKey(_) => (RefusalKind::Unauthenticated, "no_key"),
            Self::Ambiguous => (RefusalKind::Unauthenticated, "ambiguous_key"),
            Self::Unknown(_) => (RefusalKind::Unauthenticated, "unknown_key"),
            Self::Expired(_) => (RefusalKind::Unauthenticated, "expired_key"),
            Self::Token(TokenFault::NoKeys) => (RefusalKind::Unavailable, fault_reason(&TokenFault::NoKeys)),
            Self::Token(fault) => (RefusalKind::Unauthenticated, fault_reason(fault)),
            Self::Route { .. } => (RefusalKind::Forbidden, "route_not_allowed"),
            Self::Model { model: ModelFault::Forbidden(_), .. } => (RefusalKind::Forbidden, "model_not_allowed"),
            Self::Model { .. } => (RefusalKind::Forbidden, "model_not_known"),
        };
        let refusal = Refusal::new(kind, reason, self.message());
        if kind == RefusalKind::Unavailable {
            return refusal.retry_after(Duration::from_secs(1));
        }
        if kind == RefusalKind::Unauthenticated {
            return refusal.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        refusal
    }

    fn message(&self) -> Cow<'static, str> {
        match self {
            Self::NoKey(None) => {
                "This request has no API key. Send yours as `x-api-key` or as `authorization: Bearer`".into()
            }
            Self::NoKey(Some(header)) => {
                format!("This request has no API key. Send yours as `{}`", header.name()).into()
            }
            Self::Ambiguous => {
                "This request has several API keys that differ. Send only yours, as `x-api-key` or as `authorization: Bearer`"
                    .into()
            }
            Self::Unknown(Some(public)) => {
                format!("The API key `{public}…` is not known here. It may have been revoked, or is for another server").into()
            }
            Self::Unknown(None) => {
                "This API key is not known here. It may be for another server; keys for this one begin with `tg_`".into()
            }
            Self::Expired(key) => format!("The API key `{key}` has expired. Ask your operator for a new one").into(),
            Self::Token(fault) => fault_message(fault),
            Self::Route { key, route } => format!("The API key `{key}` is not allowed on the route `{route}`").into(),
            Self::Model { key, model } => model.message(key).into(),
        }
    }
}

fn fault_reason(fault: &TokenFault) -> &'static str {
    match fault {
        TokenFault::Malformed | TokenFault::Algorithm | TokenFault::UnknownKey | TokenFault::Signature => {
            "invalid_token"
        }
        TokenFault::Expired => "expired_token",
        TokenFault::Early => "early_token",
        TokenFault::Issuer => "wrong_issuer",
        TokenFault::Audience => "wrong_audience",
        TokenFault::Claim(_) => "missing_claim",
        TokenFault::NoKeys => "tokens_unavailable",
    }
}

fn fault_message(fault: &TokenFault) -> Cow<'static, str> {
    match fault {
        TokenFault::Malformed => "The token of this request cannot be read. Send the access token as your provider gave it".into(),
        TokenFault::Algorithm => {
            "The token of this request is signed in a way that is not accepted here; RS256, PS256, ES256 and EdDSA are".into()
        }
        TokenFault::UnknownKey => {
            "The token of this request is signed with a key that its provider does not publish. It may be for another server".into()
        }
        TokenFault::Signature => "The signature of this request's token is wrong".into(),
        TokenFault::Expired => "The token of this request has expired. Get a new one from your provider".into(),
        TokenFault::Early => "The token of this request is not valid yet. Check the clock of its provider".into(),
        TokenFault::Issuer => "The token of this request is from another provider than this server trusts".into(),
        TokenFault::Audience => "The token of this request is for another server. Ask your provider for one for this server".into(),
        TokenFault::Claim(claim) => {
            format!("The token of this request lacks the claim `{claim}`, or has something else in it than a name").into()
        }
        TokenFault::NoKeys => "Tokens cannot be checked at present. Try again in 1 s".into(),
    }
}

impl ModelFault {
    fn message(&self, key: &str) -> String {
        let limited = format!("The API key `{key}` is allowed certain models only, and");
        match self {
            Self::Forbidden(model) => {
                format!("The API key `{key}` is not allowed to use the model `{}`", shortened(model, LONGEST_TEXT))
            }
            Self::Unnamed => format!("{limited} this call does not name one, or names it in a way that is not certain"),
            Self::Unreadable => format!("{limited} the body of this call is not JSON from which it could be read"),
            Self::Hidden => {
                format!("{limited} requests of this kind do not say which they use before they are sent on")
            }
        }
    }
}
