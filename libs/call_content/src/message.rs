//! One message of a call, as its API writes it: who says it, its texts, and what else it holds.

use std::borrow::Cow;

use json_tape::{Fault, Reader};

/// The type of a block with what a tool shows.
const TOOL_RESULT: &str = "tool_result";

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
    /// Images and documents in results of tools.
    shown_media: usize,
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
        self.tool_results == 0 || !self.texts.is_empty() || self.images + self.documents > self.shown_media
    }

    /// Reads an item of a list: a message, or a text of the user's.
    ///
    /// # Errors
    /// That it is no JSON.
    pub fn of_item(reader: &mut Reader<'t>) -> Result<Self, Fault> {
        match reader.peek() {
            Some(b'"') => Self::of_text(reader),
            Some(b'{') => Self::of_object(reader),
            _ => Ok(Self { text_bytes: reader.value()?.len(), ..Self::default() }),
        }
    }

    /// Reads what the user says without a list of messages: one of several inputs or prompts.
    ///
    /// # Errors
    /// That it is no JSON.
    pub fn of_text(reader: &mut Reader<'t>) -> Result<Self, Fault> {
        let mut message = Self { role: Role::User, ..Self::default() };
        message.read_content(reader, false)?;
        Ok(message)
    }

    fn of_object(reader: &mut Reader<'t>) -> Result<Self, Fault> {
        reader.object()?;
        let (mut role, mut bytes) = (Role::default(), 0);
        let mut message = Self::default();
        while let Some(key) = reader.key()? {
            match key.raw() {
                b"role" => {
                    role = match reader.value()? {
                        "\"user\"" => Role::User,
                        "\"system\"" | "\"developer\"" => Role::System,
                        _ => Role::Other,
                    }
                }
                b"content" | b"parts" => {
                    // of a key that stands twice the last value counts
                    message = Self::default();
                    message.read_content(reader, false)?;
                }
                // an item of the responses API that is no message, or a call of a tool
                b"output" | b"arguments" | b"tool_calls" => bytes += reader.value()?.len(),
                _ => _ = reader.value()?,
            }
        }
        message.role = role;
        message.text_bytes += bytes;
        Ok(message)
    }

    /// Reads a text, or a list of blocks. Each byte is passed once, where a block says what it is before what it holds.
    ///
    /// What a tool shows has no results of tools in it: such a block is counted as it is, however deep it is nested.
    pub(crate) fn read_content(&mut self, reader: &mut Reader<'t>, is_shown: bool) -> Result<(), Fault> {
        match reader.peek() {
            Some(b'"') => self.add_text(reader.value()?),
            Some(b'[') => {
                reader.list()?;
                while reader.item()? {
                    match reader.peek() {
                        Some(b'"') => self.add_text(reader.value()?),
                        Some(b'{') => self.read_block(reader, is_shown)?,
                        _ => _ = reader.value()?,
                    }
                }
            }
            _ => _ = reader.value()?,
        }
        Ok(())
    }

    fn add_text(&mut self, text: &'t str) {
        self.text_bytes += text.len() - 2;
        self.texts.push(text);
    }

    fn read_block(&mut self, reader: &mut Reader<'t>, is_shown: bool) -> Result<(), Fault> {
        let start = reader.at();
        reader.object()?;
        let (mut kind, mut text, mut content, mut result) = ("", None, None, None);
        while let Some(key) = reader.key()? {
            match key.raw() {
                b"type" => kind = reader.value()?.trim_matches('"'),
                b"text" => text = Some(reader.value()?).filter(|value| value.starts_with('"')),
                b"content" if kind == TOOL_RESULT && !is_shown => result = Some(Self::shown(reader)?),
                b"content" => content = Some(reader.value()?),
                _ => _ = reader.value()?,
            }
        }
        match kind {
            "image" | "image_url" | "input_image" => self.images += 1,
            "document" | "file" | "input_file" => self.documents += 1,
            TOOL_RESULT if !is_shown => {
                self.tool_results += 1;
                let result = match (result, content) {
                    (Some(result), _) => result,
                    (None, Some(content)) => Self::shown(&mut Reader::new(content, 0))?,
                    (None, None) => Self::default(),
                };
                self.shown_media += result.images + result.documents;
                self.images += result.images;
                self.documents += result.documents;
                self.text_bytes += result.text_bytes;
            }
            _ => match text {
                Some(text) => self.add_text(text),
                None => self.text_bytes += reader.at() - start,
            },
        }
        Ok(())
    }

    /// What a tool shows, which is no text of the user's.
    fn shown(reader: &mut Reader<'t>) -> Result<Self, Fault> {
        let mut shown = Self::default();
        shown.read_content(reader, true)?;
        Ok(shown)
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
