//! Bodies that are no call, and bodies that cannot be read with certainty.

use plugin_api::{ParsedBody, TokenLimitValue};

use super::{asked, message, read_typed};

#[test]
fn what_cannot_begin_an_object_is_no_call() {
    for body in [
        &b""[..],
        b" \n",
        b"\xEF\xBB\xBF",
        b"[{\"max_tokens\":9}]",
        b"\"{}\"",
        b"null",
        b"12",
        b"max_tokens=9",
        b"--b\r\ncontent-disposition: form-data\r\n\r\n{}",
        b"<html>",
        b"\x1f\x8b\x08",
        b"\x89PNG\r\n\x1a\n{",
        b"/etc/passwd",
        b"\xFE\xFF\x00[",
        b"\x00\x00\x00",
    ] {
        assert!(matches!(message(body).parsed(), ParsedBody::NotACall), "{body:?}");
    }
}

#[test]
fn what_begins_like_an_object_but_is_not_strict_json_cannot_be_read() {
    let utf16: Vec<u8> = r#"{"max_tokens":9}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_be: Vec<u8> = "\u{FEFF}{\"max_tokens\":9}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf32: Vec<u8> = r#"{"max_tokens":9}"#.chars().flat_map(|char| u32::from(char).to_be_bytes()).collect();
    for body in [
        &b"{"[..],
        b"{\"max_tokens\":9",
        b"{\"max_tokens\":}",
        b"{\"max_tokens\":9}}",
        b"{\"max_tokens\":9}\0",
        b"{}{\"max_tokens\":9}",
        b"{\"max_tokens\":9,}",
        b"{\"max_tokens\":09}",
        b"{\"max_tokens\":+9}",
        b"{\"max_tokens\":0x9}",
        b"{\"max_tokens\":9.}",
        b"{\"max_tokens\":NaN}",
        b"{\"max_tokens\":Infinity}",
        b"{\"a\":[1,{}}],\"max_tokens\":9}",
        b"{'max_tokens':9}",
        b"{max_tokens:9}",
        b"{/**/\"max_tokens\":9}",
        b"/* a comment */{\"max_tokens\":9}",
        b"// a comment\n{\"max_tokens\":9}",
        b"\xEF\xBB\xBF\xEF\xBB\xBF{}",
        b"\x0b{}",
        b"{\"a\":\"\n\",\"max_tokens\":9}",
        b"{\"a\":\"\\x41\"}",
        b"{\"a\":\"\\u12\"}",
        b"{\"\\u12\":1}",
        b"{\"a\":\"\xff\",\"max_tokens\":9}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"a\":\"\xc0\xa2\"}",
        &utf16,
        &utf16_be,
        &utf32,
    ] {
        let call = message(body.to_vec());
        assert!(matches!(call.parsed(), ParsedBody::Unreadable(_)), "{:?}", String::from_utf8_lossy(body));
        assert_eq!(call.into_body(), body, "it passes as it came");
    }
}

#[test]
fn a_charset_that_is_not_utf8_leaves_a_body_unread() {
    for content_type in ["text/plain", "application/json; charset=latin1", "", "application/x-www-form-urlencoded"] {
        assert_eq!(
            asked(&read_typed(content_type, r#"{"max_tokens":9}"#)),
            [TokenLimitValue::Tokens(9)],
            "{content_type}"
        );
    }
    for body in [r#"{"max_tokens":9}"#, "+AHs-", "[]"] {
        let call = read_typed("application/json; charset=UTF-7", body);
        assert!(matches!(call.parsed(), ParsedBody::Unreadable(reason) if reason.contains("utf-7")), "{body}");
    }
    assert!(matches!(read_typed("application/json; charset=utf-7", "").parsed(), ParsedBody::NotACall));
}
