//! What is asked of `$request_method`, which may be any word. Routes ask for single ones; of all others only what holds for each can be said.

use super::request_facts::{Test, compiled};
use super::subset::{UnknownWord, match_all_or_none};
use super::tree::{Answers, Halt, Question};

/// The usual ones.
const USUAL: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "CONNECT", "TRACE"];
/// What nginx takes for a method is made of.
const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

/// The method; none where it is none of the usual ones.
///
/// # Errors
/// What must be asked first.
pub(super) fn usual(answers: &Answers) -> Result<Option<String>, Halt> {
    for method in USUAL {
        if answers.ask(Question::Method(method.to_owned()))? {
            return Ok(Some(method.to_owned()));
        }
    }
    Ok(None)
}

/// Whether an expression matches the method.
///
/// # Errors
/// What must be asked first, or that it matches some that it does not spell out.
pub(super) fn match_one(expression: &str, any_case: bool, answers: &Answers) -> Result<bool, Halt> {
    let compiled = compiled(expression, any_case)?;
    let spelled = if any_case { expression.to_ascii_uppercase() } else { expression.to_owned() };
    let spelled = spelled.split(|c: char| !c.is_ascii_uppercase()).filter(|word| word.len() > 2);
    let mut methods: Vec<&str> = USUAL.to_vec();
    methods.extend(spelled.filter(|word| !USUAL.contains(word)));
    let others = UnknownWord { before: "", alphabet: CHARACTERS, excluded: &methods, after: "" };
    let others = match_all_or_none(&marked(expression, any_case), &others);
    for method in methods {
        let matches = compiled.is_match(method.as_bytes());
        // what is as all others are need not be asked for
        if others != Some(matches) && answers.ask(Question::Method(method.to_owned()))? {
            return Ok(matches);
        }
    }
    others.ok_or_else(|| Halt::Never(format!("routes cannot ask for all methods that `{expression}` matches")))
}

/// Whether a value stands a test that holds a method which is none of the usual ones, between two texts.
///
/// # Errors
/// That it depends on the method.
pub(super) fn holds_for_other_methods(test: &Test, before: &str, after: &str) -> Result<bool, Halt> {
    let expression = match test {
        Test::IsTrue => return Ok(true),
        Test::Is(wanted) | Test::IsAnyCase(wanted) if wanted.contains("${") => None,
        Test::Is(wanted) => Some(format!("^{}$", regex::escape(wanted))),
        Test::IsAnyCase(wanted) => Some(marked(&format!("^{}$", regex::escape(wanted)), true)),
        Test::Matches { expression, any_case } => {
            compiled(expression, *any_case)?;
            Some(marked(expression, *any_case))
        }
    };
    let others = UnknownWord { before, alphabet: CHARACTERS, excluded: &USUAL, after };
    expression
        .and_then(|expression| match_all_or_none(&expression, &others))
        .ok_or_else(|| Halt::Never("it depends on methods that routes cannot ask for".to_owned()))
}

fn marked(expression: &str, any_case: bool) -> String {
    if any_case { format!("(?i:{expression})") } else { expression.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn told(expression: &str, any_case: bool) -> Result<Vec<(Option<String>, bool)>, String> {
        let leaves = Tree::of(|answers| match_one(expression, any_case, answers))?.leaves()?;
        Ok(leaves.into_iter().map(|(conditions, leaf)| (conditions.method, leaf)).collect())
    }

    #[test]
    fn methods_that_an_expression_spells_out_are_asked_for_and_others_are_never_guessed() {
        for (expression, any_case, first, second) in [
            ("^(GET|HEAD)$", false, "GET", "HEAD"),
            ("^(TRACK|DEBUG)$", false, "TRACK", "DEBUG"),
            ("^(?:track|debug)$", true, "TRACK", "DEBUG"),
        ] {
            let wanted = [(Some(first.to_owned()), true), (Some(second.to_owned()), true), (None, false)];
            assert_eq!(told(expression, any_case).unwrap(), wanted, "{expression}");
        }
        assert_eq!(told("^[A-Z_-]+$", false).unwrap(), [(None, true)]);
        for expression in ["^PROP", "^.{5}$", "FIND$"] {
            assert!(told(expression, false).unwrap_err().contains("cannot ask"), "{expression}");
        }
    }

    #[test]
    fn a_method_that_nobody_names_is_any_within_a_value() {
        let matches = |expression: &str| Test::Matches { expression: expression.to_owned(), any_case: false };
        for (test, stands) in [
            (Test::Is("a-PROPFIND0".to_owned()), None),
            (Test::IsAnyCase("A-propfind0".to_owned()), None),
            (Test::Is("a-OPTIONS0".to_owned()), Some(false)),
            (Test::Is("a-PROPFIND1".to_owned()), Some(false)),
            (Test::Is("${VALUE}".to_owned()), None),
            (Test::IsTrue, Some(true)),
            (matches("^a-OPTIONS0$"), Some(false)),
            (matches("^.*0"), Some(true)),
            (matches("^a-M"), None),
        ] {
            assert_eq!(holds_for_other_methods(&test, "a-", "0").ok(), stands, "{test:?}");
        }
    }
}
