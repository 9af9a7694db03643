//! The condition of an `if`.

use super::directive::Directive;
use super::map::Scope;
use super::request_facts::Test;
use super::text::Text;
use super::tree::Halt;

/// A condition: what is tested, how, and what the result must be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Condition {
    subject: Text,
    predicate: Predicate,
    wanted: bool,
}

/// What the subject must be.
#[derive(Debug, PartialEq, Eq)]
enum Predicate {
    /// The same as this string with variables.
    Equals(Text),
    /// What passes this test.
    Passes(Test),
}

impl Condition {
    /// The condition of an `if`.
    ///
    /// # Errors
    /// Why it has no counterpart.
    pub(super) fn parse(directive: &Directive) -> Result<Self, String> {
        let mut words: Vec<&str> = directive.args.iter().map(String::as_str).collect();
        match words.first_mut() {
            Some(first) if *first == "(" => drop(words.remove(0)),
            Some(first) => *first = first.strip_prefix('(').unwrap_or(first),
            None => return Err("it has no condition".to_owned()),
        }
        match words.last_mut() {
            Some(last) if *last == ")" => drop(words.pop()),
            Some(last) => *last = last.strip_suffix(')').unwrap_or(last),
            None => return Err("it has no condition".to_owned()),
        }
        let (subject, operator, value) = match &*words {
            [subject] => (*subject, "", ""),
            [subject, operator, value] => (*subject, *operator, *value),
            _ => return Err("files are not looked at here".to_owned()),
        };
        let expression = |any_case| Predicate::Passes(Test::Matches { expression: value.to_owned(), any_case });
        let (predicate, wanted) = match operator {
            "" => (Predicate::Passes(Test::IsTrue), true),
            "=" => (Predicate::Equals(Text::parse(value)), true),
            "!=" => (Predicate::Equals(Text::parse(value)), false),
            "~" => (expression(false), true),
            "!~" => (expression(false), false),
            "~*" => (expression(true), true),
            "!~*" => (expression(true), false),
            _ => return Err("files are not looked at here".to_owned()),
        };
        Ok(Self { subject: Text::parse(subject), predicate, wanted })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be told.
    pub(super) fn holds(&self, scope: &Scope<'_, '_>) -> Result<bool, Halt> {
        let subject = scope.expand(&self.subject)?;
        let stands = match &self.predicate {
            Predicate::Passes(test) => scope.stands(&subject, test)?,
            Predicate::Equals(other) => match scope.expand(other)?.constant() {
                Some(value) => scope.stands(&subject, &Test::Is(value))?,
                None => return Err(Halt::Never("routes cannot compare with what is part of a request".to_owned())),
            },
        };
        Ok(stands == self.wanted)
    }

    /// Whether its groups are those of an expression on something else than the path.
    pub(super) fn has_groups(&self) -> bool {
        matches!(&self.predicate, Predicate::Passes(Test::Matches { expression, .. }) if expression.contains('('))
    }

    /// What is tested.
    pub(super) fn subject(&self) -> &Text {
        &self.subject
    }

    /// The expression that the path is tested by, with its mark in front.
    pub(super) fn expression(&self) -> Option<(String, bool)> {
        match &self.predicate {
            Predicate::Passes(Test::Matches { expression, any_case }) => {
                Some((format!("{} {expression}", if *any_case { "~*" } else { "~" }), self.wanted))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::parser::parse;
    use super::*;

    #[test]
    fn a_condition_has_a_subject_a_test_and_a_wanted_result() {
        let condition = |text: &str| Condition::parse(&parse(&Rc::from("n"), &format!("if {text} {{}}")).unwrap()[0]);
        let is = |value: &str, wanted| Condition {
            subject: Text::parse("$a"),
            predicate: Predicate::Equals(Text::parse(value)),
            wanted,
        };
        assert_eq!(condition("($a = b)").unwrap(), is("b", true));
        assert_eq!(condition("( $a != \"b c\" )").unwrap(), is("b c", false));
        assert_eq!(condition("($a = \"\")").unwrap(), is("", true));
        let matches = condition("($a !~* ^x(y)$)").unwrap();
        assert_eq!(matches.expression(), Some(("~* ^x(y)$".to_owned(), false)));
        assert!(matches.has_groups());
        assert_eq!(condition("($a)").unwrap().predicate, Predicate::Passes(Test::IsTrue));
        assert!(condition("(-f $request_filename)").unwrap_err().contains("files"));
    }
}
