//! Words to look for in a text, as one expression that reads it once.

use std::borrow::Cow;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::AnyOf;

/// The most memory that the expression of a condition may take, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Words and phrases, any of which suffices. Letter case does not matter. `*` stands for any letters and digits, also none; behind
/// `~ ` stands an expression.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "AnyOf<Word>", into = "AnyOf<Word>")]
pub struct Words {
    written: AnyOf<Word>,
    expression: Regex,
}

/// A word, a phrase, or an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Word(String);

impl Words {
    /// Whether a text has one of them.
    #[must_use]
    pub fn are_in(&self, text: &str) -> bool {
        self.expression.is_match(text)
    }
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        pattern(text).map(|_| Self(text.to_owned()))
    }
}

impl TryFrom<AnyOf<Word>> for Words {
    type Error = String;

    fn try_from(written: AnyOf<Word>) -> Result<Self, String> {
        let all = written.values().iter().map(|word| pattern(&word.0)).collect::<Result<Vec<_>, _>>()?;
        let expression = RegexBuilder::new(&all.join("|"))
            .case_insensitive(true)
            .size_limit(MOST_BYTES)
            .dfa_size_limit(MOST_BYTES)
            .build()
            .map_err(|_| {
                format!("the words take more than {MOST_BYTES} bytes of memory; wanted fewer or simpler ones")
            })?;
        Ok(Self { written, expression })
    }
}

impl From<Words> for AnyOf<Word> {
    fn from(words: Words) -> Self {
        words.written
    }
}

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        AnyOf::<Word>::json_schema(generator)
    }
}

/// The expression of a word: whole words, whatever stands between those of a phrase.
fn pattern(word: &str) -> Result<String, String> {
    if let Some(expression) = word.strip_prefix("~ ") {
        let error = match Regex::new(expression) {
            Ok(_) => return Ok(format!("(?:{expression})")),
            Err(error) => error.to_string(),
        };
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        return Err(format!("`{word}` is no expression: {reason}"));
    }
    let words: Vec<_> =
        word.split_whitespace().map(|word| regex::escape(word).replace(r"\*", r"[\p{L}\p{N}_]*")).collect();
    if words.is_empty() {
        return Err("a word is empty; wanted a word, a phrase, or `~ ` and an expression".to_owned());
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let bounded =
        |c: Option<char>, edge: &'static str| if c.is_some_and(|c| is_word(c) || c == '*') { edge } else { "" };
    let (first, last) = (word.trim_start().chars().next(), word.trim_end().chars().next_back());
    // an edge of a word as it is for all scripts, which automata know only for ASCII
    let start = bounded(first, r"(?:^|[^\p{L}\p{N}_])");
    let end = bounded(last, r"(?:$|[^\p{L}\p{N}_])");
    Ok(format!("{start}{}{end}", words.join(r"\s+")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Words {
        serde_json::from_value(serde_json::json!(words)).unwrap()
    }

    #[test]
    fn whole_words_are_found_whatever_their_case() {
        let found = words(&["prove", "refactor*", "step by step", "C++"]);
        for text in
            ["Prove it", "please prove", "REFACTORING this", "refactor", "step  by\nstep", "in C++, please", "(prove)"]
        {
            assert!(found.are_in(text), "{text}");
        }
        for text in ["", "improve", "approved", "a refractory", "step by", "prover", "C+"] {
            assert!(!found.are_in(text), "{text}");
        }
    }

    #[test]
    fn words_of_all_scripts_have_edges() {
        let found = words(&["докажи", "größe"]);
        assert!(found.are_in("Докажи теорему") && found.are_in("die GRÖSSE? nein, die Größe!"));
        assert!(!found.are_in("докажите") && !found.are_in("übergröße"));
    }

    #[test]
    fn an_expression_stands_behind_a_tilde() {
        assert!(words(&[r"~ \bO\(n\^?\d\)"]).are_in("is it o(n2)?"));
        assert_eq!("~ (".parse::<Word>().unwrap_err(), "`~ (` is no expression: unclosed group");
        assert!("  ".parse::<Word>().is_err());
        assert!(serde_json::from_str::<Words>("[]").is_err());
    }
}
