//! Errors of a file: each with its place and the line it stands on.

use std::fmt;
use std::sync::Arc;

use crate::located::Location;

/// Everything that is wrong with a file, in the order of its lines. Never empty.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    errors: Vec<Diagnostic>,
    /// Whether there may be more than are reported.
    more: bool,
}

/// One error or warning. It displays as one line, `FILE:LINE:COLUMN: path: message`.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Where it stands in the file.
    pub location: Location,
    /// Which setting it is about: `routes[0].upstream`.
    pub path: String,
    /// What was found, and what was wanted.
    pub message: String,
    file: Arc<str>,
    line: Line,
}

/// A line of the file as it is shown beneath an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    text: String,
    /// Characters before the mark.
    before: usize,
    /// Characters to underline.
    width: usize,
}

impl ConfigErrors {
    pub(crate) fn new(mut errors: Vec<Diagnostic>, more: bool) -> Self {
        errors.sort_by_key(|error| error.location);
        Self { errors, more }
    }

    /// The errors, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.errors.iter()
    }

    /// All of them on one line, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut errors: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        if self.more {
            errors.push(MORE.to_owned());
        }
        errors.join(" | ")
    }
}

const MORE: &str = "there may be more errors; they show when these are gone";

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            let gap = if at > 0 { "\n\n" } else { "" };
            write!(f, "{gap}{}", error.with_line())?;
        }
        if self.more { write!(f, "\n\n{MORE}") } else { Ok(()) }
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { line, column, .. } = self.location;
        write!(f, "{}:{line}:{column}: {}: {}", self.file, self.path, self.message)
    }
}

impl Diagnostic {
    /// It and the line it stands on, with a mark beneath the place.
    #[must_use]
    pub fn with_line(&self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{self}{}", Snippet(self)))
    }

    /// An error at a place in a file, with its line there.
    pub(crate) fn new(file: Arc<str>, location: Location, path: String, message: &str, line: Line) -> Self {
        let path = if path.is_empty() { "top level".to_owned() } else { one_line(&path) };
        Self { location, path, message: one_line(message), file, line }
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether it says the same of the same place.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.location == other.location && self.message == other.message
    }
}

/// The line of an error with a mark beneath the place; nothing if the file has no such line.
struct Snippet<'a>(&'a Diagnostic);

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { location, line, .. } = self.0;
        if line.text.is_empty() {
            return Ok(());
        }
        let number = location.line.to_string();
        let margin = " ".repeat(number.len());
        // a tab takes as much room above as below
        let before: String = line.text.chars().take(line.before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(line.width);
        write!(f, "\n{margin} |\n{number} | {}\n{margin} | {before}{carets}", line.text)
    }
}

/// How much of a long line is shown before the mark, and in all.
const SHOWN_BEFORE: usize = 60;
const SHOWN: usize = 140;

pub(crate) fn excerpt(line: &str, column: usize, width: usize) -> Line {
    let from = if line.chars().count() > SHOWN { column.saturating_sub(SHOWN_BEFORE) } else { 0 };
    let printable = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let text: String = line.chars().skip(from).take(SHOWN).map(printable).collect();
    let before = column - from;
    let width = width.min(text.chars().count().saturating_sub(before)).max(1);
    Line { text: text.trim_end().to_owned(), before, width }
}

/// The text with control characters escaped: they would break the line in two or reach into a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn shown(text: &str, line: usize, column: usize, width: usize) -> String {
        let at = Location::new(line, column);
        let error = Source::new("f.yaml", text, &[]).error(at, width, "a.b".into(), "wrong\nhere");
        ConfigErrors::new(vec![error], false).to_string()
    }

    #[test]
    fn an_error_shows_its_line_and_marks_its_place() {
        let expected = "f.yaml:2:5: a.b: wrong\\nhere\n  |\n2 | \tb: [x]\n  | \t   ^^^";
        assert_eq!(shown("a:\r\n\tb: [x]\r\n", 2, 5, 3), expected);
    }

    #[test]
    fn a_place_beyond_the_file_or_its_line_is_reported_without_a_line() {
        assert_eq!(shown("a", 7, 1, 1), "f.yaml:7:1: a.b: wrong\\nhere");
        assert_eq!(shown("ab", 1, 9, 5), "f.yaml:1:9: a.b: wrong\\nhere\n  |\n1 | ab\n  |   ^");
        assert_eq!(shown("ab", 0, 0, 5), "f.yaml:1:1: a.b: wrong\\nhere");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_mark_is_shown() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let shown = shown(&text, 1, 1001, 1);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.iter().all(|line| line.len() < 150), "{shown}");
        assert_eq!(lines[2].find('X'), lines[3].find('^'));
    }
}
