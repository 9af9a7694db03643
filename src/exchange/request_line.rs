//! The first line of an HTTP/1.1 request, before Pingora parses it. A target in absolute form is brought into origin form, bytes that
//! Pingora's URIs cannot hold are percent-encoded, and a target that two parsers could end in two places is refused.

use url_path::percent_encoded;

use super::authority;

/// Why a line is refused.
pub const SPACE_IN_TARGET: &str = "The request target holds a space or a control character";
/// Why a line is refused that was not looked at before Pingora parsed it.
pub const NOT_PLAIN: &str = "Behind an empty line, or before the answer to the request before it, a request has a target in origin form, of \
                             bytes that a URI may have";

/// A line that Pingora gets in another form than it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The line that Pingora gets, without its end.
    pub line: Vec<u8>,
    /// What the line said and does not say any more.
    pub as_sent: AsSent,
}

/// What Pingora is not told of a target.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AsSent {
    /// The target that Pingora was given in its place.
    pub given: Box<[u8]>,
    /// The authority of a target in absolute form, and the port of its scheme.
    pub authority: Option<(Box<[u8]>, u16)>,
    /// The bytes to send upstream, where they are not UTF-8.
    pub raw: Option<Box<[u8]>>,
}

/// Looks at a line without its end. `None` if Pingora gets it as it is, which is how most lines are, and all that are no HTTP.
///
/// # Errors
/// [`SPACE_IN_TARGET`].
pub fn read(line: &[u8]) -> Result<Option<Rewritten>, &'static str> {
    if is_plain(line) {
        return Ok(None);
    }
    let Some((method, target, version)) = split(line) else { return Ok(None) };
    if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(SPACE_IN_TARGET);
    }
    let (authority, origin_form) = match absolute(target) {
        Some((authority, port, rest)) => (Some((authority.into(), port)), rooted(method, rest)),
        None if target[0] == b'/' => (None, target.to_vec()),
        // Pingora knows the other forms, and refuses what is none
        None => return Ok(None),
    };
    let (encoded, raw) = encode(&origin_form);
    if authority.is_none() && encoded == target {
        return Ok(None);
    }
    let line = [method, b" ", &encoded, b" ", version].concat();
    Ok(Some(Rewritten { line, as_sent: AsSent { given: encoded.into(), authority, raw } }))
}

/// Refuses the head of a request that is behind another, whose first line nobody looked at, if there is something to see.
///
/// # Errors
/// [`NOT_PLAIN`].
pub fn check_unread(head: &[u8]) -> Result<(), &'static str> {
    // empty lines before a head are passed over
    let line = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .find(|line| !line.is_empty());
    match read(line.unwrap_or_default()) {
        Ok(None) => Ok(()),
        _ => Err(NOT_PLAIN),
    }
}

