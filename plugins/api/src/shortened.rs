//! Texts of strangers in bounded length: what goes into records, rows, logs and labels is no longer than this.

use std::borrow::Cow;

use crate::{Answer, BatchResult, fingerprint};

/// The longest host of a record, in bytes. No name in the DNS is as long.
pub const LONGEST_HOST: usize = 255;
/// The longest path of a record, in bytes.
pub const LONGEST_PATH: usize = 2048;
/// The longest of its other texts, in bytes: a model, an id, a reason, a tenant.
pub const LONGEST_TEXT: usize = 512;

/// What stands where a text was cut.
const CUT: &str = "…";
/// The digits of its hash behind that.
const DIGITS: usize = 16;

/// A text in at most so many bytes, of which there are at least 32. One that is longer is cut between two characters and ends in
/// `…` and the first 16 hexadecimal digits of the SHA-256 of the whole, so that no two are taken for one.
#[must_use]
pub fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let kept = &text[..text.floor_char_boundary(longest.saturating_sub(CUT.len() + DIGITS))];
    let hash = fingerprint(text.as_bytes());
    Cow::Owned([kept, CUT, &hash[..DIGITS]].concat())
}

/// The same as a database takes it, which takes no NUL. Rows have their texts so: what is compared with them must be made so, too.
#[must_use]
pub fn stored_text(text: &str, longest: usize) -> Cow<'_, str> {
    let text = shortened(text, longest);
    if text.as_bytes().contains(&0) { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { text }
}

/// Cuts a text in place.
fn shorten(text: &mut String, longest: usize) {
    if text.len() > longest {
        *text = shortened(text, longest).into_owned();
    }
}

/// The same answer, each of its texts in at most [`LONGEST_TEXT`] bytes.
#[must_use]
pub fn shortened_answer(mut answer: Answer) -> Answer {
    answer.texts_mut().for_each(|text| shorten(text, LONGEST_TEXT));
    answer
}

/// The same result, each of its texts in at most [`LONGEST_TEXT`] bytes.
#[must_use]
pub fn shortened_result(mut result: BatchResult) -> BatchResult {
    result.texts_mut().for_each(|text| shorten(text, LONGEST_TEXT));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_still_known_from_others() {
        for short in ["", "a", &"é".repeat(32)] {
            assert_eq!(shortened(short, 64), short);
        }
        let (one, other) = ("é".repeat(1000), "é".repeat(1001));
        for longest in 32..70 {
            let (one, other) = (shortened(&one, longest), shortened(&other, longest));
            assert!(one.len() <= longest && longest < one.len() + 2 && one != other, "{longest}");
            assert!(one.starts_with("ééé") && one.contains(CUT));
        }
    }
}
