//! The name and the password that a request carries.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use plugin_api::http::HeaderMap;
use plugin_api::http::header::AUTHORIZATION;

const SCHEME: &[u8] = b"basic ";
/// The longest value that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Some clients leave the padding out.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password.
pub(crate) struct Credentials {
    text: String,
    colon: usize,
}

impl Credentials {
    /// Those of a request; `None` where it has none, or none that can be read.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        // two of them that differ could be read in two ways
        let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
        let (scheme, encoded) = value.split_at_checked(SCHEME.len()).filter(|_| value.len() <= LONGEST)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let text = String::from_utf8(ENGINE.decode(encoded.trim_ascii()).ok()?).ok()?;
        let colon = text.find(':').filter(|colon| *colon > 0)?;
        Some(Self { text, colon })
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The password.
    pub(crate) fn password(&self) -> &[u8] {
        &self.text.as_bytes()[self.colon + 1..]
    }

    /// Both, with a colon between them.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let credentials = Credentials::of(&headers)?;
        Some((credentials.name().to_owned(), String::from_utf8(credentials.password().to_vec()).unwrap()))
    }

    #[test]
    fn a_name_and_a_password_are_read_as_clients_send_them() {
        for (value, name, password) in [
            ("Basic YWxpY2U6cGFzc3dvcmQ=", "alice", "password"),
            ("basic  YWxpY2U6cGFzc3dvcmQ", "alice", "password"),
            ("BASIC YWxpY2U6YTpi", "alice", "a:b"),
            ("Basic YWxpY2U6", "alice", ""),
            ("Basic YTrDvA==", "a", "\u{fc}"),
        ] {
            assert_eq!(read(&[value]), Some((name.to_owned(), password.to_owned())), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic ???",
            "Bearer YWxpY2U6cGFzc3dvcmQ=",
            "Basic YWxpY2U=",
            "Basic OnBhc3N3b3Jk",
            "Basic /zr/",
        ] {
            assert_eq!(read(&[value]), None, "{value}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["Basic YWxpY2U6cGFzc3dvcmQ=", "Basic YWxpY2U6cGFzc3dvcmQ="]), None);
        assert_eq!(read(&[&format!("Basic {}", "YWxp".repeat(1000))]), None);
    }
}
