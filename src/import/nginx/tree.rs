//! Decisions about a request as a tree of questions, each of which a route can ask, and the condition of a route that its answers make.

use indexmap::IndexMap;

use super::request_facts::compiled;

/// A question that a route can ask about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether this is the method.
    Method(String),
    /// Whether a header, by its name in lower case, has such a value.
    Header(String, String),
    /// Whether a parameter of the query has such a value.
    Query(String, String),
    /// Whether this is the scheme.
    Scheme(String),
    /// Whether this is the host.
    Host(String),
    /// Whether the path matches this expression, which has its mark in front.
    Path(String),
}

/// What comes of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree<T> {
    /// This, whatever else is asked.
    Leaf(T),
    /// One of two, by the answer.
    Ask(Question, Box<Tree<T>>, Box<Tree<T>>),
}

/// What is known of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Vec<(Question, bool)>);

/// What a route asks of a request: everything that was answered with yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) method: Option<String>,
    pub(super) headers: IndexMap<String, String>,
    pub(super) query: IndexMap<String, String>,
    pub(super) scheme: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
}

/// The most questions in a row, against trees that nobody wants to read.
const DEEPEST: usize = 16;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Halt {
    /// This must be asked first.
    Ask(Question),
    /// It cannot be said here, and why.
    Never(String),
}

impl<T: Clone + PartialEq> Tree<T> {
    /// The tree of all that a decision may come to.
    ///
    /// # Errors
    /// Why it cannot be made by routes.
    pub(super) fn of(mut decide: impl FnMut(&Answers) -> Result<T, Halt>) -> Result<Self, String> {
        Self::grow(&mut decide, &Answers::default())
    }

    fn grow(decide: &mut impl FnMut(&Answers) -> Result<T, Halt>, answers: &Answers) -> Result<Self, String> {
        let question = match decide(answers) {
            Ok(leaf) => return Ok(Self::Leaf(leaf)),
            Err(Halt::Never(why)) => return Err(why),
            Err(Halt::Ask(question)) => question,
        };
        if answers.0.len() >= DEEPEST {
            return Err("it depends on more than routes can tell apart".to_owned());
        }
        let yes = Self::grow(decide, &answers.with(&question, true))?;
        let no = Self::grow(decide, &answers.with(&question, false))?;
        // what comes of a yes anyway need not be asked for
        Ok(if yes == no.knowing(&question) { no } else { Self::Ask(question, Box::new(yes), Box::new(no)) })
    }

    /// What is left of it where a question was answered with yes.
    fn knowing(&self, known: &Question) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
            Self::Ask(question, yes, no) => match known.implies(question) {
                Some(true) => yes.knowing(known),
                Some(false) => no.knowing(known),
                None => {
                    let (yes, no) = (yes.knowing(known), no.knowing(known));
                    if yes == no { no } else { Self::Ask(question.clone(), Box::new(yes), Box::new(no)) }
                }
            },
        }
    }

    /// Every leaf with its conditions, in the order in which the first that holds is right.
    ///
    /// # Errors
    /// That a route cannot ask for two things at once.
    pub(super) fn leaves(self) -> Result<Vec<(Conditions, T)>, String> {
        let mut all = Vec::new();
        self.collect(&Conditions::default(), &mut all)?;
        Ok(all)
    }

    fn collect(self, conditions: &Conditions, all: &mut Vec<(Conditions, T)>) -> Result<(), String> {
        match self {
            Self::Leaf(leaf) => all.push((conditions.clone(), leaf)),
            Self::Ask(question, yes, no) => {
                yes.collect(&conditions.and(question)?, all)?;
                no.collect(conditions, all)?;
            }
        }
        Ok(())
    }
}

impl Conditions {
    fn and(&self, question: Question) -> Result<Self, String> {
        let mut both = self.clone();
        let is_free = match question {
            Question::Method(method) => both.method.replace(method).is_none(),
            Question::Header(name, pattern) => both.headers.insert(name, pattern).is_none(),
            Question::Query(name, pattern) => both.query.insert(name, pattern).is_none(),
            Question::Scheme(scheme) => both.scheme.replace(scheme).is_none(),
            Question::Host(host) => both.host.replace(host).is_none(),
            Question::Path(regex) => both.path.replace(regex).is_none(),
        };
        if is_free { Ok(both) } else { Err("a route cannot ask two things of the same part of a request".to_owned()) }
    }
}

