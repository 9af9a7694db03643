//! The script of a text: the one that most of its letters belong to. A guess at its language that needs no model.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many characters of a text are looked at.
const MOST_CHARS: usize = 2048;

/// A script, by its name in Unicode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// Latin.
    Latin,
    /// Greek.
    Greek,
    /// Cyrillic.
    Cyrillic,
    /// Hebrew.
    Hebrew,
    /// Arabic.
    Arabic,
    /// Devanagari.
    Devanagari,
    /// Thai.
    Thai,
    /// Hangul: Korean.
    Hangul,
    /// Han: Chinese, and Japanese without kana.
    Han,
    /// Hiragana and katakana: Japanese. A text with any of them has this script.
    Kana,
}

impl Script {
    const ALL: [(&'static str, Self); 10] = [
        ("latin", Self::Latin),
        ("greek", Self::Greek),
        ("cyrillic", Self::Cyrillic),
        ("hebrew", Self::Hebrew),
        ("arabic", Self::Arabic),
        ("devanagari", Self::Devanagari),
        ("thai", Self::Thai),
        ("hangul", Self::Hangul),
        ("han", Self::Han),
        ("kana", Self::Kana),
    ];

    /// The script of a text; `None` where it has no letter of any that is known.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let mut letters = [0_u32; Self::ALL.len()];
        for script in text.chars().take(MOST_CHARS).filter_map(Self::of_char) {
            letters[script as usize] += 1;
        }
        if letters[Self::Kana as usize] > 0 && letters[Self::Kana as usize] + letters[Self::Han as usize] > letters[0] {
            return Some(Self::Kana);
        }
        let (_, script) = Self::ALL.into_iter().max_by_key(|(_, script)| letters[*script as usize])?;
        (letters[script as usize] > 0).then_some(script)
    }

    /// The script of a letter (Unicode's blocks).
    fn of_char(c: char) -> Option<Self> {
        Some(match c {
            'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => Self::Latin,
            '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => Self::Greek,
            '\u{400}'..='\u{52F}' => Self::Cyrillic,
            '\u{590}'..='\u{5FF}' => Self::Hebrew,
            '\u{600}'..='\u{6FF}' | '\u{750}'..='\u{77F}' | '\u{8A0}'..='\u{8FF}' => Self::Arabic,
            '\u{900}'..='\u{97F}' => Self::Devanagari,
            '\u{E00}'..='\u{E7F}' => Self::Thai,
            '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{AC00}'..='\u{D7AF}' => Self::Hangul,
            '\u{3040}'..='\u{30FF}' => Self::Kana,
            '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{20000}'..='\u{2FA1F}' => Self::Han,
            _ => return None,
        })
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, script)| script).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
            format!("`{text}` is no script that is known; wanted one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_letters_decide() {
        for (text, script) in [
            ("Hello, Größe!", Some(Script::Latin)),
            ("Привет, world", Some(Script::Cyrillic)),
            ("καλημέρα", Some(Script::Greek)),
            ("你好,世界 ok", Some(Script::Han)),
            ("東京へ行く", Some(Script::Kana)),
            ("안녕하세요", Some(Script::Hangul)),
            ("שלום", Some(Script::Hebrew)),
            ("مرحبا", Some(Script::Arabic)),
            ("नमस्ते", Some(Script::Devanagari)),
            ("สวัสดี", Some(Script::Thai)),
            ("The word ソ in a long English sentence", Some(Script::Latin)),
            ("123 + 4 = ?", None),
            ("", None),
        ] {
            assert_eq!(Script::of(text), script, "{text}");
        }
    }
}
