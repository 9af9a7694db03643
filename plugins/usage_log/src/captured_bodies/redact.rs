//! Overwrites credentials in bytes that are kept. No byte moves: what is overwritten is as long as it was.
//!
//! Known are the caller's own credentials, and what by its form is a key: `Bearer …`, and the prefixes of the usual issuers. Not
//! known are a password in plain words, what is compressed, and a key that a stream spells in several events.
//!
//! It takes time in proportion to the bytes and to the credentials, however those are made.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;
use plugin_api::http::HeaderMap;
use plugin_api::secrets;

/// What keys begin with, and how many more of their characters there are at least.
const PREFIXES: [(&[u8], usize); 13] = [
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
    (b"tg_", 38),
];
/// A credential of the caller that is shorter is no secret worth the search: it would hit words.
const SHORTEST: usize = 8;
/// So many credentials are looked for one by one. Of more, only their beginnings are.
const EACH: usize = 32;
/// Where the bytes end, a key may have been cut: this part of the least that it has makes it one.
const CUT: usize = 4;

/// The credentials that are taken out wherever they stand: the caller's, and those that the gateway sends to upstreams.
#[derive(Debug)]
pub(crate) struct Secrets {
    callers: Vec<Box<[u8]>>,
    gateways: Arc<[Box<str>]>,
}

impl Secrets {
    /// Those in the head of a request, and the gateway's.
    pub(crate) fn of(headers: &HeaderMap, gateways: &Arc<[Box<str>]>) -> Self {
        Self { gateways: gateways.clone(), ..Self::new(secrets(headers)) }
    }

    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        let mut all: Vec<Box<[u8]>> = secrets.filter(|secret| secret.len() >= SHORTEST).map(Box::from).collect();
        all.sort_unstable();
        all.dedup();
        Self { callers: all, gateways: Arc::default() }
    }

    fn mark(&self, bytes: &[u8], marks: &mut Marks) {
        self.gateways.iter().for_each(|secret| mark_each(bytes, secret.as_bytes(), marks));
        if self.callers.len() <= EACH {
            self.callers.iter().for_each(|secret| mark_each(bytes, secret, marks));
        } else {
            self.mark_beginnings(bytes, marks);
        }
    }

    /// Marks more than any of them can be where any of them may begin.
    fn mark_beginnings(&self, bytes: &[u8], marks: &mut Marks) {
        let beginnings: HashSet<&[u8]> = self.callers.iter().map(|secret| &secret[..SHORTEST]).collect();
        let longest = self.callers.iter().map(|secret| secret.len()).max().unwrap_or_default();
        let mut marked = 0;
        for (at, _) in bytes.windows(SHORTEST).enumerate().filter(|(_, window)| beginnings.contains(window)) {
            let end = (at + longest).min(bytes.len());
            marks.add(at.max(marked)..end);
            marked = end;
        }
    }
}

/// Overwrites the credentials with `*`. The bytes may end anywhere: of a key that is cut there, less than half remains.
pub(super) fn redact(bytes: &mut [u8], secrets: &Secrets) {
    let mut marks = Marks { words: Vec::new(), length: bytes.len() };
    secrets.mark(bytes, &mut marks);
    for (prefix, least) in PREFIXES {
        mark_forms(bytes, prefix, least, &mut marks);
    }
    marks.overwrite(bytes);
}

/// Marks every occurrence of a secret, those that overlap included, and half of it or more where the bytes end. Knuth's, Morris'
/// and Pratt's search, so that no secret makes it look at a byte again and again.
fn mark_each(bytes: &[u8], secret: &[u8], marks: &mut Marks) {
    let beginning = memmem::Finder::new(&secret[..SHORTEST]);
    let mut borders = None;
    // behind this there is no room for a beginning
    let tail = bytes.len().saturating_sub(SHORTEST - 1);
    let (mut at, mut matched, mut marked) = (0, 0, 0);
    while at < bytes.len() {
        if matched == 0 && at < tail {
            at = beginning.find(&bytes[at..]).map_or(tail, |found| at + found);
        }
        let Some(byte) = bytes.get(at) else { break };
        while matched > 0 && secret[matched] != *byte {
            matched = borders.get_or_insert_with(|| borders_of(secret))[matched - 1] as usize;
        }
        matched += usize::from(secret[matched] == *byte);
        at += 1;
        if matched == secret.len() {
            marks.add(marked.max(at - matched)..at);
            marked = at;
            matched = borders.get_or_insert_with(|| borders_of(secret))[matched - 1] as usize;
        }
    }
    if matched >= secret.len().div_ceil(2) {
        marks.add(bytes.len() - matched..bytes.len());
    }
}

