//! The origins of pages, as the YAML names them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

const ANY: &str = "*";
const NULL: &str = "null";

/// Some origins: one, those of all names below a domain, or all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum OriginPattern {
    /// Every page, also one without an origin of its own (`null`).
    Any,
    /// This one, in lower case.
    Exact(Box<str>),
    /// Those of the names below a domain, and of no other port.
    Below {
        /// `https://`
        scheme: Box<str>,
        /// `.example.com:8443`
        domain: Box<str>,
    },
}

impl OriginPattern {
    /// Whether it is that of pages without an origin of their own, which any page can make.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Exact(origin) if &**origin == NULL)
    }

    /// Whether the `Origin` of a request is among them.
    #[must_use]
    pub fn takes(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => origin.eq_ignore_ascii_case(own.as_bytes()),
            Self::Below { scheme, domain } => {
                let name = origin.len().checked_sub(scheme.len() + domain.len()).filter(|name| *name > 0);
                name.is_some_and(|name| {
                    let (start, rest) = origin.split_at(scheme.len());
                    let (name, end) = rest.split_at(name);
                    start.eq_ignore_ascii_case(scheme.as_bytes())
                        && end.eq_ignore_ascii_case(domain.as_bytes())
                        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                })
            }
        }
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == ANY {
            return Ok(Self::Any);
        }
        if text == NULL {
            return Ok(Self::Exact(NULL.into()));
        }
        let wrong = || {
            format!(
                "`{text}` is no origin; write it like `https://app.example.com`, `http://localhost:5173`, `https://*.example.com` or `*`"
            )
        };
        let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if let Some(without) = authority.strip_suffix('/').filter(|rest| !rest.contains('/')) {
            return Err(format!("an origin has no path; write `{scheme}://{without}`"));
        }
        let (name, domain) = match authority.strip_prefix('*') {
            Some(domain) => (domain.strip_prefix('.').ok_or_else(wrong)?, Some(domain)),
            None => (authority, None),
        };
        let is_authority = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'*' | b'\\'));
        if !is_scheme || !is_authority {
            return Err(wrong());
        }
        if let (Some(without), "https") | (Some(without), "http") =
            (name.strip_suffix(if scheme == "https" { ":443" } else { ":80" }), scheme)
        {
            let star = if domain.is_some() { "*." } else { "" };
            return Err(format!("browsers leave the port of the scheme out; write `{scheme}://{star}{without}`"));
        }
        Ok(match domain {
            Some(domain) => Self::Below {
                scheme: format!("{scheme}://").to_ascii_lowercase().into(),
                domain: domain.to_ascii_lowercase().into(),
            },
            None => Self::Exact(text.to_ascii_lowercase().into()),
        })
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        match pattern {
            OriginPattern::Any => ANY.to_owned(),
            OriginPattern::Exact(origin) => origin.into(),
            OriginPattern::Below { scheme, domain } => format!("{scheme}*{domain}"),
        }
    }
}

impl JsonSchema for OriginPattern {
    fn schema_name() -> Cow<'static, str> {
        "OriginPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An origin such as `https://app.example.com`, `https://*.example.com` for all names below, or `*`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> OriginPattern {
        OriginPattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn an_origin_is_taken_as_a_whole() {
        for (text, origin, wanted) in [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://App.Example.com", "https://app.example.com", true),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com.evil.test", false),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("http://localhost:5173", "http://localhost:5173", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://evil.test/.example.com", false),
            ("https://*.example.com", "https://a.example.com:8443", false),
            ("*", "null", true),
            ("null", "null", true),
            ("https://a.example", "null", false),
        ] {
            assert_eq!(pattern(text).takes(origin.as_bytes()), wanted, "{origin} by {text}");
        }
    }

    #[test]
    fn what_is_no_origin_says_what_is_wanted() {
        for (text, wanted) in [
            ("app.example.com", "write it like `https://app.example.com`"),
            ("https://a.example/", "an origin has no path; write `https://a.example`"),
            ("https://a.example/x", "write it like"),
            ("https://a.example:443", "write `https://a.example`"),
            ("http://*.a.example:80", "write `http://*.a.example`"),
            ("https://*example.com", "write it like"),
            ("https://", "write it like"),
            ("https://a.*.com", "write it like"),
            ("", "write it like"),
        ] {
            let error = OriginPattern::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        for text in ["*", "null", "https://*.example.com:8443", "https://a.example", "capacitor://localhost"] {
            assert_eq!(String::from(pattern(text)), text);
        }
    }
}
