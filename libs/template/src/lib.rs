//! Text with variables in it, as nginx writes them: `https://$host$request_uri`. It is parsed once and expanded often. Which variables
//! there are, and what they stand for, the caller says.
//!
//! ```
//! use template::Template;
//!
//! let greeting = Template::parse("Hello, $name: $$5", |name| (name == "name").then_some(())).unwrap();
//! let mut out = Vec::new();
//! greeting.expand(&mut out, |(), out| out.extend_from_slice(b"world"));
//! assert_eq!(out, b"Hello, world: $5");
//! ```

mod error;

pub use error::TemplateError;

/// Text with variables in it. Two dollars in a row stand for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<V> {
    pieces: Box<[Piece<V>]>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<V> {
    /// Text that stays as it is; never empty.
    Text(Box<str>),
    /// A variable.
    Variable(V),
}

impl<V> Template<V> {
    /// Reads a text. `variable` knows the variables: names of letters, digits and underscores, of which the longest is taken, and those of
    /// one digit, as nginx has them.
    ///
    /// # Errors
    /// A variable that is not known, or a dollar that nothing follows of which a name is made.
    pub fn parse(text: &str, mut variable: impl FnMut(&str) -> Option<V>) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            plain.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(behind) = after.strip_prefix('$') {
                plain.push('$');
                rest = behind;
                continue;
            }
            let is_group = after.starts_with(|first: char| first.is_ascii_digit());
            let end = if is_group { Some(1) } else { after.bytes().position(|byte| !is_of_name(byte)) };
            let end = end.unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            if name.is_empty() {
                let column = text[..text.len() - after.len()].chars().count();
                return Err(TemplateError::NoName { column });
            }
            let found = variable(name).ok_or_else(|| TemplateError::Unknown { name: name.to_owned() })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(found));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// Its parts, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece<V>] {
        &self.pieces
    }

    /// The text that it always stands for, where it has no variable.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends what it stands for. `value` appends the value of a variable.
    pub fn expand(&self, out: &mut Vec<u8>, mut value: impl FnMut(&V, &mut Vec<u8>)) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => value(variable, out),
            }
        }
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Template<String>, TemplateError> {
        Template::parse(text, |name| (name != "unknown").then(|| name.to_owned()))
    }

    fn expanded(text: &str) -> String {
        let mut out = Vec::new();
        parse(text).unwrap().expand(&mut out, |name, out| out.extend_from_slice(format!("<{name}>").as_bytes()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_longest_name_is_taken_and_two_dollars_are_one() {
        for (text, wanted) in [
            ("", ""),
            ("plain", "plain"),
            ("$host", "<host>"),
            ("$host$request_uri", "<host><request_uri>"),
            ("https://$host:8443/x", "https://<host>:8443/x"),
            ("$http_x_a-b", "<http_x_a>-b"),
            ("$1st", "<1>st"),
            ("$10", "<1>0"),
            ("$$host", "$host"),
            ("$$$host$$", "$<host>$"),
            ("größe $a.é", "größe <a>.é"),
        ] {
            assert_eq!(expanded(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_text_without_variables_is_known_at_once() {
        assert_eq!(parse("a$$b").unwrap().as_text(), Some("a$b"));
        assert_eq!(parse("").unwrap().as_text(), Some(""));
        assert_eq!(parse("a$b").unwrap().as_text(), None);
        assert_eq!(parse("$b").unwrap().as_text(), None);
    }

    #[test]
    fn what_is_no_template_says_what_is_wanted() {
        assert_eq!(parse("a $unknown"), Err(TemplateError::Unknown { name: "unknown".into() }));
        assert_eq!(parse("é$"), Err(TemplateError::NoName { column: 2 }));
        assert_eq!(parse("a $-"), Err(TemplateError::NoName { column: 3 }));
        let error = parse("$").unwrap_err().to_string();
        assert!(error.contains("`$$`"), "{error}");
    }

    /// A template, as the text that is written for these pieces.
    fn written(pieces: &[Piece<String>]) -> String {
        let piece = |piece: &Piece<String>| match piece {
            Piece::Text(text) => text.replace('$', "$$"),
            Piece::Variable(name) => format!("${name}"),
        };
        pieces.iter().map(piece).collect()
    }

    proptest! {
        /// Text and variables take turns, and no text begins as a name goes on.
        #[test]
        fn what_is_written_is_read_again(parts in prop::collection::vec(("[ -/:-@é\\$]{1,6}", "[a-z_][a-z0-9_]{0,5}|[0-9]"), 0..6)) {
            let pieces: Vec<_> = parts
                .into_iter()
                .filter(|(_, name)| name != "unknown")
                .flat_map(|(text, name)| [Piece::Text(text.into()), Piece::Variable(name)])
                .collect();
            let template = parse(&written(&pieces)).unwrap();
            prop_assert_eq!(template.pieces(), &*pieces);
        }

        #[test]
        fn expanding_each_variable_to_itself_gives_the_text(text in "[a-z0-9_ .$é]{0,30}") {
            let Ok(template) = parse(&text) else { return Ok(()) };
            let mut out = Vec::new();
            template.expand(&mut out, |name, out| out.extend_from_slice(format!("${name}").as_bytes()));
            prop_assert_eq!(String::from_utf8(out).unwrap(), text.replace("$$", "$"));
        }
    }
}
