//! One message of a call, as its API writes it: who says it, its texts, and what else it holds.

use std::borrow::Cow;

use json_tape::{Fault, Reader};

/// One message, or one item of a list of them.
#[derive(Debug, Default)]
pub struct Message<'t> {
    /// Who says it.
    pub role: Role,
    /// Its texts, as JSON strings.
    pub texts: Vec<&'t str>,
    /// Images in it.
    pub images: usize,
    /// Documents and files in it.
    pub documents: usize,
    tool_results: usize,
    /// Bytes of all its text, as JSON.
    pub(crate) text_bytes: usize,
}

/// Who says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The system, or a developer.
    System,
    /// The user.
    User,
    /// The model, or a tool.
    #[default]
    Other,
}

impl<'t> Message<'t> {
    /// Whether the user says something in it.
    #[must_use]
    pub fn is_a_turn(&self) -> bool {
        self.tool_results == 0 || !self.texts.is_empty() || self.images + self.documents > 0
    }

    /// Reads an item of a list: a message, or a text of the user's.
    ///
    /// # Errors
    /// That it is no JSON.
    pub fn of_item(item: &'t str) -> Result<Self, Fault> {
        let mut message = Self::default();
        if item.starts_with('"') {
            return Self::of_text(item);
        } else if item.starts_with('{') {
            message.read(item)?;
        } else {
            message.text_bytes = item.len();
        }
        Ok(message)
    }

    /// Reads what the user says without a list of messages: one of several inputs or prompts.
    ///
    /// # Errors
    /// That it is no JSON.
    pub fn of_text(value: &'t str) -> Result<Self, Fault> {
        let mut message = Self { role: Role::User, ..Self::default() };
        message.read_content(value)?;
        Ok(message)
    }

    fn read(&mut self, value: &'t str) -> Result<(), Fault> {
        let mut reader = Reader::new(value, 0);
        reader.object()?;
        let mut content = None;
        while let Some(key) = reader.key()? {
            let value = reader.value()?;
            match key.raw() {
                b"role" => {
                    self.role = match value {
                        "\"user\"" => Role::User,
                        "\"system\"" | "\"developer\"" => Role::System,
                        _ => Role::Other,
                    }
                }
                b"content" | b"parts" => content = Some(value),
                // an item of the responses API that is no message, or a call of a tool
                b"output" | b"arguments" | b"tool_calls" => self.text_bytes += value.len(),
                _ => {}
            }
        }
        content.map_or(Ok(()), |content| self.read_content(content))
    }

    /// Reads a text, or a list of blocks.
    pub(crate) fn read_content(&mut self, value: &'t str) -> Result<(), Fault> {
        if value.starts_with('"') {
            self.text_bytes += value.len() - 2;
            self.texts.push(value);
            return Ok(());
        }
        if !value.starts_with('[') {
            return Ok(());
        }
        let mut reader = Reader::new(value, 0);
        reader.list()?;
        while reader.item()? {
            let block = reader.value()?;
            if block.starts_with('"') {
                self.read_content(block)?;
            } else if block.starts_with('{') {
                self.read_block(block)?;
            }
        }
        Ok(())
    }

    fn read_block(&mut self, block: &'t str) -> Result<(), Fault> {
        let mut reader = Reader::new(block, 0);
        reader.object()?;
        let (mut kind, mut text, mut content) = ("", None, None);
        while let Some(key) = reader.key()? {
            let value = reader.value()?;
            match key.raw() {
                b"type" => kind = value.trim_matches('"'),
                b"text" => text = Some(value).filter(|value| value.starts_with('"')),
                b"content" => content = Some(value),
                _ => {}
            }
        }
        match kind {
            "image" | "image_url" | "input_image" => self.images += 1,
            "document" | "file" | "input_file" => self.documents += 1,
            "tool_result" => {
                self.tool_results += 1;
                // what a tool shows is no text of the user's
                let mut result = Message::default();
                result.read_content(content.unwrap_or_default())?;
                self.images += result.images;
                self.documents += result.documents;
                self.text_bytes += result.text_bytes;
            }
            _ => match text {
                Some(text) => {
                    self.text_bytes += text.len() - 2;
                    self.texts.push(text);
                }
                None => self.text_bytes += block.len(),
            },
        }
        Ok(())
    }
}

/// Texts, one below the other.
#[must_use]
pub fn joined<'t>(texts: &[&'t str]) -> Cow<'t, str> {
    match texts {
        [] => Cow::Borrowed(""),
        [text] => decoded(text),
        texts => Cow::Owned(texts.iter().map(|text| decoded(text)).collect::<Vec<_>>().join("\n")),
    }
}

/// A JSON string without its quotes and escapes. One that is no text (half of a surrogate pair) is as it is written.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len() - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(text).map_or(Cow::Borrowed(inner), Cow::Owned)
}
