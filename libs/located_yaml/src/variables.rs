//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in values: recognised, and filled in. Reads no environment and no file itself.

use std::borrow::Cow;

use crate::node::{Kind, Mark, Node, Problem};

/// Characters that nobody writes (the last plane's private use area) stand for ASCII within `${…}` while YAML is
/// parsed, one for one, so that columns stay true.
const HIDING_PLACE: u32 = 0x0010_F000;

/// What the name of a file begins with.
const FILE: &str = "file:";

/// The text with its `${…}` in characters that mean nothing to YAML, whose own `{`, `}`, `:`, `,` and `#` do. Otherwise
/// `{ limit: ${LIMIT:-4000} }` would be no YAML.
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    let mut hidden = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at + 1);
        let line = variable.lines().next().unwrap_or_default();
        let end = line.find('}').map_or(0, |end| end + 1);
        hidden.push_str(before);
        hidden.extend(variable[..end].chars().map(|c| moved(c, |c| c < 0x80, |c| c + HIDING_PLACE)));
        rest = &variable[end..];
    }
    if hidden.is_empty() {
        return text.into();
    }
    hidden.push_str(rest);
    hidden.into()
}

/// The text as it was before it was hidden.
pub(crate) fn reveal(text: &str) -> String {
    text.chars().map(|c| moved(c, |c| (HIDING_PLACE..HIDING_PLACE + 0x80).contains(&c), |c| c - HIDING_PLACE)).collect()
}

fn moved(c: char, moves: impl Fn(u32) -> bool, to: impl Fn(u32) -> u32) -> char {
    if moves(c.into()) { char::from_u32(to(c.into())).unwrap_or(c) } else { c }
}

/// Gives the text of a file, or the reason why it cannot be read.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Where the contents of variables come from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// The value of `${NAME}`.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of `${file:PATH}`; `None` where files are not read.
    pub(crate) file: Option<ReadFile<'a>>,
}

/// Fills in the variables of every value. Returns what is wrong; such values keep their text.
pub(crate) fn fill(node: &mut Node, sources: Sources<'_>, problems: &mut Vec<Problem>) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| fill(item, sources, problems)),
        Kind::Mapping(entries) => entries.iter_mut().for_each(|entry| fill(&mut entry.value, sources, problems)),
        Kind::Scalar(scalar) => match filled(&scalar.text, sources) {
            Ok(None) => {}
            Ok(Some(text)) => scalar.written = Some(std::mem::replace(&mut scalar.text, text)),
            Err(messages) => {
                let (node, mark): (_, Mark) = (node.id, node.mark);
                problems.extend(messages.into_iter().map(|message| Problem { node, mark, message }));
            }
        },
    }
}

