//! The host and the port that a request is for, as `Host` or a target in absolute form says them (RFC 9110 §7.2, RFC 3986 §3.2.2).

use std::net::Ipv6Addr;

/// Bytes of a name: RFC 3986's `reg-name`.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether this names a host, and perhaps a port. A user has no place in it.
#[must_use]
pub fn is_valid(authority: &[u8]) -> bool {
    split(authority).is_some()
}

/// Whether both name the same host and port, whatever the case of their letters. Where one has no port, it has this one.
#[must_use]
pub fn is_same(one: &[u8], other: &[u8], default_port: u16) -> bool {
    let (Some((one, one_port)), Some((other, other_port))) = (split(one), split(other)) else { return false };
    one.eq_ignore_ascii_case(other) && one_port.unwrap_or(default_port) == other_port.unwrap_or(default_port)
}

/// The host and its port, if it says one; `None` for what is neither.
fn split(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = if authority.first() == Some(&b'[') {
        let end = memchr::memchr(b']', authority)?;
        std::str::from_utf8(&authority[1..end]).ok()?.parse::<Ipv6Addr>().ok()?;
        end + 1
    } else {
        let end = authority.iter().position(|byte| !NAME[usize::from(*byte)]).unwrap_or(authority.len());
        if !is_name(&authority[..end]) {
            return None;
        }
        end
    };
    let (host, rest) = authority.split_at(end);
    match rest {
        [] | [b':'] => Some((host, None)),
        [b':', port @ ..] if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) => {
            Some((host, Some(std::str::from_utf8(port).ok()?.parse().ok()?)))
        }
        _ => None,
    }
}

/// As nginx has it: something beside a dot at the end, and no two dots in a row.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, [] | b".") && memchr::memmem::find(name, b"..").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for valid in [
            "a",
            "a.example",
            "a.example.",
            "A-b_c.example:8080",
            "1.2.3.4",
            "1.2.3.4:443",
            "[::1]",
            "[2001:db8::1]:8443",
            "a:",
            "a%20b",
            "x!$&'()*+,;=~:1",
            ".a",
        ] {
            assert!(is_valid(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "",
            ".",
            "a..b",
            "a b",
            "a\tb",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "u@a",
            "u:p@a",
            "a:b",
            "a:+1",
            "a:80:80",
            "a:65536",
            "a:000080",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[]",
            "[1.2.3.4]",
            "a[::1]",
            "<a>",
            "a\"b",
            "a^b",
            "a|b",
            "ä",
            ":80",
            "a\u{7f}",
            "a\0",
        ] {
            assert!(!is_valid(invalid.as_bytes()), "{invalid:?}");
        }
        assert!(!is_valid(b"a\xff"));
    }

    #[test]
    fn the_same_host_may_be_written_in_several_ways() {
        for (one, other, port, same) in [
            ("a.example", "A.Example", 80, true),
            ("a.example:80", "a.example", 80, true),
            ("a.example", "a.example:443", 443, true),
            ("[::1]:80", "[::1]", 80, true),
            ("a.example:", "a.example", 80, true),
            ("a.example:8080", "a.example", 80, false),
            ("a.example:80", "a.example:443", 80, false),
            ("a.example", "b.example", 80, false),
            ("a.example", "", 80, false),
            ("u@a", "u@a", 80, false),
        ] {
            assert_eq!(is_same(one.as_bytes(), other.as_bytes(), port), same, "{one} {other}");
        }
    }
}
