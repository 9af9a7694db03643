//! The text of answers: words that mean nothing, one for each token.

use super::draws::{Draws, Purpose};

/// Each with the space before it. None needs an escape in JSON.
const WORDS: [&str; 64] = [
    " amber", " arrow", " autumn", " basin", " birch", " bridge", " candle", " canyon", " cedar", " circle", " cloud",
    " coast", " copper", " corner", " dawn", " delta", " ember", " falcon", " fern", " field", " flint", " forest",
    " garden", " glass", " gravel", " harbor", " hazel", " hill", " iron", " island", " ivory", " juniper", " kettle",
    " lantern", " ledger", " linen", " maple", " marble", " meadow", " mill", " mirror", " moss", " north", " oak",
    " orchard", " paper", " pebble", " pine", " plain", " quartz", " rain", " reed", " river", " salt", " silver",
    " slate", " spring", " stone", " summer", " thistle", " timber", " valley", " willow", " winter",
];

/// The words of one answer.
#[derive(Clone, Copy)]
pub(super) struct Words {
    draws: Draws,
    /// Where this text starts among the words drawn for the call; each of several choices has its own.
    start: u64,
}

impl Words {
    /// The words of a call's `choice`-th answer.
    pub(super) fn new(draws: Draws, choice: u64) -> Self {
        Self { draws, start: choice << 32 }
    }

    /// The `index`-th token, with the space that parts it from the one before.
    pub(super) fn get(self, index: u64) -> &'static str {
        // The upper bits of the draw, modulo the number of words.
        let word = WORDS[(self.draws.get(Purpose::Words, self.start + index) >> 58) as usize];
        if index == 0 { &word[1..] } else { word }
    }

    /// The first `tokens` words as one text.
    pub(super) fn text(self, tokens: u64) -> String {
        let mut text = String::new();
        for index in 0..tokens {
            text.push_str(self.get(index));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_word_for_each_token() {
        let words = Words::new(Draws::new(1, 1), 0);
        assert_eq!(words.text(0), "");
        assert_eq!(words.text(40).split(' ').count(), 40);
        assert_eq!(words.text(3), [words.get(0), words.get(1), words.get(2)].concat());
    }

    #[test]
    fn each_choice_and_each_call_has_its_own_text() {
        let text = |call, choice| Words::new(Draws::new(1, call), choice).text(16);
        assert_eq!(text(1, 0), text(1, 0));
        assert_ne!(text(1, 0), text(1, 1));
        assert_ne!(text(1, 0), text(2, 0));
    }
}
