//! Keeps secrets that stand in a configuration out of what is said of it: snippets and messages. Works on the text, since a
//! file that is no YAML has secrets too; where in doubt, it takes a value for one.

mod find;

use super::node::{Kind, Node};

use find::{find, is_secret, merged, urls};

/// What stands in a message in a secret's place.
const MASK: &str = "***";
/// A shorter secret is replaced only where a message quotes it; anywhere else it may be part of a word.
const LONG_ENOUGH: usize = 4;
/// The digits of a number that may be a port or a limit.
const LONGEST_NUMBER: usize = 5;
/// Messages quote this much of a long value.
const QUOTED: usize = 80;
/// What messages write in the place of user and password where they show how.
const PLACEHOLDERS: [&str; 3] = ["user", "user:password", "***"];

/// The secrets of a file.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Each with what stands for it.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// The secrets in a text, and the text with a `*` for each of their characters: columns stay as they are.
    pub(super) fn of(text: &str) -> (Self, String) {
        let mut secrets = Self::default();
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for range in merged(find(text)) {
            secrets.add(&text[range.clone()], MASK);
            masked.push_str(&text[at..range.start]);
            masked.extend(text[range.clone()].chars().map(|c| if c.is_whitespace() { c } else { '*' }));
            at = range.end;
        }
        masked.push_str(&text[at..]);
        (secrets, masked)
    }

    /// Adds what the values of a tree say once escapes are resolved and variables filled in.
    pub(super) fn learn(&mut self, node: &Node) {
        self.learn_under(None, node);
    }

    fn learn_under(&mut self, key: Option<&str>, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.learn_under(key, item)),
            Kind::Mapping(entries) => {
                entries.iter().for_each(|entry| self.learn_under(Some(&entry.key.text), &entry.value));
            }
            Kind::Scalar(scalar) => {
                let named = key.is_some_and(|key| is_secret(key, &scalar.text));
                if named {
                    self.add(&scalar.text, scalar.written.as_deref().unwrap_or(MASK));
                }
                for range in find(&scalar.text) {
                    self.add(&scalar.text[range], MASK);
                }
            }
        }
    }

    /// Adds the value of a variable, for which its name may stand. A short number, such as a port, is no secret.
    pub(super) fn add_variable(&mut self, name: &str, value: &str) {
        if value.len() > LONGEST_NUMBER || value.bytes().any(|byte| !byte.is_ascii_digit()) {
            self.add(value, &format!("${{{name}}}"));
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

    /// A message without them.
    pub(super) fn mask(&self, message: &str) -> String {
        let mut masked = message.to_owned();
        for (value, mask) in &self.values {
            if masked.contains(value.as_str()) {
                masked = if value.len() >= LONG_ENOUGH {
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

/// The names of the variables in a text.
pub(super) fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).map(|rest| rest.split([':', '}', '\n']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
