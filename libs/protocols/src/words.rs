//! What a model says in an answer, as one hash: of its text without white space, and of the ids of its tool calls. Clients send an
//! answer back with other blocks, other white space and without its thinking; the hash stays the same.

mod text;

use json_tape::{Fault, Feed, Reader};

use text::WordText;

/// How many bytes of ids count.
const MOST_IDS: usize = 4 << 10;

/// The words of a model, as far as they have come.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: WordText,
    ids: Vec<u8>,
    /// Whether some are not known: then none are.
    is_lost: bool,
}

impl Words {
    /// More text, as a JSON string; any other value says nothing.
    pub(crate) fn string(&mut self, json: &[u8]) {
        if !self.has_room() {
            return;
        }
        match json {
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => match std::str::from_utf8(text) {
                Ok(text) => self.text.push(text),
                Err(_) => self.is_lost = true,
            },
            [b'"', text @ .., b'"'] if self.text.push_escaped(text) => {}
            [b'"', ..] => match serde_json::from_slice::<String>(json) {
                Ok(text) => self.text.push(&text),
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
        self.text.has_room() && !self.is_lost
    }

    /// A message of a model's, or an item of its answer, as a JSON object.
    pub(crate) fn message(&mut self, json: &str) {
        if json.starts_with('{') {
            let read = self.read_message(&mut Reader::new(json, 0));
            self.is_lost |= read.is_err();
        }
    }

    /// The content of such a message: a text, or a list of blocks.
    pub(crate) fn content(&mut self, json: &str) {
        match json.as_bytes().first() {
            Some(b'"') => self.string(json.as_bytes()),
            Some(b'[') => {
                let read = self.read_content(&mut Reader::new(json, 0));
                self.is_lost |= read.is_err();
            }
            _ => {}
        }
    }

    /// A list of such messages.
    pub(crate) fn items(&mut self, json: &str) {
        if json.starts_with('[') {
            let read = each(&mut Reader::new(json, 0), |item| self.read_message(item));
            self.is_lost |= read.is_err();
        }
    }

    /// Their hash; none of no words.
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        if self.is_lost || (self.text.bytes().is_empty() && self.ids.is_empty()) {
            return None;
        }
        let mut hash = Feed::default();
        hash.push(b"words\n");
        hash.push(self.text.bytes());
        // no text has this byte
        hash.push_byte(0xFF);
        hash.push(&self.ids);
        Some(hash.finish())
    }

    fn read_message(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        members(reader, |key, reader| match key {
            b"content" => self.read_content(reader),
            b"tool_calls" => each(reader, |call| {
                members(call, |key, reader| {
                    let value = reader.value()?;
                    if key == b"id" {
                        self.id(value.as_bytes());
                    }
                    Ok(())
                })
            }),
            b"call_id" => {
                self.id(reader.value()?.as_bytes());
                Ok(())
            }
            _ => reader.value().map(drop),
        })
    }

    fn read_content(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() == Some(b'"') {
            self.string(reader.value()?.as_bytes());
            return Ok(());
        }
        each(reader, |block| {
            let (mut is_tool, mut id) = (false, "");
            members(block, |key, reader| {
                let value = reader.value()?;
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

/// Reads the value that comes next, if it is a list item by item. Any other says nothing.
fn each<'t>(reader: &mut Reader<'t>, mut item: impl FnMut(&mut Reader<'t>) -> Result<(), Fault>) -> Result<(), Fault> {
    if reader.peek() != Some(b'[') {
        return reader.value().map(drop);
    }
    reader.list()?;
    while reader.item()? {
        item(reader)?;
    }
    Ok(())
}

/// Reads the value that comes next, if it is an object member by member. Any other says nothing.
fn members<'t>(
    reader: &mut Reader<'t>,
    mut member: impl FnMut(&[u8], &mut Reader<'t>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if reader.peek() != Some(b'{') {
        return reader.value().map(drop);
    }
    reader.object()?;
    while let Some(key) = reader.key()? {
        member(key.raw(), reader)?;
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
        text.split_inclusive(' ').for_each(|piece| words.text.push(piece));
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
        fn a_string_says_what_serde_makes_of_it(
            parts in prop::collection::vec(
                prop_oneof![
                    6 => "[ -~]{0,70}".prop_map(|text| text.replace(['"', '\\'], "")),
                    4 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t"]).prop_map(str::to_owned),
                    1 => prop::sample::select(vec!["\\u0020", "\\u2003", "\\ud800", "\\x", "\\", "\n", "\u{1}", "\u{85}", "é", "\""]).prop_map(str::to_owned),
                ],
                0..40,
            ),
            repeats in 1..40_usize,
        ) {
            let json = format!("\"{}\"", parts.concat().repeat(repeats));
            let (mut words, mut plain) = (Words::default(), Words::default());
            words.string(json.as_bytes());
            // without a backslash, control characters are taken as they are
            match json[1..json.len() - 1].contains('\\') {
                true => match serde_json::from_str::<String>(&json) {
                    Ok(text) => plain.text.push(&text),
                    Err(_) => plain.is_lost = true,
                },
                false => plain.text.push(&json[1..json.len() - 1]),
            }
            prop_assert_eq!(words.is_lost, plain.is_lost);
            prop_assert_eq!(words.hash(), plain.hash());
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
        words.text.push(&long);
        assert!(!words.has_room());
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
