//! The text of a model without its white space, up to a bound.

/// How many bytes of text count. Answers to the same messages that agree in so many are taken for the same.
const MOST_TEXT: usize = 2 << 10;
/// So many bytes of text are looked at together.
const PIECE: usize = 64;

/// Kinds of bytes, by their bits: what counts as text, all but white space as `char::is_whitespace` has it (it knows one more than
/// `u8::is_ascii_whitespace`); a backslash; and what is no plain ASCII in a JSON string.
const COUNTS: u8 = 1;
const BACKSLASH: u8 = 2 | COUNTS;
const OTHER: u8 = 4 | COUNTS;
const KINDS: [u8; 256] = {
    let mut kinds = [COUNTS; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b' ' => 0,
            0x09..=0x0D => OTHER & !COUNTS,
            b'\\' => BACKSLASH,
            0..0x20 | b'"' | 0x80.. => OTHER,
            _ => COUNTS,
        };
        byte += 1;
    }
    kinds
};
/// What escapes of one letter stand for; 0 for what is none.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let (letters, bytes) = (b"\"\\/bfnrt", b"\"\\/\x08\x0C\n\r\t");
    let mut at = 0;
    while at < letters.len() {
        escapes[letters[at] as usize] = bytes[at];
        at += 1;
    }
    escapes
};

/// The text, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct WordText(Vec<u8>);

impl WordText {
    /// Its bytes, without white space.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether more would count.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < MOST_TEXT
    }

    /// More text.
    pub(super) fn push(&mut self, text: &str) {
        self.0.reserve(text.len().min(MOST_TEXT - self.0.len()));
        if text.is_ascii() {
            text.as_bytes().chunks(PIECE).all(|piece| self.push_ascii(piece));
        } else {
            text.split_whitespace().all(|word| self.push_piece(word.as_bytes()));
        }
    }

    /// Pushes ASCII without its white space; whether there is room for more.
    fn push_ascii(&mut self, piece: &[u8]) -> bool {
        let (mut kept, mut length) = ([0; PIECE], 0);
        // each byte takes the place of the one before if that was a space: no branch to be guessed wrong, and none for the bound
        let (blocks, rest) = piece.as_chunks::<8>();
        for block in blocks {
            // eight in a row without a loop
            for byte in block {
                kept[length % PIECE] = *byte;
                length += usize::from(KINDS[usize::from(*byte)] & COUNTS);
            }
        }
        for byte in rest {
            kept[length % PIECE] = *byte;
            length += usize::from(KINDS[usize::from(*byte)] & COUNTS);
        }
        self.push_piece(&kept[..length])
    }

    /// More text, as the inside of a JSON string, if it is ASCII with escapes of one letter alone. Otherwise nothing is pushed.
    pub(super) fn push_escaped(&mut self, json: &[u8]) -> bool {
        let before = self.0.len();
        self.0.reserve(json.len().min(MOST_TEXT - before));
        let mut at = 0;
        while at < json.len() {
            let (mut kept, mut length) = ([0; PIECE], 0);
            // the last byte may be half of an escape, which is read to its end
            let end = json.len().min(at + PIECE);
            while at < end {
                let mut byte = json[at];
                let mut kind = KINDS[usize::from(byte)];
                if kind > COUNTS {
                    byte = json.get(at + 1).map_or(0, |letter| ESCAPES[usize::from(*letter)]);
                    if kind != BACKSLASH || byte == 0 {
                        self.0.truncate(before);
                        return false;
                    }
                    kind = KINDS[usize::from(byte)] & COUNTS;
                    at += 1;
                }
                kept[length % PIECE] = byte;
                length += usize::from(kind);
                at += 1;
            }
            self.push_piece(&kept[..length]);
        }
        true
    }

    /// Pushes what there is room for; whether there is room for more.
    fn push_piece(&mut self, word: &[u8]) -> bool {
        let room = MOST_TEXT - self.0.len();
        self.0.extend_from_slice(&word[..word.len().min(room)]);
        word.len() < room
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn white_space_is_what_unicode_has(text in prop_oneof!["[ -~\t\n\x0B\x0C\r\x1C\x1F]{0,40}", any::<String>()]) {
            let mut words = WordText::default();
            words.push(&text);
            prop_assert_eq!(words.0, text.split_whitespace().collect::<String>().into_bytes());
        }
    }

    #[test]
    fn a_text_ends_where_there_is_no_more_room() {
        let mut words = WordText::default();
        words.push(&"word ".repeat(2_000));
        assert!(!words.has_room() && words.0.len() == MOST_TEXT);
    }
}
