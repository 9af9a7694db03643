//! The path by which requests are matched: percent-decoded once, `//` merged, `.` and `..` resolved, as nginx does it
//! (`ngx_http_parse_complex_uri`). The path that is sent upstream stays as it came.
//!
//! ```
//! assert_eq!(url_path::normalize("/v1//x/../mess%61ges").as_deref(), Ok("/v1/messages"));
//! assert!(url_path::normalize("/../etc").is_err());
//! ```
//!
//! Where something is sent in the place of the path, [`strip`] takes a prefix off it as it came, and [`encode_path`] writes a decoded
//! piece so that it is read back as that piece.

mod encode;
mod strip;

use std::borrow::Cow;
use std::fmt;

pub use encode::{encode_path, encode_query, percent_encode, percent_encoded};
pub use strip::strip;

/// Why a path cannot be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    /// A `%` without two hexadecimal digits behind it.
    Escape,
    /// `%00`: many servers end a string there.
    Nul,
    /// More `..` than there are segments before them.
    AboveRoot,
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escape => "The path has an invalid percent-encoding",
            Self::Nul => "The path has a NUL character",
            Self::AboveRoot => "The path leads above its root",
        })
    }
}

impl std::error::Error for InvalidPath {}

/// The path in the form in which it is matched. Borrowed where it has that form already, as nearly always.
///
/// `%2F` counts as a slash; a decoded `%`, `#` or `?` is a character like any other, and so are `\` and `;`. Letter case
/// counts. What follows a raw `#` is left out. Decoded bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// Why it has no such form; the request deserves status 400.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, InvalidPath> {
    let bytes = path.as_bytes();
    // `*` is no path, and has one spelling only
    if !bytes.starts_with(b"/") || is_normal(bytes) {
        return Ok(Cow::Borrowed(path));
    }
    let normal = String::from_utf8(resolve(bytes, None)?.bytes);
    Ok(Cow::Owned(normal.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
}

/// Whether a path has segments of dots that a server would resolve, encoded ones included.
#[must_use]
pub fn has_dot_segments(path: &str) -> bool {
    if memchr::memchr2(b'%', b'.', path.as_bytes()).is_none() {
        return false;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(if byte == b'%' { unescape(rest.next(), rest.next()).unwrap_or(byte) } else { byte });
    }
    decoded.split(|byte| *byte == b'/').any(is_dots)
}

/// Whether the path is in its normal form as it stands.
fn is_normal(path: &[u8]) -> bool {
    let mut segments = path[1..].split(|byte| *byte == b'/');
    let last = segments.next_back().unwrap_or_default();
    memchr::memchr2(b'%', b'#', path).is_none()
        && !is_dots(last)
        && segments.all(|segment| !segment.is_empty() && !is_dots(segment))
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// What the end of the output is.
enum End {
    Name,
    Slash,
    Dot,
    DotDot,
}

/// A path in its normal form.
struct Resolved {
    bytes: Vec<u8>,
    /// Where the byte at the wanted place came from: its index in the path as it came.
    origin: Option<usize>,
}

/// Resolves a path, and finds out where the byte that stands at `wanted` afterwards came from.
fn resolve(path: &[u8], wanted: Option<usize>) -> Result<Resolved, InvalidPath> {
    let mut normal = Vec::with_capacity(path.len());
    let mut origin = None;
    let mut end = End::Name;
    let mut rest = path.iter();
    loop {
        let at = path.len() - rest.as_slice().len();
        let Some(&byte) = rest.next() else { break };
        let byte = match byte {
            b'#' => break,
            b'%' => unescape(rest.next().copied(), rest.next().copied())?,
            byte => byte,
        };
        end = match (end, byte) {
            (End::Slash, b'/') => End::Slash,
            (End::Dot, b'/') => {
                normal.pop();
                End::Slash
            }
            (End::DotDot, b'/') => {
                leave_segment(&mut normal)?;
                End::Slash
            }
            (before, byte) => {
                if wanted == Some(normal.len()) {
                    // the last one counts: what was there before was left again
                    origin = Some(at);
                }
                normal.push(byte);
                match (before, byte) {
                    (_, b'/') => End::Slash,
                    (End::Slash, b'.') => End::Dot,
                    (End::Dot, b'.') => End::DotDot,
                    _ => End::Name,
                }
            }
        };
    }
    match end {
        End::Dot => drop(normal.pop()),
        End::DotDot => leave_segment(&mut normal)?,
        End::Name | End::Slash => {}
    }
    let origin = origin.filter(|_| wanted.is_some_and(|wanted| wanted < normal.len()));
    Ok(Resolved { bytes: normal, origin })
}

fn unescape(high: Option<u8>, low: Option<u8>) -> Result<u8, InvalidPath> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(InvalidPath::Escape) };
    match u8::try_from(high << 4 | low) {
        Ok(0) | Err(_) => Err(InvalidPath::Nul),
        Ok(byte) => Ok(byte),
    }
}

