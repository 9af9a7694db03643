//! What the messages of a call hold, read from its text for the conditions. Only calls that are routed are read here.

use std::borrow::Cow;

use json_tape::{Fault, Reader};
use plugin_api::Endpoint;

/// Bytes of text for each token of input.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens of an image, and of a document, whatever their size: what providers charge for a large image, and for a few pages.
const TOKENS_PER_IMAGE: usize = 1600;
const TOKENS_PER_DOCUMENT: usize = 3000;

/// What a call holds.
#[derive(Debug, Default)]
pub(crate) struct Content<'t> {
    /// Messages of the user that hold more than results of tools.
    pub(crate) turns: u64,
    pub(crate) images: usize,
    pub(crate) documents: usize,
    pub(crate) thinking: bool,
    /// Bytes of all its text, as JSON: of instructions, messages and tools.
    text_bytes: usize,
    /// The texts of the system prompt, as JSON strings.
    system: Vec<&'t str>,
    /// Those of the first message of the user, and of the last.
    first_user: Vec<&'t str>,
    last_user: Vec<&'t str>,
}

/// One message, or one item of a list of them.
#[derive(Default)]
struct Message<'t> {
    role: Role,
    texts: Vec<&'t str>,
    images: usize,
    documents: usize,
    tool_results: usize,
    text_bytes: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    System,
    User,
    #[default]
    Other,
}

impl<'t> Content<'t> {
    /// Reads a call to an endpoint. What cannot be read counts as absent: the call has been read by then, and found to be JSON.
    pub(crate) fn read(endpoint: Endpoint, text: &'t str) -> Self {
        let mut content = Self::default();
        // as far as it got
        let _ = content.read_call(endpoint, text);
        content
    }

    /// Its input in tokens, by its length.
    pub(crate) fn input_tokens(&self) -> u64 {
        let media = self.images * TOKENS_PER_IMAGE + self.documents * TOKENS_PER_DOCUMENT;
        (self.text_bytes.div_ceil(BYTES_PER_TOKEN) + media) as u64
    }

    /// The text of the system prompt.
    pub(crate) fn system(&self) -> Cow<'t, str> {
        joined(&self.system)
    }

    /// The last text of the user.
    pub(crate) fn last_user(&self) -> Cow<'t, str> {
        joined(&self.last_user)
    }

    /// The first text of the user.
    pub(crate) fn first_user(&self) -> Cow<'t, str> {
        joined(&self.first_user)
    }

    fn read_call(&mut self, endpoint: Endpoint, text: &'t str) -> Result<(), Fault> {
        let begins = text.len() - text.trim_start_matches('\u{FEFF}').len();
        let mut reader = Reader::new(text, begins);
        reader.object()?;
        while let Some(key) = reader.key()? {
            let key = key.raw();
            if key == endpoint.messages.as_bytes() || endpoint.prompt.is_some_and(|prompt| key == prompt.as_bytes()) {
                self.read_messages(reader.value()?)?;
                continue;
            }
            let value = reader.value()?;
            match key {
                b"system" | b"instructions" => {
                    let mut message = Message::default();
                    message.read_content(value)?;
                    self.text_bytes += message.text_bytes;
                    self.system.append(&mut message.texts);
                }
                b"tools" => self.text_bytes += value.len(),
                b"thinking" | b"reasoning" => self.thinking |= thinks(value)?,
                b"reasoning_effort" => self.thinking |= !matches!(value, "null" | "\"none\""),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_messages(&mut self, value: &'t str) -> Result<(), Fault> {
        if !value.starts_with('[') {
            let mut message = Message { role: Role::User, ..Message::default() };
            message.read_content(value)?;
            self.add(message);
            return Ok(());
        }
        let mut reader = Reader::new(value, 0);
        reader.list()?;
        while reader.item()? {
            let item = reader.value()?;
            let mut message = Message::default();
            if item.starts_with('"') {
                // one of several inputs or prompts
                message.role = Role::User;
                message.read_content(item)?;
            } else if item.starts_with('{') {
                message.read(item)?;
            } else {
                message.text_bytes = item.len();
            }
            self.add(message);
        }
        Ok(())
    }

    fn add(&mut self, message: Message<'t>) {
        self.images += message.images;
        self.documents += message.documents;
        self.text_bytes += message.text_bytes;
        match message.role {
            Role::System => self.system.extend(message.texts),
            Role::User if message.is_a_turn() => {
                self.turns += 1;
                if self.turns == 1 {
                    self.first_user.clone_from(&message.texts);
                }
                self.last_user = message.texts;
            }
            Role::User | Role::Other => {}
        }
    }
}

impl<'t> Message<'t> {
    /// Whether the user says something in it.
    fn is_a_turn(&self) -> bool {
        self.tool_results == 0 || !self.texts.is_empty() || self.images + self.documents > 0
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
    fn read_content(&mut self, value: &'t str) -> Result<(), Fault> {
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

/// Whether `thinking` or `reasoning` asks for it.
fn thinks(value: &str) -> Result<bool, Fault> {
    if !value.starts_with('{') {
        return Ok(value == "true");
    }
    let mut reader = Reader::new(value, 0);
    reader.object()?;
    let mut thinks = false;
    while let Some(key) = reader.key()? {
        let value = reader.value()?;
        match key.raw() {
            b"type" => thinks = value != "\"disabled\"",
            b"effort" => thinks = !matches!(value, "null" | "\"none\""),
            b"max_tokens" | b"budget_tokens" => thinks |= value != "0" && value != "null",
            b"enabled" => thinks = value == "true",
            _ => {}
        }
    }
    Ok(thinks)
}

/// Texts, one below the other.
fn joined<'t>(texts: &[&'t str]) -> Cow<'t, str> {
    match texts {
        [] => Cow::Borrowed(""),
        [text] => decoded(text),
        texts => Cow::Owned(texts.iter().map(|text| decoded(text)).collect::<Vec<_>>().join("\n")),
    }
}

/// A JSON string without its quotes and escapes. One that is no text (half of a surrogate pair) is as it is written.
fn decoded(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len() - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(text).map_or(Cow::Borrowed(inner), Cow::Owned)
}

#[cfg(test)]
mod tests;
