//! The charset that a `content-type` names, and whether text in it can be read as UTF-8.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// The name of a charset under which the bytes may mean something else than they do in UTF-8; `None` if
/// they do not.
///
/// Only the quotes, brackets, digits and backslashes have to stay what they are. That is so in ASCII, Latin-1
/// and their single-byte kin. It is not in UTF-16, UTF-7 or EBCDIC, nor in Shift JIS, Big5 and GBK, whose
/// characters may end in the byte of a backslash; and of an unknown name it cannot be said.
pub(crate) fn unreadable(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(CONTENT_TYPE)
        .iter()
        // most values have no parameters
        .filter(|value| memchr::memchr(b'=', value.as_bytes()).is_some())
        .flat_map(|value| value.as_bytes().split(|byte| matches!(byte, b';' | b',')))
        .filter_map(charset)
        .find(|name| !reads_as_utf8(name))
}

/// The charset of one parameter, in lower case.
fn charset(parameter: &[u8]) -> Option<String> {
    let at = parameter.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&parameter[..at], &parameter[at + 1..]);
    if !name.trim_ascii().eq_ignore_ascii_case(b"charset") {
        return None;
    }
    let value = String::from_utf8_lossy(value.trim_ascii());
    let name: String = value.trim_matches(['"', '\'']).chars().take(40).filter(|char| !char.is_control()).collect();
    Some(name.trim().to_ascii_lowercase())
}

fn reads_as_utf8(charset: &str) -> bool {
    let plain: String = charset.chars().filter(char::is_ascii_alphanumeric).collect();
    let single_byte = ["iso8859", "latin", "windows125", "cp125"];
    matches!(plain.as_str(), "" | "utf8" | "usascii" | "ascii")
        || single_byte.iter().any(|name| plain.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(content_types: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in content_types {
            headers.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        unreadable(&headers)
    }

    #[test]
    fn ascii_and_its_single_byte_kin_read_as_utf8() {
        for name in ["utf-8", "UTF8", "\"utf-8\"", "us-ascii", "iso-8859-1", "latin1", "Windows-1252", ""] {
            assert_eq!(of(&[&format!("application/json; charset={name}")]), None, "{name}");
        }
        for content_types in [&[][..], &["application/json"], &["text/plain; boundary=utf-16"]] {
            assert_eq!(of(content_types), None);
        }
    }

    #[test]
    fn charsets_that_may_mean_something_else_are_named() {
        for name in ["utf-16", "UTF-16LE", "utf-32", "utf-7", "cp037", "IBM037", "shift_jis", "gbk", "big5", "klingon"]
        {
            assert_eq!(of(&[&format!("application/json;charset = '{name}'")]), Some(name.to_ascii_lowercase()));
        }
        assert_eq!(of(&["application/json; charset=utf-8", "text/plain; Charset=utf-7"]), Some("utf-7".into()));
        assert_eq!(of(&["application/json; charset=utf-8; charset=utf-7"]), Some("utf-7".into()));
    }
}
