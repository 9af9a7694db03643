//! Takes a prefix off a path that is matched in its normal form and sent as it came.

use std::borrow::Cow;

use crate::{is_normal, resolve};

/// The path without a prefix of whole segments, its other bytes as they came; `None` where the path does not begin so, or has no
/// normal form. `prefix` is in the normal form, begins with a slash and ends without one.
///
/// What is left has the normal form that the whole has behind the prefix, however the path is spelled:
///
/// ```
/// # use url_path::strip;
/// assert_eq!(strip(b"/openai/v1/a%2Fb", "/openai").as_deref(), Some(&b"/v1/a%2Fb"[..]));
/// assert_eq!(strip(b"//openai/%2e/v1", "/openai").as_deref(), Some(&b"/%2e/v1"[..]));
/// assert_eq!(strip(b"/x/../openai//v1", "/openai").as_deref(), Some(&b"/v1"[..]));
/// assert_eq!(strip(b"/openai", "/openai").as_deref(), Some(&b"/"[..]));
/// assert_eq!(strip(b"/openaiX/v1", "/openai"), None);
/// assert_eq!(strip(b"/openai/../v1", "/openai"), None);
/// ```
#[must_use]
pub fn strip<'p>(path: &'p [u8], prefix: &str) -> Option<Cow<'p, [u8]>> {
    if !path.starts_with(b"/") {
        return None;
    }
    if is_normal(path) {
        return match path.strip_prefix(prefix.as_bytes())? {
            [] => Some(Cow::Borrowed(b"/")),
            rest => rest.starts_with(b"/").then_some(Cow::Borrowed(rest)),
        };
    }
    let resolved = resolve(path, Some(prefix.len())).ok()?;
    let behind = resolved.bytes.strip_prefix(prefix.as_bytes())?;
    match (behind.first(), resolved.origin) {
        (None, _) => Some(Cow::Borrowed(b"/")),
        (Some(b'/'), Some(slash)) => Some(from_slash(&path[slash..])),
        _ => None,
    }
}

/// The path that begins with this slash, encoded or not. The slashes right behind it mean nothing, and at the beginning of a target
/// some servers take them for a host.
fn from_slash(rest: &[u8]) -> Cow<'_, [u8]> {
    let is_encoded = rest.starts_with(b"%");
    let behind = &rest[if is_encoded { "%2F".len() } else { 1 }..];
    let slashes = behind.iter().take_while(|byte| **byte == b'/').count();
    match rest.len() - behind.len() + slashes {
        // an encoded one, and no other behind it
        3 if slashes == 0 => Cow::Owned([b"/", behind].concat()),
        slashes => Cow::Borrowed(&rest[slashes - 1..]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::normalize;
    use crate::tests::path;

    #[test]
    fn however_the_path_is_spelled_the_rest_of_it_is_the_same_resource() {
        for (path, rest) in [
            ("/openai/v1", Some("/v1")),
            ("/openai/", Some("/")),
            ("/openai", Some("/")),
            ("/%6fpenai/v1", Some("/v1")),
            ("//openai/%2e%2e/x", None),
            ("/openai/x/%2e%2e/y", Some("/x/%2e%2e/y")),
            ("/openai%2Fv1", Some("/v1")),
            ("/openai%2f%2fv1", Some("/%2fv1")),
            ("/openai%2f//v1", Some("/v1")),
            ("/openai///v1//x", Some("/v1//x")),
            ("/openai/../openai/v1", Some("/v1")),
            ("/openai/a/../../openai/v1/%25", Some("/v1/%25")),
            ("/openai/.", Some("/.")),
            ("/openai/..", None),
            ("/openai.", None),
            ("/v1", None),
            ("*", None),
            ("/openai/%zz", None),
        ] {
            assert_eq!(strip(path.as_bytes(), "/openai").as_deref(), rest.map(str::as_bytes), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_has_the_normal_form_of_what_was_behind_the_prefix(path in path(), start in path()) {
            for path in [format!("/a{path}"), format!("{start}/a{path}"), path] {
                let Ok(normal) = normalize(&path) else { continue };
                let behind = normal.strip_prefix("/a").filter(|rest| rest.is_empty() || rest.starts_with('/'));
                let stripped = strip(path.as_bytes(), "/a").map(|rest| String::from_utf8(rest.into_owned()).unwrap());
                prop_assert_eq!(stripped.is_some(), behind.is_some(), "{}", path);
                if let (Some(stripped), Some(behind)) = (stripped, behind) {
                    prop_assert!(stripped.starts_with('/') && !stripped.starts_with("//"), "{}", stripped);
                    let again = normalize(&stripped).unwrap();
                    prop_assert_eq!(again, if behind.is_empty() { "/" } else { behind }, "{}", path);
                }
            }
        }
    }
}
