//! What the messages of a call hold, read once from its text, whichever API it is of. Decides nothing.

mod message;

use std::borrow::Cow;

use json_tape::{Fault, Reader};
use protocols::Endpoint;

pub use message::{Message, Role, decoded, joined};

/// Bytes of text for each token of input.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens of an image, and of a document, whatever their size: what providers charge for a large image, and for a few pages.
const TOKENS_PER_IMAGE: usize = 1600;
const TOKENS_PER_DOCUMENT: usize = 3000;

/// What a call holds.
#[derive(Debug, Default)]
pub struct Content<'t> {
    /// Messages of the user that hold more than results of tools.
    pub turns: u64,
    /// Images, those that tools show included.
    pub images: usize,
    /// Documents and files, those that tools show included.
    pub documents: usize,
    /// Whether it asks the model to think.
    pub thinking: bool,
    /// Bytes of all its text, as JSON: of instructions, messages and tools.
    text_bytes: usize,
    /// The texts of the system prompt, as JSON strings.
    system: Vec<&'t str>,
    /// Those of the last message of the user.
    last_user: Vec<&'t str>,
}

impl<'t> Content<'t> {
    /// Reads a call to an endpoint. What cannot be read counts as absent: the call has been read by then, and found to be JSON.
    #[must_use]
    pub fn read(endpoint: Endpoint, text: &'t str) -> Self {
        let mut content = Self::default();
        // as far as it got
        let _ = content.read_call(endpoint, text);
        content
    }

    /// Its input in tokens, estimated by its length.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        let media = self.images * TOKENS_PER_IMAGE + self.documents * TOKENS_PER_DOCUMENT;
        (self.text_bytes.div_ceil(BYTES_PER_TOKEN) + media) as u64
    }

    /// The text of the system prompt.
    #[must_use]
    pub fn system(&self) -> Cow<'t, str> {
        joined(&self.system)
    }

    /// The last text of the user.
    #[must_use]
    pub fn last_user(&self) -> Cow<'t, str> {
        joined(&self.last_user)
    }

    fn read_call(&mut self, endpoint: Endpoint, text: &'t str) -> Result<(), Fault> {
        let begins = text.len() - text.trim_start_matches('\u{FEFF}').len();
        let mut reader = Reader::new(text, begins);
        reader.object()?;
        while let Some(key) = reader.key()? {
            let key = key.raw();
            if key == endpoint.messages.as_bytes() || endpoint.prompt.is_some_and(|prompt| key == prompt.as_bytes()) {
                self.read_messages(&mut reader)?;
                continue;
            }
            match key {
                b"system" | b"instructions" => {
                    let mut message = Message::default();
                    message.read_content(&mut reader, false)?;
                    self.text_bytes += message.text_bytes;
                    self.system.append(&mut message.texts);
                }
                b"tools" => self.text_bytes += reader.value()?.len(),
                b"thinking" | b"reasoning" => self.thinking |= thinks(reader.value()?)?,
                b"reasoning_effort" => self.thinking |= !matches!(reader.value()?, "null" | "\"none\""),
                _ => _ = reader.value()?,
            }
        }
        Ok(())
    }

    fn read_messages(&mut self, reader: &mut Reader<'t>) -> Result<(), Fault> {
        if reader.peek() != Some(b'[') {
            self.add(Message::of_text(reader)?);
            return Ok(());
        }
        reader.list()?;
        while reader.item()? {
            self.add(Message::of_item(reader)?);
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
                self.last_user = message.texts;
            }
            Role::User | Role::Other => {}
        }
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

#[cfg(test)]
mod tests;