/// Whether a line is a method, a path and a version, in bytes that need no second look. Wrong only where it says no.
fn is_plain(line: &[u8]) -> bool {
    let is_odd = |byte: u8| !(0x21..=0x7e).contains(&byte) || matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`');
    let odd = line.iter().filter(|byte| is_odd(**byte)).count();
    let target = memchr::memchr(b' ', line).and_then(|space| line.get(space + 1));
    odd == 2 && matches!(target, Some(b'/' | b'*'))
}

/// The three parts of a line, of which the middle one may hold spaces.
fn split(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = memchr::memchr(b' ', line)?;
    let last = memchr::memrchr(b' ', line)?;
    let (method, version) = (&line[..first], &line[last + 1..]);
    let target = line.get(first + 1..last).filter(|target| !target.is_empty())?;
    (method != b"CONNECT" && version.starts_with(b"HTTP/")).then_some((method, target, version))
}

/// The authority of a target in absolute form, the port of its scheme, and the rest; `None` where it is not in that form, or its authority
/// is not one.
fn absolute(target: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let scheme = memchr::memmem::find(target, b"://")?;
    let port = match &target[..scheme] {
        scheme if scheme.eq_ignore_ascii_case(b"http") => 80,
        scheme if scheme.eq_ignore_ascii_case(b"https") => 443,
        _ => return None,
    };
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    authority::is_valid(authority).then_some((authority, port, rest))
}

/// What stands behind an authority, as a path.
fn rooted(method: &[u8], rest: &[u8]) -> Vec<u8> {
    match rest {
        // RFC 9112 §3.2.4
        [] if method == b"OPTIONS" => b"*".to_vec(),
        [b'/', ..] => rest.to_vec(),
        _ => [b"/", rest].concat(),
    }
}

/// The target in bytes that Pingora's URIs hold, and those to send upstream if they differ. They can hold no `<`, `>` and `#`, no backtick
/// in a path and no quotation mark in a query, which no URI has (RFC 3986); so these go upstream encoded.
fn encode(target: &[u8]) -> (Vec<u8>, Option<Box<[u8]>>) {
    let is_utf8 = std::str::from_utf8(target).is_ok();
    let (mut encoded, mut raw) = (Vec::with_capacity(target.len() + 16), Vec::new());
    let mut in_query = false;
    for &byte in target {
        in_query |= byte == b'?';
        let passes = match byte {
            b'<' | b'>' | b'#' => false,
            b'"' => !in_query,
            b'`' => in_query,
            0x80.. => is_utf8,
            _ => true,
        };
        push(&mut encoded, byte, passes);
        if !is_utf8 {
            push(&mut raw, byte, passes || byte >= 0x80);
        }
    }
    (encoded, (!is_utf8).then(|| raw.into()))
}

fn push(text: &mut Vec<u8>, byte: u8, as_it_is: bool) {
    if as_it_is {
        text.push(byte);
    } else {
        text.extend(percent_encoded(byte));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(line: &str) -> Option<(String, Option<String>)> {
        let rewritten = read(line.as_bytes()).unwrap()?;
        let authority = rewritten.as_sent.authority.map(|(authority, _)| String::from_utf8(authority.into()).unwrap());
        Some((String::from_utf8(rewritten.line).unwrap(), authority))
    }

    #[test]
    fn most_lines_are_left_alone_and_so_is_what_is_no_http() {
        for line in [
            "GET / HTTP/1.1",
            "POST /v1/messages?beta=true&x=%20[]{}|^\\~ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET /\u{e4}?\u{4f60} HTTP/1.1",
            "GET /a\"b HTTP/1.1",
            "GET /a?b`c HTTP/1.1",
            "CONNECT a:443 HTTP/1.1",
            "GET http://u@a/ HTTP/1.1",
            "GET http://a\\@b/ HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET a/b HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET  HTTP/1.1",
            "SSH-2.0-x",
            "",
        ] {
            assert_eq!(rewritten(line), None, "{line}");
        }
    }

    #[test]
    fn a_space_or_a_control_character_in_a_target_is_refused() {
        for target in ["/a b", " /a", "/a ", "/a\tb", "/a\u{b}b", "/a\0", "/a\u{7f}", "http://a/ b", "/a\rb"] {
            assert_eq!(read(format!("GET {target} HTTP/1.1").as_bytes()), Err(SPACE_IN_TARGET), "{target:?}");
        }
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_keeps_its_authority() {
        for (line, path, authority) in [
            ("GET http://a.example/x?y HTTP/1.1", "GET /x?y HTTP/1.1", "a.example"),
            ("GET HTTPS://A:8443 HTTP/1.0", "GET / HTTP/1.0", "A:8443"),
            ("GET http://a?b HTTP/1.1", "GET /?b HTTP/1.1", "a"),
            ("GET http://[::1]:80/<x> HTTP/1.1", "GET /%3Cx%3E HTTP/1.1", "[::1]:80"),
            ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1", "a"),
            ("OPTIONS http://a?b HTTP/1.1", "OPTIONS /?b HTTP/1.1", "a"),
        ] {
            assert_eq!(rewritten(line), Some((path.to_owned(), Some(authority.to_owned()))), "{line}");
        }
    }

    #[test]
    fn bytes_that_no_uri_has_are_encoded_and_nothing_is_cut_off() {
        for (target, encoded) in [
            ("/a<b>c", "/a%3Cb%3Ec"),
            ("/a#b?c", "/a%23b?c"),
            ("/a?b#c", "/a?b%23c"),
            ("/`?`", "/%60?`"),
            ("/\"?\"", "/\"?%22"),
            ("/?<^>", "/?%3C^%3E"),
            ("/%3C<", "/%3C%3C"),
        ] {
            let line = rewritten(&format!("GET {target} HTTP/1.1")).unwrap().0;
            assert_eq!(line, format!("GET {encoded} HTTP/1.1"));
        }
    }

    #[test]
    fn what_is_not_utf_8_goes_on_as_it_came() {
        let rewritten = read(b"GET /\xff<\xc3\xa4?\xfe HTTP/1.1").unwrap().unwrap();
        assert_eq!(*rewritten.as_sent.given, *b"/%FF%3C%C3%A4?%FE");
        assert_eq!(rewritten.line, b"GET /%FF%3C%C3%A4?%FE HTTP/1.1");
        assert_eq!(rewritten.as_sent.raw.as_deref(), Some(&b"/\xff%3C\xc3\xa4?\xfe"[..]));
    }

    #[test]
    fn a_line_that_nobody_looked_at_has_to_be_plain() {
        for plain in
            ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\r\nGET / HTTP/1.1\nx: <\n\n", "CONNECT a:1 HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(check_unread(plain.as_bytes()), Ok(()), "{plain:?}");
        }
        for odd in ["GET http://a/ HTTP/1.1\r\n", "GET /#a HTTP/1.1\n", "\r\nGET /a b HTTP/1.1\r\n"] {
            assert_eq!(check_unread(odd.as_bytes()), Err(NOT_PLAIN), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn pingora_gets_only_what_its_uris_hold(target in prop::collection::vec(any::<u8>(), 0..40)) {
            let line = [&b"GET /"[..], &target, b" HTTP/1.1"].concat();
            let printable = !target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
            match read(&line) {
                Err(_) => prop_assert!(!printable),
                Ok(rewritten) => {
                    prop_assert!(printable);
                    let line = rewritten.map_or(line, |rewritten| rewritten.line);
                    let target = &line[4..line.len() - 9];
                    let uri = http::uri::PathAndQuery::try_from(target);
                    prop_assert_eq!(uri.map(|uri| uri.as_str().as_bytes().to_vec()).ok(), Some(target.to_vec()));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&line);
        }
    }
}