impl Answers {
    fn with(&self, question: &Question, answer: bool) -> Self {
        let mut more = self.clone();
        more.0.push((question.clone(), answer));
        more
    }

    /// Whether nothing is known yet.
    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is about the path.
    pub(super) fn ask_for_paths(&self) -> bool {
        self.0.iter().any(|(question, _)| matches!(question, Question::Path(_)))
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// That it must be asked.
    pub(super) fn ask(&self, question: Question) -> Result<bool, Halt> {
        if let Some((_, answer)) = self.0.iter().find(|(known, _)| *known == question) {
            return Ok(*answer);
        }
        let follows = self.0.iter().find_map(|(known, answer)| if *answer { known.implies(&question) } else { None });
        follows.ok_or(Halt::Ask(question))
    }
}

impl Question {
    /// The answer to another question where this one was answered with yes; `None` where that says nothing.
    fn implies(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Method(one), Self::Method(other))
            | (Self::Scheme(one), Self::Scheme(other))
            | (Self::Host(one), Self::Host(other)) => Some(one == other),
            (Self::Header(name, value), Self::Header(other, pattern))
            | (Self::Query(name, value), Self::Query(other, pattern))
                if name == other && !value.starts_with('~') && value != "*" && !value.contains("${") =>
            {
                takes(pattern, value)
            }
            _ => None,
        }
    }
}

/// Whether a pattern of a route takes a value; `None` for one that the environment fills.
fn takes(pattern: &str, value: &str) -> Option<bool> {
    if pattern.contains("${") {
        return None;
    }
    let Some(marked) = pattern.strip_prefix('~') else { return Some(pattern == "*" || pattern == value) };
    let any_case = marked.strip_prefix('*');
    let compiled = compiled(any_case.unwrap_or(marked).trim_start(), any_case.is_some());
    compiled.ok().map(|regex| regex.is_match(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pattern: &str) -> Question {
        Question::Header("x".to_owned(), pattern.to_owned())
    }

    #[test]
    fn a_decision_becomes_leaves_of_which_the_first_that_holds_is_right() {
        let decide = |answers: &Answers| {
            if answers.ask(Question::Method("OPTIONS".to_owned()))? {
                return Ok("preflight");
            }
            Ok(if answers.ask(header("1"))? { "in" } else { "out" })
        };
        let leaves = Tree::of(decide).unwrap().leaves().unwrap();
        let told: Vec<_> = leaves.iter().map(|(c, leaf)| (c.method.as_deref(), c.headers.len(), *leaf)).collect();
        assert_eq!(told, [(Some("OPTIONS"), 0, "preflight"), (None, 1, "in"), (None, 0, "out")]);
    }

    #[test]
    fn what_makes_no_difference_is_not_asked() {
        let decide = |answers: &Answers| answers.ask(header("1")).map(|_| "same");
        assert_eq!(Tree::of(decide).unwrap(), Tree::Leaf("same"));
    }

    #[test]
    fn of_a_part_that_has_one_value_only_what_matters_is_asked() {
        let decide = |answers: &Answers| {
            for method in ["GET", "POST", "OPTIONS", "HEAD"] {
                if answers.ask(Question::Method(method.to_owned()))? {
                    return Ok(method == "OPTIONS" || answers.ask(header("1"))?);
                }
            }
            answers.ask(header("1"))
        };
        let leaves = Tree::of(decide).unwrap().leaves().unwrap();
        let told: Vec<_> = leaves.iter().map(|(c, leaf)| (c.method.as_deref(), c.headers.len(), *leaf)).collect();
        assert_eq!(told, [(Some("OPTIONS"), 0, true), (None, 1, true), (None, 0, false)]);
    }

    #[test]
    fn what_is_known_answers_what_follows_from_it() {
        let decide = |answers: &Answers| {
            let is_one = answers.ask(header("one"))?;
            Ok((is_one, is_one && answers.ask(header("~* ^O"))?, is_one && answers.ask(header("two"))?))
        };
        let leaves = Tree::of(decide).unwrap().leaves().unwrap();
        assert_eq!(
            leaves.iter().map(|(_, leaf)| *leaf).collect::<Vec<_>>(),
            [(true, true, false), (false, false, false)]
        );
    }

    #[test]
    fn two_conditions_on_one_header_cannot_be_said() {
        let decide = |answers: &Answers| Ok(answers.ask(header("~ a"))? && answers.ask(header("~ b"))?);
        assert!(Tree::of(decide).unwrap().leaves().is_err());
    }
}
