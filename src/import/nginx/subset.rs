//! Whether every path that one regular expression matches is matched by another, and whether it matches texts that are known in part.

use std::collections::{HashSet, VecDeque};

use regex_automata::dfa::Automaton;
use regex_automata::dfa::dense::{self, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

/// What an automaton may take, in bytes.
const LARGEST: usize = 1 << 20;
/// The most pairs of states that are looked at.
const MOST_PAIRS: usize = 20_000;

/// Whether it certainly is. Line ends are taken for characters like text.
pub(super) fn is_within(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (automaton(one), automaton(other)) else { return false };
    search(&one, &other).unwrap_or(false)
}

/// Whether it is certain that no path is matched by both.
pub(super) fn are_apart(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (automaton(one), automaton(other)) else { return false };
    meet(&one, &other) == Some(false)
}

/// A text whose middle is an unknown word.
#[derive(Debug)]
pub(super) struct UnknownWord<'a> {
    /// What the text begins with.
    pub(super) before: &'a str,
    /// The characters of the word.
    pub(super) alphabet: &'a [u8],
    /// The words that it is not.
    pub(super) excluded: &'a [&'a str],
    /// What it ends with.
    pub(super) after: &'a str,
}

/// Whether the expression matches every such text (`Some(true)`), none (`Some(false)`), or it depends (`None`).
pub(super) fn match_all_or_none(expression: &str, text: &UnknownWord<'_>) -> Option<bool> {
    let dfa = automaton(expression)?;
    let step = |(state, has_matched): (StateID, bool), byte: &u8| {
        let next = dfa.next_state(state, *byte);
        (next, has_matched || dfa.is_match_state(next))
    };
    let start = dfa.start_state_forward(&Input::new("")).ok()?;
    let start = text.before.as_bytes().iter().fold((start, dfa.is_match_state(start)), step);
    // with the word so far, as long as one of the known ones begins so
    let mut waiting = VecDeque::from([(start, Some(String::new()))]);
    let mut seen: HashSet<_> = waiting.iter().cloned().collect();
    let mut verdict = None;
    while let Some((at, word)) = waiting.pop_front() {
        if seen.len() > MOST_PAIRS {
            return None;
        }
        let is_other = word.as_deref().is_none_or(|word| !word.is_empty() && !text.excluded.contains(&word));
        let (end, has_matched) = text.after.as_bytes().iter().fold(at, step);
        let takes = has_matched || dfa.is_match_state(dfa.next_eoi_state(end));
        if is_other && *verdict.get_or_insert(takes) != takes {
            return None;
        }
        for character in text.alphabet {
            let longer = word.as_ref().map(|word| format!("{word}{}", char::from(*character)));
            let longer = longer.filter(|word| text.excluded.iter().any(|known| known.starts_with(word.as_str())));
            let next = (step(at, character), longer);
            if seen.insert(next.clone()) {
                waiting.push_back(next);
            }
        }
    }
    verdict
}

fn automaton(expression: &str) -> Option<DFA<Vec<u32>>> {
    let limits = dense::Config::new()
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(LARGEST))
        .determinize_size_limit(Some(LARGEST));
    // bytes, as routes compile it; a line end is a character like others
    let syntax = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
    let bytes = thompson::Config::new().utf8(false);
    dense::Builder::new().configure(limits).syntax(syntax).thompson(bytes).build(expression).ok()
}

/// Two automata side by side. The second has not matched yet: else there is nothing to look for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    first: StateID,
    has_matched: bool,
    second: StateID,
    /// How many bytes are missing of a character.
    missing: u8,
}

/// Looks for a path that the first takes and the second does not. `None` where that takes too long.
fn search(one: &DFA<Vec<u32>>, other: &DFA<Vec<u32>>) -> Option<bool> {
    let start = |dfa: &DFA<Vec<u32>>| dfa.start_state_forward(&Input::new("")).ok();
    let (first, second) = (start(one)?, start(other)?);
    // paths begin with a slash
    let start = Pair { first, has_matched: false, second, missing: 0 };
    let mut waiting: VecDeque<Pair> = step(one, other, start, b'/').into_iter().collect();
    let mut seen: HashSet<Pair> = waiting.iter().copied().collect();
    while let Some(pair) = waiting.pop_front() {
        if seen.len() > MOST_PAIRS {
            return None;
        }
        let has_matched = pair.has_matched || one.is_match_state(one.next_eoi_state(pair.first));
        if pair.missing == 0 && has_matched && !other.is_match_state(other.next_eoi_state(pair.second)) {
            return Some(false);
        }
        for byte in 0..=u8::MAX {
            if let Some(next) = step(one, other, pair, byte)
                && seen.insert(next)
            {
                waiting.push_back(next);
            }
        }
    }
    Some(true)
}

