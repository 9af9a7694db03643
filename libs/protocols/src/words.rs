//! What a model says in an answer, as one hash: of its text without white space, and of the ids of its tool calls. Clients send an
//! answer back with other blocks, other white space and without its thinking; the hash stays the same.

use json_tape::{Fault, Feed, Reader};

/// How many bytes of text count. Answers to the same messages that agree in so many are taken for the same.
const MOST_TEXT: usize = 2 << 10;
/// So many bytes of text are looked at together.
const PIECE: usize = 64;
/// How many bytes of ids count.
const MOST_IDS: usize = 4 << 10;

/// The words of a model, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: Vec<u8>,
    ids: Vec<u8>,
    /// Whether some are not known: then none are.
    is_lost: bool,
}

impl Words {
    /// More text.
    pub(crate) fn text(&mut self, text: &str) {
        self.text.reserve(text.len().min(MOST_TEXT - self.text.len()));
        if text.is_ascii() {
            text.as_bytes().chunks(PIECE).all(|piece| self.push_ascii(piece));
        } else {
            text.split_whitespace().all(|word| self.push(word.as_bytes()));
        }
    }

    /// Pushes ASCII without its white space; whether there is room for more.
    fn push_ascii(&mut self, piece: &[u8]) -> bool {
        let (mut kept, mut length) = ([0; PIECE], 0);
        for byte in piece {
            // each byte takes the place of the one before if that was a space: no branch to be guessed wrong, and none for the bound
            kept[length % PIECE] = *byte;
            // as `char::is_whitespace`, which knows one more than `u8::is_ascii_whitespace`
            length += usize::from(!matches!(byte, b' ' | 0x09..=0x0D));
        }
        self.push(&kept[..length])
    }

    /// Pushes what there is room for; whether there is room for more.
    fn push(&mut self, word: &[u8]) -> bool {
        let room = MOST_TEXT - self.text.len();
        self.text.extend_from_slice(&word[..word.len().min(room)]);
        word.len() < room
    }

    /// More text, as a JSON string; any other value says nothing.
    pub(crate) fn string(&mut self, json: &[u8]) {
        if !self.has_room() {
            return;
        }
        match json {
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => match std::str::from_utf8(text) {
                Ok(text) => self.text(text),
                Err(_) => self.is_lost = true,
            },
            [b'"', ..] => match serde_json::from_slice::<String>(json) {
                Ok(text) => self.text(&text),
                Err(_) => self.is_lost = true,
            },
            _ => {}
        }
    }

    /// The id of a tool call, as a JSON string.
    pub(crate) fn id(&mut self, json: &[u8]) {
        // some servers say it again with each piece of the call
        let is_new = json.len() > 2 && json.starts_with(b"\"") && !self.ids.ends_with(json);
        if is_new && self.ids.len() + json.len() < MOST_IDS {
            self.ids.extend_from_slice(json);
        }
    }

    /// Some are not known.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }

    /// Whether more text would count.
    pub(crate) fn has_room(&self) -> bool {
        self.text.len() < MOST_TEXT && !self.is_lost
    }

    /// A message of a model's, or an item of its answer, as a JSON object.
    pub(crate) fn message(&mut self, json: &str) {
        if self.read_message(json).is_err() {
            self.is_lost = true;
        }
    }

    /// The content of such a message: a text, or a list of blocks.
    pub(crate) fn content(&mut self, json: &str) {
        if self.read_content(json).is_err() {
            self.is_lost = true;
        }
    }

    /// A list of such messages.
    pub(crate) fn items(&mut self, json: &str) {
        let read = each(json, |item| {
            self.message(item);
            Ok(())
        });
        if read.is_err() {
            self.is_lost = true;
        }
    }

    /// Their hash; none of no words.
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        if self.is_lost || (self.text.is_empty() && self.ids.is_empty()) {
            return None;
        }
        let mut hash = Feed::default();
        hash.push(b"words\n");
        hash.push(&self.text);
        // no text has this byte
        hash.push(&[0xFF]);
        hash.push(&self.ids);
        Some(hash.finish())
    }

    fn read_message(&mut self, json: &str) -> Result<(), Fault> {
        members(json, |key, value| match key {
            b"content" => self.read_content(value),
            b"tool_calls" => each(value, |call| {
                members(call, |key, value| {
                    if key == b"id" {
                        self.id(value.as_bytes());
                    }
                    Ok(())
                })
            }),
            b"call_id" => {
                self.id(value.as_bytes());
                Ok(())
            }
            _ => Ok(()),
        })
    }

    fn read_content(&mut self, json: &str) -> Result<(), Fault> {
        if json.starts_with('"') {
            self.string(json.as_bytes());
            return Ok(());
        }
        each(json, |block| {
            let (mut is_tool, mut id) = (false, "");
            members(block, |key, value| {
                match key {
                    b"text" => self.string(value.as_bytes()),
                    b"type" => is_tool = is_tool_use(value.as_bytes()),
                    b"id" => id = value,
                    _ => {}
                }
                Ok(())
            })?;
            if is_tool {
                self.id(id.as_bytes());
            }
            Ok(())
        })
    }
}

/// Whether a block of this type, as a JSON string, is a call of a tool: `tool_use`, `server_tool_use`, `mcp_tool_use`.
pub(crate) fn is_tool_use(kind: &[u8]) -> bool {
    kind.ends_with(b"tool_use\"")
}

