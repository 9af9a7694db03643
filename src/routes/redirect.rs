//! The settings of a redirect: the address that clients are sent to, and the status.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::RouteTemplate;

/// The address that clients are sent to: absolute, or a path; with variables.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct LocationTemplate(RouteTemplate);

impl LocationTemplate {
    /// The template.
    #[must_use]
    pub fn template(&self) -> &RouteTemplate {
        &self.0
    }
}

impl TryFrom<String> for LocationTemplate {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if !written.starts_with(['/', '$']) && !written.contains("://") {
            return Err(format!("`{written}` is not an address; write `https://$host$request_uri`, or a path"));
        }
        if !written.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "`{written}` is not an address as it is sent; write what is not ASCII, and spaces, with `%`"
            ));
        }
        RouteTemplate::try_from(written).map(Self)
    }
}

impl From<LocationTemplate> for String {
    fn from(template: LocationTemplate) -> Self {
        template.0.into()
    }
}

/// The status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16")]
pub struct RedirectStatus(StatusCode);

impl RedirectStatus {
    /// As a status.
    #[must_use]
    pub fn get(self) -> StatusCode {
        self.0
    }
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(StatusCode::MOVED_PERMANENTLY)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match StatusCode::from_u16(status) {
            Ok(known) if matches!(status, 301 | 302 | 303 | 307 | 308) => Ok(Self(known)),
            _ => Err(format!("`{status}` is no redirect; it is 301, 302, 303, 307 or 308")),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0.as_u16()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_absolute_or_a_path() {
        let address = |written: &str| LocationTemplate::try_from(written.to_owned()).map(String::from);
        for written in ["https://$host$request_uri", "/new/$1", "$scheme://example.com/", "http://a/b%20c"] {
            assert_eq!(address(written).as_deref(), Ok(written));
        }
        for written in ["example.com/x", "", "https://a/b c", "https://a/é", "/a\n\r"] {
            assert!(address(written).is_err(), "{written}");
        }
        assert!(RedirectStatus::try_from(304).is_err());
    }
}
