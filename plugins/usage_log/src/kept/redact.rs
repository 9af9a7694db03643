//! Overwrites credentials in bytes that are kept. No byte moves: what is overwritten is as long as it was.
//!
//! Known are the caller's own key, and what by its form is a key: `Bearer …`, and the prefixes of the usual issuers. A password in
//! plain words is not known.

/// What keys begin with, and how many more of their characters there are at least.
const PREFIXES: [(&[u8], usize); 12] = [
    (b"sk-", 16),
    (b"Bearer ", 16),
    (b"bearer ", 16),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghs_", 20),
    (b"github_pat_", 20),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
    (b"AIza", 30),
    (b"AKIA", 16),
    (b"cnp_live_", 16),
];
/// A key of the caller that is shorter is no secret worth the search: it would hit words.
const SHORTEST: usize = 8;

/// Overwrites the credentials with `*`.
pub(super) fn redact(bytes: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        at += match credential(&bytes[at..], secret) {
            Some((from, length)) => {
                bytes[at + from..at + from + length].fill(b'*');
                from + length
            }
            None => 1,
        };
    }
}

/// The credential that begins here: where it does, and its length.
fn credential(bytes: &[u8], secret: &[u8]) -> Option<(usize, usize)> {
    if secret.len() >= SHORTEST && bytes.starts_with(secret) {
        return Some((0, secret.len()));
    }
    let (prefix, least) = PREFIXES.iter().find(|(prefix, _)| bytes.starts_with(prefix))?;
    let length = bytes[prefix.len()..].iter().take_while(|byte| is_of_key(**byte)).count();
    (length >= *least).then_some((prefix.len(), length))
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'+' | b'/' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_overwritten_where_they_stand_and_nothing_else_is() {
        for (text, redacted) in [
            (r#"{"k":"sk-ant-api03-abcdefghijklmnop"}"#, r#"{"k":"sk-**************************"}"#),
            ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer ********************"),
            ("my own-secret-key here", "my ************** here"),
            ("a task-oriented sk-etch, Bearer of news", "a task-oriented sk-etch, Bearer of news"),
            ("ghp_abcdefghijklmnopqrstuvwx", "ghp_************************"),
            ("", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            redact(&mut bytes, b"own-secret-key");
            assert_eq!(String::from_utf8(bytes).unwrap(), redacted);
        }
    }
}