/// Looks for a path that both take. `None` where that takes too long.
fn meet(one: &DFA<Vec<u32>>, other: &DFA<Vec<u32>>) -> Option<bool> {
    let start = |dfa: &DFA<Vec<u32>>| dfa.start_state_forward(&Input::new("")).ok();
    let next = |dfa: &DFA<Vec<u32>>, (state, has_matched): (StateID, bool), byte: u8| {
        let next = dfa.next_state(state, byte);
        (next, has_matched || dfa.is_match_state(next))
    };
    let is_over = |dfa: &DFA<Vec<u32>>, (state, has_matched): (StateID, bool)| dfa.is_dead_state(state) && !has_matched;
    let takes = |dfa: &DFA<Vec<u32>>, (state, has_matched): (StateID, bool)| {
        has_matched || dfa.is_match_state(dfa.next_eoi_state(state))
    };
    // paths begin with a slash
    let first = (next(one, (start(one)?, false), b'/'), next(other, (start(other)?, false), b'/'));
    let mut waiting = VecDeque::from([first]);
    let mut seen = HashSet::from([first]);
    while let Some((here, there)) = waiting.pop_front() {
        if seen.len() > MOST_PAIRS {
            return None;
        }
        if takes(one, here) && takes(other, there) {
            return Some(true);
        }
        for byte in 0..=u8::MAX {
            let pair = (next(one, here, byte), next(other, there, byte));
            if !is_over(one, pair.0) && !is_over(other, pair.1) && seen.insert(pair) {
                waiting.push_back(pair);
            }
        }
    }
    Some(false)
}

/// The pair behind a byte; none where that is no text, where the second has matched, or where the first never will.
fn step(one: &DFA<Vec<u32>>, other: &DFA<Vec<u32>>, pair: Pair, byte: u8) -> Option<Pair> {
    // also overlong forms and surrogates: a superset of UTF-8 is enough
    let missing = match (pair.missing, byte) {
        (0, 0..=0x7f) => 0,
        (0, 0xc2..=0xdf) => 1,
        (0, 0xe0..=0xef) => 2,
        (0, 0xf0..=0xf4) => 3,
        (1..=3, 0x80..=0xbf) => pair.missing - 1,
        _ => return None,
    };
    let (first, second) = (one.next_state(pair.first, byte), other.next_state(pair.second, byte));
    let has_matched = pair.has_matched || one.is_match_state(first);
    let is_over = other.is_match_state(second) || (one.is_dead_state(first) && !has_matched);
    (!is_over).then_some(Pair { first, has_matched, second, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_matches_the_other_matches_or_not() {
        for (one, other, within) in [
            ("^/a/", "^/a", true),
            ("^/a", "^/a/", false),
            ("", "", true),
            ("^/x$", "", true),
            ("", "^/x$", false),
            ("^/a/(.*)$", "^/a(/.*)?$", true),
            ("^/(?:a|b)/", "^/[a-c]/", true),
            ("^/[a-c]/", "^/(?:a|b)/", false),
            (r"\.png$", r"\.(png|gif)$", true),
            (r"\.png", r"\.png$", false),
            ("(?i:^/A)", "^/a", false),
            ("(", "", false),
            ("^/é/", "^/(.*)$", true),
            ("^/a", "^/(.*)$", true),
        ] {
            assert_eq!(is_within(one, other), within, "{one} in {other}");
        }
    }

    #[test]
    fn an_expression_takes_all_others_than_some_words_or_none_or_some() {
        let others =
            UnknownWord { before: "", alphabet: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", excluded: &["GET", "PUT"], after: "" };
        for (expression, takes) in [
            ("^(GET|PUT)$", Some(false)),
            ("^GET", None),
            ("^(TRACK|GET)$", None),
            ("", Some(true)),
            ("[A-Z]", Some(true)),
            ("^[A-Z]{3}$", None),
            ("(", None),
        ] {
            assert_eq!(match_all_or_none(expression, &others), takes, "{expression}");
        }
    }

    #[test]
    fn expressions_meet_in_a_path_or_are_apart() {
        for (one, other, apart) in [
            ("^/a/", "^/b", true),
            ("^/a/", "x$", false),
            ("^/a/", "^/a$", true),
            ("^/(a|b)/c", "^/b/", false),
            ("(", "^/b", false),
            ("[^/]$", "/$", true),
        ] {
            assert_eq!(are_apart(one, other), apart, "{one} and {other}");
        }
    }
}
