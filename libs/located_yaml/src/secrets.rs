//! Keeps the secrets of a file out of messages and shown lines. Works on the text, since a file that is not YAML has secrets,
//! too. In doubt a value is taken for a secret.

mod find;

use std::fmt;

use crate::node::{Kind, Node};

use find::{find, is_secret, merged, urls};

/// What messages show in place of a secret.
const MASK: &str = "***";
/// A shorter secret is replaced only where a message quotes it; anywhere else it may be part of a word.
const MIN_ANYWHERE: usize = 4;
/// Numbers of up to this many digits may be ports or limits.
const MAX_PLAIN_DIGITS: usize = 5;
/// Messages quote this much of a long value.
const QUOTED: usize = 80;
/// What messages write in place of user and password to show the form of a URL.
const PLACEHOLDERS: [&str; 3] = ["user", "user:password", "***"];

/// The secrets of a file.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Each with what is shown in its place.
    values: Vec<(String, String)>,
    /// Values of keys called `key` that begin so are shown.
    plain_keys: Vec<String>,
}

impl Secrets {
    /// No secrets yet. Values of keys called `key` that begin with one of `plain_keys` are none.
    pub(crate) fn none(plain_keys: &[&str]) -> Self {
        Self { values: Vec::new(), plain_keys: plain_keys.iter().map(|&key| key.to_owned()).collect() }
    }

    /// Adds the secrets in a text. Returns the text with a `*` for each of their characters: columns stay as they are.
    pub(crate) fn add_text(&mut self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for range in merged(find(text, &self.plain_keys)) {
            self.add(&text[range.clone()], MASK);
            masked.push_str(&text[at..range.start]);
            masked.extend(text[range.clone()].chars().map(|c| if c.is_whitespace() { c } else { '*' }));
            at = range.end;
        }
        masked.push_str(&text[at..]);
        masked
    }

    /// Adds what the values of a tree say once escapes are resolved and variables filled in.
    pub(crate) fn learn(&mut self, node: &Node) {
        self.learn_under(None, node);
    }

    fn learn_under(&mut self, key: Option<&str>, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.learn_under(key, item)),
            Kind::Mapping(entries) => {
                entries.iter().for_each(|entry| self.learn_under(Some(&entry.key.text), &entry.value));
            }
            Kind::Scalar(scalar) => {
                let named = key.is_some_and(|key| is_secret(key, &scalar.text, &self.plain_keys));
                if named {
                    self.add(&scalar.text, scalar.written.as_deref().unwrap_or(MASK));
                }
                for range in find(&scalar.text, &self.plain_keys) {
                    self.add(&scalar.text[range], MASK);
                }
            }
        }
    }

    /// Adds the value of a variable, in whose place its name is shown.
    pub(crate) fn add_variable(&mut self, name: &str, value: &str) {
        self.add_filled(value, &format!("${{{name}}}"));
    }

    /// Adds a value in which variables were filled in, and how it is written. A short number, such as a port, is not a secret.
    pub(crate) fn add_filled(&mut self, value: &str, written: &str) {
        if value.len() > MAX_PLAIN_DIGITS || value.bytes().any(|byte| !byte.is_ascii_digit()) {
            self.add(value, written);
        }
    }

    fn add(&mut self, value: &str, mask: &str) {
        for line in value.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some((end, _)) = line.char_indices().nth(QUOTED) {
                self.values.push((line[..end].to_owned(), mask.to_owned()));
            }
            self.values.push((line.to_owned(), mask.to_owned()));
        }
        // the longest first, or a part would leave the rest
        self.values.sort_unstable_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        self.values.dedup_by(|a, b| a.0 == b.0);
    }

    /// The text of a value without them, under its key if it has one. A value that is a secret as a whole shows where it came from
    /// instead.
    #[must_use]
    pub fn hide(&self, key: Option<&str>, text: &str) -> String {
        // a short one may be a word elsewhere
        let of_key = key.is_some_and(|key| is_secret(key, text, &self.plain_keys));
        let is_whole = |value: &str| value == text.trim() && (of_key || value.len() >= MIN_ANYWHERE);
        match self.values.iter().find(|(value, _)| is_whole(value)) {
            Some((_, mask)) => mask.clone(),
            None => self.mask(text),
        }
    }

    /// A message without them.
    pub(crate) fn mask(&self, message: &str) -> String {
        let mut masked = message.to_owned();
        for (value, mask) in &self.values {
            if masked.contains(value.as_str()) {
                masked = if value.len() >= MIN_ANYWHERE {
                    masked.replace(value.as_str(), mask)
                } else {
                    masked.replace(&format!("`{value}`"), &format!("`{mask}`"))
                };
            }
        }
        let mut in_urls = Vec::new();
        urls(&masked, &mut in_urls);
        in_urls.retain(|range| !PLACEHOLDERS.contains(&&masked[range.clone()]));
        for range in merged(in_urls).into_iter().rev() {
            masked.replace_range(range, MASK);
        }
        masked
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

/// The names of the variables in a text.
pub(crate) fn variable_names(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).map(|rest| {
        let inside = rest.split(['}', '\n']).next().unwrap_or_default();
        if inside.starts_with("file:") { inside } else { inside.split(':').next().unwrap_or_default() }
    })
}

#[cfg(test)]
mod tests;
