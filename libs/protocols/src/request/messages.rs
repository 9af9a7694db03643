//! The messages of a call: how many, which of them are the system's, and whether the last asks only for a quota.

use json_tape::{Fault, Reader};

use crate::conversation::ConversationHasher;
use crate::slot::{Extractor, Pattern, Slot};

/// How long a message may be that asks for nothing but a quota.
const LONGEST_QUOTA: usize = 1024;

/// What a list of messages holds.
#[derive(Default)]
pub(super) struct MessageFacts {
    pub(super) count: usize,
    /// Messages of the system's, or a developer's.
    pub(super) system: usize,
    /// Whether the last user's text is `quota`.
    pub(super) asks_quota: bool,
}

/// Reads the list of messages that comes next. They become the turns of a conversation, where one is wanted.
///
/// # Errors
/// That it is no list.
pub(super) fn read<'t>(reader: &mut Reader<'t>, turns: Option<&mut ConversationHasher>) -> Result<MessageFacts, Fault> {
    let mut held = MessageFacts::default();
    let mut last_of_user = None;
    let mut extractor = None;
    let each = |message: &'t [u8]| {
        held.count += 1;
        match role(message, &mut extractor) {
            Some(br#""system""# | br#""developer""#) => held.system += 1,
            Some(br#""user""#) => last_of_user = Some(message),
            _ => {}
        }
    };
    match turns {
        Some(turns) => turns.read(reader, each)?,
        None => items(reader, each)?,
    }
    held.asks_quota = last_of_user.filter(|message| may_say_quota(message)).is_some_and(|message| {
        let mut content = Extractor::new(CONTENT);
        content.feed(message);
        content.get(Slot::Text).and_then(|text| std::str::from_utf8(text).ok()).is_some_and(is_quota)
    });
    Ok(held)
}

/// The role of a message, as JSON: the first that it names.
fn role<'m>(message: &'m [u8], extractor: &'m mut Option<Extractor>) -> Option<&'m [u8]> {
    const BEFORE: &[u8] = br#"{"role":"#;
    // as nearly all clients write it
    if let Some(rest) = message.strip_prefix(BEFORE)
        && let [b'"', inner @ ..] = rest
        && let Some(end) = memchr::memchr2(b'"', b'\\', inner)
        && inner[end] == b'"'
    {
        return rest.get(..end + 2);
    }
    let extractor = extractor.get_or_insert_with(|| Extractor::until(ROLE, Slot::Role));
    extractor.begin();
    extractor.feed(message);
    extractor.get(Slot::Role)
}

fn items<'t>(reader: &mut Reader<'t>, mut each: impl FnMut(&'t [u8])) -> Result<(), Fault> {
    reader.list()?;
    while reader.item()? {
        each(reader.value()?.as_bytes());
    }
    Ok(())
}

const ROLE: &[(&str, Pattern)] = &[("role", Pattern::Value(Slot::Role))];
const CONTENT: &[(&str, Pattern)] = &[("content", Pattern::Value(Slot::Text))];

/// Whether a value is the text `quota`: as a string, or as a list of one block of text.
pub(super) fn is_quota(value: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Block {
        text: String,
    }
    if !may_say_quota(value.as_bytes()) {
        return false;
    }
    let text = match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value).ok(),
        Some(b'[') => serde_json::from_str::<[Block; 1]>(value).ok().map(|[block]| block.text),
        _ => None,
    };
    text.is_some_and(|text: String| text.trim().eq_ignore_ascii_case("quota"))
}

/// Whether a JSON text is short enough to ask for a quota, and has the word, in whatever case, or an escape that may be a part of it.
fn may_say_quota(json: &[u8]) -> bool {
    json.len() <= LONGEST_QUOTA
        && memchr::memchr3_iter(b'q', b'Q', b'\\', json)
            .any(|at| json[at] == b'\\' || json[at..].get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"quota")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_the_first_that_a_message_names_wherever_it_stands() {
        for (message, wanted) in [
            (r#"{"role":"user","content":"a"}"#, Some(r#""user""#)),
            (r#"{"role":"user"}"#, Some(r#""user""#)),
            (r#"{"role":"","role":"user"}"#, Some(r#""""#)),
            (r#"{"role":"user","role":"system"}"#, Some(r#""user""#)),
            (r#"{"role":"us\u0065r"}"#, Some(r#""us\u0065r""#)),
            (r#"{ "role" : "system" }"#, Some(r#""system""#)),
            (r#"{"content":{"role":"user"},"role":"developer"}"#, Some(r#""developer""#)),
            (r#"{"role":{"role":"user"}}"#, Some(r#"{"role":"user"}"#)),
            (r#"{"role":null}"#, None),
            (r#"{"rolE":"user"}"#, None),
            (r#"["role","user"]"#, None),
            (r#""{\"role\":\"user\"}""#, None),
            ("7", None),
        ] {
            let mut extractor = None;
            assert_eq!(role(message.as_bytes(), &mut extractor), wanted.map(str::as_bytes), "{message}");
            let mut slow = Extractor::until(ROLE, Slot::Role);
            slow.feed(message.as_bytes());
            assert_eq!(slow.get(Slot::Role), wanted.map(str::as_bytes), "{message}");
        }
    }
}
