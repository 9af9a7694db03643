//! Fields of CSV (RFC 4180), as Postgres writes them too: quoted where they must be.

use std::fmt::Write;

/// A text. An empty one is quoted, so that it is not taken for none.
pub(crate) fn text(csv: &mut String, text: &str) {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) || text == "\\." {
        csv.push('"');
        csv.push_str(&text.replace('"', "\"\""));
        csv.push('"');
    } else {
        csv.push_str(text);
    }
}

/// Bytes: `\x` and hexadecimal digits.
pub(crate) fn bytes(csv: &mut String, bytes: &[u8]) {
    csv.push_str("\\x");
    for byte in bytes {
        // a String takes all
        let _ = write!(csv, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        let written = |field: &str| {
            let mut csv = String::new();
            text(&mut csv, field);
            csv
        };
        assert_eq!(written("plain text"), "plain text");
        assert_eq!(written("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(written(""), "\"\"");
        let mut csv = String::new();
        bytes(&mut csv, b"\0\xff");
        assert_eq!(csv, "\\x00ff");
    }
}