/// The text with its variables filled in; `None` if it has none.
///
/// # Errors
/// Every variable that is not set or not written as one.
fn filled(text: &str, sources: Sources<'_>) -> Result<Option<String>, Vec<String>> {
    let mut filled = String::new();
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = after;
            continue;
        }
        filled.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            wrong.push("`${` has no `}` on its line; for the two characters themselves write `$${`".to_owned());
            break;
        };
        match value(inside, sources) {
            Ok(value) => filled.push_str(&value),
            Err(message) => wrong.push(message),
        }
        rest = after;
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if rest.len() == text.len() {
        return Ok(None);
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

/// What stands for `NAME`, `NAME:-default` or `file:PATH`. The default also stands for a variable that is set to nothing, as in a
/// shell. A file's last line end is dropped: editors add one, and no secret has one.
fn value(inside: &str, sources: Sources<'_>) -> Result<String, String> {
    if let (Some(path), Some(file)) = (inside.strip_prefix(FILE), sources.file) {
        let mut text = file(path).map_err(|error| format!("the file `{path}` cannot be read: {error}"))?;
        let end = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(end.unwrap_or(text.len()));
        return Ok(text);
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name || default.is_some_and(|default| default.contains("${")) {
        let files = if sources.file.is_some() { ", or `${file:PATH}`" } else { "" };
        return Err(format!("`${{{inside}}}` is not a variable; write `${{NAME}}` or `${{NAME:-default}}`{files}"));
    }
    match ((sources.variable)(name).filter(|value| !value.is_empty() || default.is_none()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the variable `{name}` is not set; set it, or write `${{{name}:-default}}`")),
    }
}

/// Puts `written` in the place of what variables brought into a message: it may be a secret.
pub(crate) fn redact(message: &str, text: &str, written: &str) -> String {
    let quoted: Vec<&str> = message.split('`').collect();
    let is_secret =
        |at: usize, part: &str| at % 2 == 1 && !part.is_empty() && text.contains(part) && !written.contains(part);
    if quoted.iter().enumerate().any(|(at, part)| is_secret(at, part)) {
        let parts = quoted.iter().enumerate();
        return parts.map(|(at, part)| if is_secret(at, part) { written } else { part }).collect::<Vec<_>>().join("`");
    }
    let whole = |(at, _): &(usize, &str)| {
        let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !inside(message[..*at].chars().next_back()) && !inside(message[at + text.len()..].chars().next())
    };
    match message.match_indices(text).find(whole) {
        Some((at, _)) if !text.is_empty() => format!("{}{written}{}", &message[..at], &message[at + text.len()..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Vec<String>> {
        super::filled(text, Sources { variable, file: Some(&file) })
    }

    fn file(path: &str) -> Result<String, String> {
        match path {
            "key" => Ok("secret".into()),
            "/run/secrets/a-b.c" => Ok("two\nlines\r\n".into()),
            "only a line end" => Ok("\n".into()),
            _ => Err("no such file".into()),
        }
    }

    fn set(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".into()),
            "EMPTY" => Some(String::new()),
            "_B2" => Some("a: [b] # ${A}".into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in_wherever_they_stand_and_what_they_bring_is_not_read_again() {
        for (text, expected) in [
            ("${A}", "one"),
            ("x-${A}-${A}.y", "x-one-one.y"),
            ("${NO:-4000}", "4000"),
            ("${NO:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${A:-x}", "one"),
            ("${NO:-sqlite://a.db?x=:-1}", "sqlite://a.db?x=:-1"),
            ("${_B2}", "a: [b] # ${A}"),
            ("$${A}", "${A}"),
            ("a$${A}b${A}", "a${A}bone"),
            ("Bearer ${file:key}", "Bearer secret"),
            ("${file:/run/secrets/a-b.c}", "two\nlines"),
            ("<${file:only a line end}>", "<>"),
            ("$${file:key}", "${file:key}"),
        ] {
            assert_eq!(filled(text, &set).unwrap().as_deref(), Some(expected), "{text}");
        }
        for text in ["", "$", "$A", "$$A", "{A}", "a $ {A}"] {
            assert_eq!(filled(text, &set).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_or_not_set_says_so_each_by_itself() {
        for (text, count) in
            [("${NO}", 1), ("${NO}${1}${A}${}", 3), ("${A", 1), ("${A?}", 1), ("${A:-${NO}}", 1), ("${É}", 1)]
        {
            assert_eq!(filled(text, &set).unwrap_err().len(), count, "{text}");
        }
        let errors = filled("${file:gone}", &set).unwrap_err();
        assert_eq!(errors, ["the file `gone` cannot be read: no such file"]);
        let no_files = Sources { variable: &set, file: None };
        assert!(super::filled("${file:key}", no_files).unwrap_err()[0].contains("is not a variable"));
    }

    #[test]
    fn hidden_variables_keep_their_columns_and_come_back() {
        for text in ["{ a: ${A:-x, [y]: #\"z\"}, b: $${C} } ${", "${é}", "no variable", "${A\n}"] {
            let hidden = hide(text);
            assert_eq!(hidden.chars().count(), text.chars().count());
            assert_eq!(reveal(&hidden), text);
        }
        assert!(!hide("${A:-,}").contains(['{', '}', ',', ':']));
    }

    #[test]
    fn a_message_shows_what_was_written_and_not_what_a_variable_holds() {
        let redacted = |message: &str| redact(message, "pw://host", "${URL}");
        assert_eq!(
            redacted("`pw://host` is wrong: the scheme `pw` is unknown; write `x`"),
            "`${URL}` is wrong: the scheme `${URL}` is unknown; write `x`"
        );
        assert_eq!(
            redact("weight is 0; it must be at least 10", "0", "${W}"),
            "weight is ${W}; it must be at least 10"
        );
    }
}
