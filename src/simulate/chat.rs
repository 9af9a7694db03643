//! OpenAI's Chat Completions: the answer as one object and as chunks.

use serde::Serialize;

use super::call::{Call, Output};
use super::plan::Plan;
use super::sse::{Script, data, done, json, words_between};
use super::words::Words;

/// The answer to `POST /v1/chat/completions`.
pub(super) fn whole(call: &Call<'_>, plan: &Plan, created: u64) -> Vec<u8> {
    let output = call.output(plan.tokens);
    let choices: Vec<Choice> = (0..call.choices())
        .map(|index| Choice {
            index,
            message: Message {
                role: "assistant",
                content: Words::new(plan.draws, index).text(output.tokens),
                refusal: None,
                annotations: [],
            },
            logprobs: None,
            finish_reason: finish_reason(output),
        })
        .collect();
    let id = plan.draws.id("chatcmpl-");
    let mut out = Vec::with_capacity(1024);
    json(
        &mut out,
        &Completion {
            id: &id,
            object: "chat.completion",
            created,
            model: call.model(),
            choices: &choices,
            usage: Usage::new(call, output),
            service_tier: "default",
            system_fingerprint: None,
        },
    );
    out
}

/// The same answer as a stream. Its usage comes in a chunk of its own, and only if the request asked for it.
pub(super) fn stream(call: &Call<'_>, plan: &Plan, created: u64) -> Script {
    let output = call.output(plan.tokens);
    let id = plan.draws.id("chatcmpl-");
    let choices = call.choices();
    let no_usage = call.include_usage.then_some(None);

    let mut head = Vec::with_capacity(512);
    for index in 0..choices {
        let delta = Delta { role: Some("assistant"), content: Some(""), refusal: Some(None) };
        data(&mut head, &Chunk::new(&id, created, call, &[ChunkChoice::new(index, delta, None)], no_usage));
    }
    let mut tail = Vec::with_capacity(1024);
    for index in 0..choices {
        let choice = ChunkChoice::new(index, Delta::default(), Some(finish_reason(output)));
        data(&mut tail, &Chunk::new(&id, created, call, &[choice], no_usage));
    }
    if call.include_usage {
        data(&mut tail, &Chunk::new(&id, created, call, &[], Some(Some(Usage::new(call, output)))));
    }
    done(&mut tail);

    // The chunks of a choice differ in nothing but the word: the rest is made once.
    let after: &'static [u8] = if call.include_usage { AFTER_WORD_NO_USAGE } else { AFTER_WORD };
    let before: Vec<(Words, Vec<u8>)> = (0..choices)
        .map(|index| {
            let delta = Delta { content: Some(""), ..Delta::default() };
            let mut frame = Vec::with_capacity(256);
            data(&mut frame, &Chunk::new(&id, created, call, &[ChunkChoice::new(index, delta, None)], no_usage));
            debug_assert!(frame.ends_with(after));
            frame.truncate(frame.len() - after.len());
            (Words::new(plan.draws, index), frame)
        })
        .collect();
    let token = words_between(before, after);
    Script { head, token, tokens: output.tokens * choices, tail }
}

/// How a chunk goes on after its word.
const AFTER_WORD: &[u8] = b"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const AFTER_WORD_NO_USAGE: &[u8] = b"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

fn finish_reason(output: Output) -> &'static str {
    if output.cut { "length" } else { "stop" }
}

/// Tokens as OpenAI counts them for chats.
#[derive(Clone, Copy, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

impl Usage {
    fn new(call: &Call<'_>, output: Output) -> Self {
        let (prompt_tokens, completion_tokens) = (call.input_tokens(), output.tokens * call.choices());
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptDetails::default(),
            completion_tokens_details: CompletionDetails::default(),
        }
    }
}

#[derive(Clone, Copy, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Copy, Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice],
    usage: Usage,
    service_tier: &'static str,
    system_fingerprint: Option<&'static str>,
}

#[derive(Serialize)]
struct Choice {
    index: u64,
    message: Message,
    logprobs: Option<u64>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
    refusal: Option<&'static str>,
    annotations: [u64; 0],
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    service_tier: &'static str,
    system_fingerprint: Option<&'static str>,
    choices: &'a [ChunkChoice],
    /// Absent unless asked for; null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

impl<'a> Chunk<'a> {
    fn new(
        id: &'a str,
        created: u64,
        call: &'a Call<'_>,
        choices: &'a [ChunkChoice],
        usage: Option<Option<Usage>>,
    ) -> Self {
        Self {
            id,
            object: "chat.completion.chunk",
            created,
            model: call.model(),
            service_tier: "default",
            system_fingerprint: None,
            choices,
            usage,
        }
    }
}

#[derive(Serialize)]
struct ChunkChoice {
    index: u64,
    delta: Delta,
    logprobs: Option<u64>,
    finish_reason: Option<&'static str>,
}

impl ChunkChoice {
    fn new(index: u64, delta: Delta, finish_reason: Option<&'static str>) -> Self {
        Self { index, delta, logprobs: None, finish_reason }
    }
}

#[derive(Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<&'static str>>,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::settings::Settings;
    use super::*;

    fn plan() -> Plan {
        Plan::draw(&Settings::default(), 0)
    }

    fn message(request: &str) -> Value {
        serde_json::from_slice(&whole(&Call::parse(request.as_bytes()).unwrap(), &plan(), 1)).unwrap()
    }

    fn chunks(request: &str) -> Vec<Value> {
        stream(&Call::parse(request.as_bytes()).unwrap(), &plan(), 1).play()
    }

    fn said(chunks: &[Value], choice: u64) -> String {
        let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
        choices.filter(|c| c["index"] == choice).filter_map(|c| c["delta"]["content"].as_str()).collect()
    }

    #[test]
    fn every_choice_is_billed() {
        let body = message(r#"{"model":"m","n":3,"max_tokens":4,"messages":[{"role":"user","content":"1234"}]}"#);
        assert_eq!(body["choices"].as_array().unwrap().len(), 3);
        assert_eq!(body["choices"][2]["finish_reason"], "length");
        assert_eq!(body["usage"]["prompt_tokens"], 1);
        assert_eq!(body["usage"]["completion_tokens"], 12);
        assert_eq!(body["usage"]["total_tokens"], 13);
    }

    #[test]
    fn a_stream_that_asks_for_usage_ends_with_it() {
        let request = r#"{"model":"a\"b","n":2,"stream_options":{"include_usage":true}}"#;
        let (message, chunks) = (message(request), chunks(request));
        for choice in 0..2 {
            assert_eq!(
                said(&chunks, choice),
                message["choices"][choice as usize]["message"]["content"].as_str().unwrap()
            );
        }
        let (last, rest) = chunks.split_last().unwrap();
        assert_eq!(last, "[DONE]");
        let (usage, rest) = rest.split_last().unwrap();
        assert_eq!(usage["choices"], serde_json::json!([]));
        assert_eq!(usage["usage"], message["usage"]);
        assert_eq!(rest.len(), 2 + 32 + 2);
        assert!(rest.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null) && chunk["model"] == "a\"b"));
    }

    #[test]
    fn a_stream_that_does_not_ask_has_no_usage_at_all() {
        let chunks = chunks(r#"{"max_completion_tokens":3}"#);
        assert_eq!(chunks.len(), 1 + 3 + 1 + 1);
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        assert_eq!(chunks[4]["choices"][0]["finish_reason"], "length");
    }
}