/// Takes `/..` off the end, and the segment before it up to its slash.
fn leave_segment(normal: &mut Vec<u8>) -> Result<(), InvalidPath> {
    let above = &normal[..normal.len() - b"/..".len()];
    let slash = above.iter().rposition(|byte| *byte == b'/').ok_or(InvalidPath::AboveRoot)?;
    normal.truncate(slash + 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_a_path_have_one_normal_form() {
        for (path, normal) in [
            ("/", "/"),
            ("/v1/messages", "/v1/messages"),
            ("/v1/messages/", "/v1/messages/"),
            ("//v1///messages//", "/v1/messages/"),
            ("/./v1/./messages/.", "/v1/messages/"),
            ("/v1/messages/../admin/keys", "/v1/admin/keys"),
            ("/v1/x/..", "/v1/"),
            ("/a/../b/../c", "/c"),
            ("/%761/mess%61ges", "/v1/messages"),
            ("/v1%2Fmessages%2f%2E%2e%2Fadmin", "/v1/admin"),
            ("/a%2f%2fb", "/a/b"),
            ("/%2561", "/%61"),
            ("/a%23b%3Fc#d/../e", "/a#b?c"),
            ("/a\\..\\b", "/a\\..\\b"),
            ("/a;x=1/..;/b", "/a;x=1/..;/b"),
            ("/...", "/..."),
            ("/.well-known/..x/.", "/.well-known/..x/"),
            ("/a./b..", "/a./b.."),
            ("/V1/Messages", "/V1/Messages"),
            ("/%E2%82%AC/%ff", "/\u{20ac}/\u{fffd}"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(normalize(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_has_none() {
        for (path, why) in [
            ("/..", InvalidPath::AboveRoot),
            ("/a/../../b", InvalidPath::AboveRoot),
            ("//%2e./", InvalidPath::AboveRoot),
            ("/a%", InvalidPath::Escape),
            ("/a%2", InvalidPath::Escape),
            ("/a%zz", InvalidPath::Escape),
            ("/%+1", InvalidPath::Escape),
            ("/a%00", InvalidPath::Nul),
        ] {
            assert_eq!(normalize(path), Err(why), "{path}");
        }
    }

    #[test]
    fn segments_of_dots_are_seen_however_they_are_written() {
        for (path, has) in [
            ("/a/../b", true),
            ("/a/.", true),
            ("/a/%2e%2E/b", true),
            ("/a%2f.", true),
            ("/a/.%2fb", true),
            ("/a/%252e", false),
            ("/...", false),
            ("/.a/b.", false),
            ("/a%2f%2fb", false),
            ("/", false),
        ] {
            assert_eq!(has_dot_segments(path), has, "{path}");
        }
    }

    #[test]
    fn a_path_in_normal_form_is_not_copied() {
        for path in ["/", "/v1/messages", "/v1/messages/", "/.well-known/a..b/...", "*"] {
            assert!(matches!(normalize(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    /// The same by segments, on the decoded whole.
    fn naive(path: &str) -> Result<String, InvalidPath> {
        let path = path.split('#').next().unwrap_or_default().as_bytes();
        let (mut decoded, mut at) = (Vec::new(), 0);
        while at < path.len() {
            if path[at] == b'%' {
                let digits = path.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                let digits = std::str::from_utf8(digits.ok_or(InvalidPath::Escape)?).unwrap();
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                at += 3;
            } else {
                decoded.push(path[at]);
                at += 1;
            }
        }
        if decoded.contains(&0) {
            return Err(InvalidPath::Nul);
        }
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        let segments: Vec<&str> = decoded.split('/').skip(1).collect();
        let mut names = Vec::new();
        for segment in &segments {
            match *segment {
                "" | "." => {}
                ".." => drop(names.pop().ok_or(InvalidPath::AboveRoot)?),
                name => names.push(name),
            }
        }
        let folder = segments.last().is_none_or(|last| matches!(*last, "" | "." | ".."));
        let end = if folder && !names.is_empty() { "/" } else { "" };
        Ok(format!("/{}{end}", names.join("/")))
    }

    pub(crate) fn path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", ".", ".", "..", "a", "b;c", "\\", "%2f", "%2E", "%2e", "%61", "%25", "%23", "%3f", "%ff",
            "%", "%0", "%00", "#", "é",
        ]);
        let usual = prop::sample::select(vec!["/", "/", ".", "..", "a", "b", "%2F", "%2e", "%25", "%c3%a9"]);
        prop_oneof![prop::collection::vec(piece, 0..12), prop::collection::vec(usual, 0..16)]
            .prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn it_equals_the_naive_way_by_segments(path in path()) {
            let (ours, naive) = (normalize(&path).map(Cow::into_owned), naive(&path));
            // of two faults either may be found first
            prop_assert_eq!(ours.as_ref().ok(), naive.as_ref().ok());
        }

        #[test]
        fn a_normal_form_is_its_own_and_never_leaves_the_root(path in path()) {
            let Ok(normal) = normalize(&path) else { return Ok(()) };
            prop_assert!(normal.starts_with('/') && !normal.contains("//"));
            prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
            let escaped = normal.replace('%', "%25").replace('#', "%23");
            let again = normalize(&escaped).map(Cow::into_owned);
            prop_assert_eq!(again, Ok(normal.into_owned()));
        }
    }
}
