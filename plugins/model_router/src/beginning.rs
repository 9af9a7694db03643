//! What stays the same in all calls of a conversation: the first text of the user, or the conversation or the answer on the server that
//! a call goes on from.

use call_content::{Message, Role, decoded, joined};
use json_tape::{Fault, Reader};
use plugin_api::Endpoint;

/// A hash of it.
pub(crate) type Beginning = [u8; 32];

/// That of a call. One that cannot be read counts as empty: the call has been read by then, and found to be JSON.
pub(crate) fn of_call(endpoint: Endpoint, text: &str) -> Beginning {
    read(endpoint, text).ok().flatten().unwrap_or_else(|| hash("text", ""))
}

/// That of a call that goes on from this answer.
pub(crate) fn of_answer(id: &str) -> Beginning {
    hash("answer", id)
}

fn read(endpoint: Endpoint, text: &str) -> Result<Option<Beginning>, Fault> {
    let begins = text.len() - text.trim_start_matches('\u{FEFF}').len();
    let mut reader = Reader::new(text, begins);
    let mut first = None;
    reader.object()?;
    while let Some(key) = reader.key()? {
        let key = key.raw();
        if key == endpoint.messages.as_bytes() || endpoint.prompt.is_some_and(|prompt| key == prompt.as_bytes()) {
            // what follows the first message is not read, unless an answer may be named behind it
            let is_last = endpoint.earlier_answer.is_none();
            first = first_of_user(&mut reader, is_last)?.map(|message| hash("text", &joined(&message.texts)));
            if is_last {
                return Ok(first);
            }
            continue;
        }
        let value = reader.value()?;
        if endpoint.earlier_answer.is_some_and(|name| key == name.as_bytes()) && value.starts_with('"') {
            return Ok(Some(of_answer(&decoded(value))));
        } else if key == b"conversation"
            && endpoint.earlier_answer.is_some()
            && let Some(id) = id_of_conversation(value)?
        {
            return Ok(Some(hash("conversation", &decoded(id))));
        }
    }
    Ok(first)
}

/// The first message in which the user says something. The list is read to its end, unless nothing behind is of interest.
fn first_of_user<'t>(reader: &mut Reader<'t>, is_last: bool) -> Result<Option<Message<'t>>, Fault> {
    if reader.peek() != Some(b'[') {
        return Message::of_text(reader).map(Some);
    }
    let mut first = None;
    reader.list()?;
    while reader.item()? {
        if first.is_some() {
            reader.value()?;
            continue;
        }
        let message = Message::of_item(reader)?;
        if message.role == Role::User && message.is_a_turn() {
            if is_last {
                return Ok(Some(message));
            }
            first = Some(message);
        }
    }
    Ok(first)
}

/// The id of a conversation that the server keeps, as a JSON string: `"conv_1"`, or in an object.
fn id_of_conversation(value: &str) -> Result<Option<&str>, Fault> {
    if value.starts_with('"') {
        return Ok(Some(value));
    }
    if !value.starts_with('{') {
        return Ok(None);
    }
    let mut reader = Reader::new(value, 0);
    reader.object()?;
    while let Some(key) = reader.key()? {
        let value = reader.value()?;
        if key.raw() == b"id" && value.starts_with('"') {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn hash(kind: &str, text: &str) -> Beginning {
    let mut hash = blake3::Hasher::new();
    hash.update(kind.as_bytes());
    hash.update(b"\0");
    hash.update(text.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(endpoint: Endpoint, call: &serde_json::Value) -> Beginning {
        of_call(endpoint, &call.to_string())
    }

    #[test]
    fn a_conversation_begins_with_what_the_user_says_first() {
        let user = |text: &str| json!({ "role": "user", "content": text });
        let first = of(Endpoint::MESSAGES, &json!({ "messages": [user("a")] }));
        let block = json!({ "role": "user", "content": [{ "type": "text", "text": "a", "cache_control": {} }] });
        let answer = json!({ "role": "assistant", "content": "x" });
        assert_eq!(of(Endpoint::MESSAGES, &json!({ "messages": [block, answer, user("b")] })), first);
        assert_ne!(of(Endpoint::MESSAGES, &json!({ "messages": [user("b"), answer, user("a")] })), first);
        assert_eq!(of(Endpoint::RESPONSES, &json!({ "input": "a" })), first);
    }

    #[test]
    fn an_answer_or_a_conversation_on_the_server_says_more_than_the_text() {
        let of = |call| of(Endpoint::RESPONSES, &call);
        assert_eq!(of(json!({ "input": "a", "previous_response_id": "resp_1" })), of_answer("resp_1"));
        assert_eq!(of(json!({ "input": "a", "previous_response_id": null })), of(json!({ "input": "a" })));
        let conversation = of(json!({ "input": "a", "conversation": "conv_1" }));
        assert_eq!(of(json!({ "conversation": { "id": "conv_1" }, "input": "b" })), conversation);
        assert_ne!(of(json!({ "input": "a" })), conversation);
    }
}