/// Shows the items of a list; none of any other value.
fn each<'t>(json: &'t str, mut item: impl FnMut(&'t str) -> Result<(), Fault>) -> Result<(), Fault> {
    if !json.starts_with('[') {
        return Ok(());
    }
    let mut reader = Reader::new(json, 0);
    reader.list()?;
    while reader.item()? {
        item(reader.value()?)?;
    }
    Ok(())
}

/// Shows the members of an object; none of any other value.
fn members<'t>(json: &'t str, mut member: impl FnMut(&[u8], &'t str) -> Result<(), Fault>) -> Result<(), Fault> {
    if !json.starts_with('{') {
        return Ok(());
    }
    let mut reader = Reader::new(json, 0);
    reader.object()?;
    while let Some(key) = reader.key()? {
        member(key.raw(), reader.value()?)?;
    }
    Ok(())
}

/// Whether a message, or an item of a list, is the model's: by its role, or, where it has none, by its type.
pub(crate) fn is_of_model(json: &[u8]) -> bool {
    // as nearly all clients write it
    if let Some(role) = json.strip_prefix(br#"{"role":""#) {
        return role.starts_with(br#"assistant""#) || role.starts_with(br#"model""#);
    }
    let Ok(json) = std::str::from_utf8(json) else { return false };
    let mut is_of_model = false;
    let mut reader = Reader::new(json, 0);
    let mut read = || -> Result<(), Fault> {
        reader.object()?;
        while let Some(key) = reader.key()? {
            let value = reader.value()?;
            match key.raw() {
                b"role" => {
                    is_of_model = matches!(value, "\"assistant\"" | "\"model\"");
                    return Ok(());
                }
                b"type" => is_of_model = value == "\"reasoning\"" || value.ends_with("_call\""),
                _ => {}
            }
        }
        Ok(())
    };
    read().is_ok() && is_of_model
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_message(json: &str) -> Option<[u8; 32]> {
        let mut words = Words::default();
        words.message(json);
        words.hash()
    }

    fn said(text: &str, ids: &[&str]) -> Option<[u8; 32]> {
        let mut words = Words::default();
        text.split_inclusive(' ').for_each(|piece| words.text(piece));
        ids.iter().for_each(|id| words.id(format!("\"{id}\"").as_bytes()));
        words.hash()
    }

    #[test]
    fn a_message_says_what_its_answer_said_however_it_comes_back() {
        for (json, text, ids) in [
            (r#"{"role":"assistant","content":"hi  there\n"}"#, "hi there", &[][..]),
            (r#"{"content":[{"type":"text","text":"hi "},{"text":"th\u0065re","type":"text"}]}"#, "hi there", &[]),
            (
                r#"{"content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"hi"},
                    {"id":"t1","type":"tool_use","name":"f","input":{}}]}"#,
                "hi",
                &["t1"],
            ),
            (r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}"#, "", &["a", "b"]),
            (r#"{"type":"function_call","call_id":"c","id":"fc_1"}"#, "", &["c"]),
        ] {
            assert_eq!(of_message(json), said(text, ids), "{json}");
        }
    }

    #[test]
    fn what_says_nothing_or_cannot_be_read_has_no_words() {
        for json in [
            r#"{"role":"assistant","content":[]}"#,
            r#"{"content":[{"type":"thinking","thinking":"hm"}]}"#,
            r#"{"content":"\ud800"}"#,
            "7",
        ] {
            assert_eq!(of_message(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn white_space_is_what_unicode_has(text in prop_oneof!["[ -~\t\n\x0B\x0C\r\x1C\x1F]{0,40}", any::<String>()]) {
            let mut words = Words::default();
            words.text(&text);
            prop_assert_eq!(words.text, text.split_whitespace().collect::<String>().into_bytes());
        }
    }

    #[test]
    fn a_long_text_counts_up_to_a_bound() {
        let long = "word ".repeat(2_000);
        assert_eq!(said(&long, &[]), said(&(long.clone() + "more"), &[]));
        assert_ne!(said(&long, &[]), said(&(long.clone() + "more"), &["id"]));
        assert_ne!(said("a b", &[]), said("ab c", &[]));
        assert_eq!(said("\x0Ba\t \r\nb\x0C", &[]), said("\u{2003}a\u{85}b", &[]));
        let mut words = Words::default();
        words.text(&long);
        assert!(!words.has_room() && words.text.len() == MOST_TEXT);
    }

    #[test]
    fn the_model_is_known_by_its_role_or_else_by_the_type() {
        for of_model in [
            r#"{"role":"assistant","content":"a"}"#,
            r#"{"type":"function_call","call_id":"c"}"#,
            r#"{"type":"reasoning"}"#,
            r#"{"content":[{"role":"user"}],"role":"assistant"}"#,
        ] {
            assert!(is_of_model(of_model.as_bytes()), "{of_model}");
        }
        for other in [
            r#"{"role":"user","content":"a"}"#,
            r#"{"type":"function_call_output","call_id":"c"}"#,
            r#"{"type":"message","role":"user"}"#,
            r#"{"content":"assistant"}"#,
            "7",
        ] {
            assert!(!is_of_model(other.as_bytes()), "{other}");
        }
    }
}
