//! Overwrites credentials in bytes that are kept. No byte moves: what is overwritten is as long as it was.
//!
//! Known are the caller's own key, and what by its form is a key: `Bearer …`, and the prefixes of the usual issuers. Not known are a
//! password in plain words, what is compressed, and a key that a stream spells in several events.

use std::ops::Range;

use memchr::memmem;

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
/// Where the bytes end, a key may have been cut: this part of the least that it has makes it one.
const CUT: usize = 4;

/// Overwrites the credentials with `*`. The bytes may end anywhere: of a key that is cut there, less than half remains.
pub(super) fn redact(bytes: &mut [u8], secret: &[u8]) {
    let mut found = Vec::new();
    if secret.len() >= SHORTEST {
        found.extend(memmem::find_iter(bytes, secret).map(|from| from..from + secret.len()));
        found.extend(cut(bytes, secret));
    }
    for (prefix, least) in PREFIXES {
        by_form(bytes, prefix, least, &mut found);
    }
    for range in found {
        bytes[range].fill(b'*');
    }
}

/// What the bytes end with that is half of the secret or more, from its beginning on.
fn cut(bytes: &[u8], secret: &[u8]) -> Option<Range<usize>> {
    let length = (secret.len().div_ceil(2)..secret.len()).rev().find(|length| bytes.ends_with(&secret[..*length]))?;
    Some(bytes.len() - length..bytes.len())
}

/// What is a key by its form.
fn by_form(bytes: &[u8], prefix: &[u8], least: usize, found: &mut Vec<Range<usize>>) {
    let mut end = 0;
    for at in memmem::find_iter(bytes, prefix) {
        let from = at + prefix.len();
        // what begins within the characters of another ends with it
        if from < end {
            continue;
        }
        end = from + bytes[from..].iter().take_while(|byte| is_of_key(**byte)).count();
        let least = if end == bytes.len() { least / CUT } else { least };
        if end - from >= least {
            found.push(from..end);
        }
    }
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
            ("Bearer ofBearer abcdefghijklmnop", "Bearer ofBearer ****************"),
            ("ghp_abcdefghijklmnopqrstuvwx", "ghp_************************"),
            ("cut: sk-abcd", "cut: sk-****"),
            ("cut: own-sec", "cut: *******"),
            ("", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            redact(&mut bytes, b"own-secret-key");
            assert_eq!(String::from_utf8(bytes).unwrap(), redacted);
        }
    }
}
