//! Reads a file of keys: a YAML list, one part after another, so that a million keys need no more memory than their set. Does not
//! watch it.

use std::path::Path;

use located_yaml::{Located, Location, Reader};
use watched_file::{Fingerprint, Unreadable};

use crate::key_set::{KeySet, KeySetBuilder};
use crate::settings::KeySettings;

/// What each of `max_keys` may take of the file, and of the memory for the keys in force. The file and two sets, the old one and
/// the new one, are [`PER_KEY`] together.
const TEXT_PER_KEY: usize = 256;
const SET_PER_KEY: usize = 384;
/// What each of `max_keys` may take in all, in bytes.
pub(crate) const PER_KEY: u64 = (TEXT_PER_KEY + 2 * SET_PER_KEY) as u64;
/// What a short list may take beyond that: comments, long names.
const ALLOWANCE: usize = 64 << 10;
/// Items that are read at a time.
const PART: usize = 1000;

/// The keys of a file of at most so many, and what it looked like.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it: each place, as `FILE:LINE:COL: where: what`.
pub(crate) fn read(path: &Path, max_keys: usize) -> Result<(KeySet, Fingerprint), String> {
    let most = max_keys * TEXT_PER_KEY + ALLOWANCE;
    let (bytes, fingerprint) = watched_file::read(path, most).map_err(|error| match error {
        Unreadable::System(_) => format!("{}: {error}", path.display()),
        Unreadable::TooLong => {
            format!("{}: is longer than {most} bytes, which `max_keys: {max_keys}` bounds", path.display())
        }
    })?;
    parse(&path.display().to_string(), &bytes, max_keys).map(|keys| (keys, fingerprint))
}

fn parse(name: &str, bytes: &[u8], max_keys: usize) -> Result<KeySet, String> {
    let reader = Reader::new(&|_| None);
    let text = reader.text(name, bytes).map_err(|errors| errors.to_string())?;
    let mut builder = KeySetBuilder::new(max_keys * SET_PER_KEY + ALLOWANCE);
    let (mut lines, mut count) = (0, 0);
    for part in Parts(Some(text)) {
        let Ok(document) = reader.read::<Vec<Located<KeySettings>>>(name, part, |_, _| {}) else {
            return Err(errors(&reader, name, part, lines));
        };
        for key in document.value {
            if count == max_keys {
                return Err(format!("{name}: has more keys than `max_keys`, which is {max_keys}"));
            }
            builder.add(&key).map_err(|unfit| {
                let at = Location { line: lines + key.at.line, ..key.at };
                reader.errors_at(name, text, vec![(at, format!("[{count}]"), unfit.to_string())]).to_string()
            })?;
            count += 1;
        }
        lines += part.matches('\n').count();
    }
    Ok(builder.build())
}

/// What is wrong with a part behind so many lines, each error with its line in the whole.
fn errors(reader: &Reader<'_>, name: &str, part: &str, lines: usize) -> String {
    let placed = "\n".repeat(lines) + part;
    let read = reader.read::<Vec<Located<KeySettings>>>(name, &placed, |_, _| {});
    read.err().map(|errors| errors.to_string()).unwrap_or_default()
}

/// A text cut before items of its list, which begin at the left edge. A text with another form is one part, and so is an empty
/// one, which is no list.
struct Parts<'a>(Option<&'a str>);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.take()?;
        let mut items = rest.match_indices("\n- ").map(|(at, _)| at + 1).skip(PART - 1);
        let (part, left) = rest.split_at(items.next().unwrap_or(rest.len()));
        self.0 = Some(left).filter(|left| !left.is_empty());
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn item(n: usize) -> String {
        format!("- {{ name: k{n}, sha256: {} }}\n", Digest::of(n.to_string().as_bytes()))
    }

    fn parsed(text: &str) -> Result<KeySet, String> {
        parse("keys.yaml", text.as_bytes(), 10_000)
    }

    #[test]
    fn a_long_list_is_read_in_parts_as_a_whole_would_be() {
        for count in [1, PART - 1, PART, PART + 1, 3 * PART + 7] {
            let text = format!("# keys\n---\n{}", (0..count).map(item).collect::<String>());
            let keys = parsed(&text).unwrap();
            assert_eq!(keys.len(), count);
            for n in [0, count / 2, count - 1] {
                let found = keys.find(&Digest::of(n.to_string().as_bytes())).unwrap();
                assert_eq!(*found.name, *format!("k{n}"));
            }
        }
        let indented =
            "  - name: a\n    sha256: ".to_owned() + &Digest::of(b"1").to_string() + "\n    limits: { tokens: 5/m }\n";
        assert_eq!(parsed(&indented).unwrap().len(), 1);
        assert_eq!(parsed("[]").unwrap().len(), 0);
    }

    #[test]
    fn an_error_has_its_line_wherever_it_stands() {
        let (head, wrong) =
            ((0..2500).map(item).collect::<String>(), "- { name: x, sha256: tg_Ab12Cd0123456789012345678 }\n");
        let error = parsed(&(head.clone() + wrong + &item(2600))).unwrap_err();
        assert!(error.contains("keys.yaml:2501:22:") && !error.contains("Ab12Cd"), "{error}");
        let error = parsed(&(head.clone() + &item(7))).unwrap_err();
        assert!(error.contains("keys.yaml:2501:3: [2500]: another key has the same name"), "{error}");
        let twice = item(7).replace("k7", "other");
        let error = parsed(&(head + &twice)).unwrap_err();
        assert!(error.contains("keys.yaml:2501:3: [2500]: the key `k7` has the same digest"), "{error}");
    }

    #[test]
    fn what_is_no_list_of_keys_is_an_error_and_never_no_keys() {
        for text in ["", "# nothing\n", "keys:\n- { name: a }\n", "{}", "- a\n", "- { name: a }\n", "\u{0}"] {
            assert!(parsed(text).unwrap_err().contains("keys.yaml:"), "{text}");
        }
        assert!(parse("keys.yaml", b"\xff", 1).unwrap_err().contains("UTF-8"));
        let two = item(1) + &item(2);
        assert!(parse("keys.yaml", two.as_bytes(), 1).unwrap_err().contains("more keys than `max_keys`"));
    }
}
