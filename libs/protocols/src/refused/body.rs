//! A whole body with nothing of what was said, in the words of its own API.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Closing, MESSAGE, openai_error};
use crate::Endpoint;

/// A whole body without what was said, that says that it was refused. An error object where the API has no other way.
#[must_use]
pub fn refused_body(endpoint: Option<Endpoint>, body: &[u8]) -> Bytes {
    let mut answer: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let has = |name: &str| answer.contains_key(name);
    let closing = Closing::of(endpoint);
    match closing {
        Closing::Message if has("content") => {
            answer.insert("content".into(), json!([]));
            answer.insert("stop_reason".into(), json!("refusal"));
            answer.insert("stop_sequence".into(), Value::Null);
        }
        Closing::Deltas | Closing::Texts if has("choices") => {
            for choice in answer.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
                refuse_choice(choice, closing == Closing::Deltas);
            }
        }
        Closing::Response if has("output") => refuse_response(&mut answer),
        Closing::Line if has("done") => refuse_ollama(&mut answer),
        Closing::Line => answer = Map::from_iter([("error".into(), json!(MESSAGE))]),
        Closing::Message | Closing::NamedError => {
            let error = json!({ "type": "permission_error", "message": MESSAGE });
            answer = Map::from_iter([("type".into(), json!("error")), ("error".into(), error)]);
        }
        Closing::Deltas | Closing::Texts | Closing::Response | Closing::Error => {
            return openai_error().to_string().into();
        }
    }
    Value::Object(answer).to_string().into()
}

fn refuse_choice(choice: &mut Value, is_chat: bool) {
    let Some(choice) = choice.as_object_mut() else { return };
    if is_chat {
        choice.insert("message".into(), json!({ "role": "assistant", "content": "", "refusal": null }));
    } else {
        choice.insert("text".into(), json!(""));
    }
    choice.insert("logprobs".into(), Value::Null);
    choice.insert("finish_reason".into(), json!("content_filter"));
}

pub(super) fn refuse_response(response: &mut Map<String, Value>) {
    response.insert("status".into(), json!("incomplete"));
    response.insert("incomplete_details".into(), json!({ "reason": "content_filter" }));
    response.insert("output".into(), json!([]));
}

pub(super) fn refuse_ollama(answer: &mut Map<String, Value>) {
    if answer.contains_key("response") {
        answer.insert("response".into(), json!(""));
    } else {
        answer.insert("message".into(), json!({ "role": "assistant", "content": "" }));
    }
    answer.insert("done".into(), json!(true));
    answer.insert("done_reason".into(), json!("stop"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_body_says_nothing_but_that_it_was_refused() {
        let refused = |endpoint, body: Value| -> Value {
            serde_json::from_slice(&refused_body(Some(endpoint), body.to_string().as_bytes())).unwrap()
        };
        let usage = json!({ "input_tokens": 3 });
        let message = json!({ "id": "m", "content": [{ "text": "x" }], "stop_reason": "end_turn", "usage": usage });
        let answer = refused(Endpoint::MESSAGES, message);
        assert_eq!((&answer["content"], &answer["stop_reason"]), (&json!([]), &json!("refusal")));
        assert_eq!((&answer["id"], &answer["usage"]), (&json!("m"), &usage));
        let chat = json!({ "choices": [{ "index": 0, "message": { "content": "x", "tool_calls": [1] } }] });
        let answer = refused(Endpoint::CHAT_COMPLETIONS, chat);
        assert_eq!(answer["choices"][0]["message"], json!({ "role": "assistant", "content": "", "refusal": null }));
        assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(refused(Endpoint::RESPONSES, json!({ "output": [1] }))["output"], json!([]));
        assert_eq!(refused(Endpoint::EMBEDDINGS, json!({ "data": [1] }))["error"]["code"], "content_filter");
        assert_eq!(refused(Endpoint::COUNT_TOKENS, json!({ "input_tokens": 1 }))["type"], "error");
    }
}