/// How long, for each beginning of a secret, the longest shorter one is that it also ends with.
fn borders_of(secret: &[u8]) -> Vec<u32> {
    let mut borders = vec![0_u32; secret.len()];
    let mut border = 0;
    for at in 1..secret.len() {
        while border > 0 && secret[at] != secret[border] {
            border = borders[border - 1] as usize;
        }
        border += usize::from(secret[at] == secret[border]);
        borders[at] = u32::try_from(border).unwrap_or(u32::MAX);
    }
    borders
}

/// Marks what is a key by its form.
fn mark_forms(bytes: &[u8], prefix: &[u8], least: usize, marks: &mut Marks) {
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
            marks.add(from..end);
        }
    }
}

/// The bytes that are to be overwritten, a bit for each. They are searched as they were until all are known.
struct Marks {
    words: Vec<u64>,
    length: usize,
}

impl Marks {
    fn add(&mut self, range: Range<usize>) {
        if self.words.is_empty() {
            self.words = vec![0; self.length.div_ceil(64)];
        }
        let mut at = range.start;
        while at < range.end {
            let bits = (64 - at % 64).min(range.end - at);
            self.words[at / 64] |= u64::MAX >> (64 - bits) << (at % 64);
            at += bits;
        }
    }

    fn overwrite(&self, bytes: &mut [u8]) {
        for (word, bytes) in self.words.iter().zip(bytes.chunks_mut(64)).filter(|(word, _)| **word != 0) {
            for (at, byte) in bytes.iter_mut().enumerate() {
                if word >> at & 1 == 1 {
                    *byte = b'*';
                }
            }
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
            ("tg_Ab12Cd0123456789abcdefghijABCDEFGHIJ012", "tg_***************************************"),
            ("tg_word and tg_other_word here", "tg_word and tg_other_word here"),
            ("cut: sk-abcd", "cut: sk-****"),
            ("cut: own-sec", "cut: *******"),
            ("", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            redact(&mut bytes, &own(&["own-secret-key"]));
            assert_eq!(String::from_utf8(bytes).unwrap(), redacted);
        }
    }

    fn own(secrets: &[&str]) -> Secrets {
        Secrets::new(secrets.iter().map(|secret| secret.as_bytes()))
    }

    fn redacted(text: &str, secrets: &Secrets) -> String {
        let mut bytes = text.as_bytes().to_vec();
        redact(&mut bytes, secrets);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secrets_that_overlap_or_hold_each_other_leave_nothing() {
        for (secrets, text, left) in [
            (&["abcdefgha"][..], "_abcdefghabcdefgha_", "_*****************_"),
            (
                &["secret-one", "secret-one-and-more"],
                "secret-one secret-one-and-more",
                "********** *******************",
            ),
            (&["abcdefgh12345678", "12345678zzzzzzzz"], "abcdefgh12345678zzzzzzzz!", "************************!"),
            (&["aaaaaaaab"], "aaaaaaaaaaaab aaaaaaa", "aaaa********* *******"),
            (&["s", "", "short"], "short is s", "short is s"),
        ] {
            assert_eq!(redacted(text, &own(secrets)), left, "{secrets:?}");
        }
    }

    #[test]
    fn a_secret_of_any_length_and_any_number_of_them_leave_nothing_in_little_time() {
        let long = "aB9-".repeat(225_000);
        let text = format!("{{\"echo\":\"{long}\",\"again\":\"{}", &long[..600_000]);
        let left = redacted(&text, &own(&[&long]));
        assert_eq!(left.matches('*').count(), 1_500_000);
        // nothing but one letter: every byte may begin it
        let same = "a".repeat(900_000);
        assert_eq!(redacted(&"a".repeat(1 << 20), &own(&[&same])), "*".repeat(1 << 20));
        let nearly = format!("{}b", "a".repeat(1 << 20));
        assert_eq!(redacted(&nearly, &own(&[&format!("{same}c"), "a-secret-"])), nearly);

        let many: Vec<String> =
            (0..10_000).map(|number| format!("{number:05}-secret-{}", "x".repeat(number % 50))).collect();
        let secrets = own(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let left = redacted(&format!("text {} text", many.join(" ")), &secrets);
        assert!(left.starts_with("text ***") && many.iter().all(|secret| !left.contains(secret.as_str())));
        let nested: Vec<String> = (8..800).map(|length| "a".repeat(length)).collect();
        let secrets = own(&nested.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(redacted(&"a".repeat(1 << 20), &secrets), "*".repeat(1 << 20));
    }
}
