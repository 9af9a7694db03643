//! OpenAI's older Completions: the answer as one object and as chunks.

use serde::Serialize;

use super::call::{Call, Output};
use super::plan::Plan;
use super::sse::{Script, data, done, json, words_between};
use super::words::Words;

/// The answer to `POST /v1/completions`.
pub(super) fn whole(call: &Call<'_>, plan: &Plan, created: u64) -> Vec<u8> {
    let output = call.output(plan.tokens);
    let texts: Vec<String> =
        (0..call.choices()).map(|index| Words::new(plan.draws, index).text(output.tokens)).collect();
    let choices: Vec<Choice> =
        (0..).zip(&texts).map(|(index, text)| Choice::new(index, text, Some(finish_reason(output)))).collect();
    let id = plan.draws.id("cmpl-");
    let mut out = Vec::with_capacity(512);
    json(&mut out, &Completion::new(&id, created, call, &choices, Some(Some(Usage::new(call, output)))));
    out
}

/// The same answer as a stream. Its usage comes in a chunk of its own, and only if the request asked for it.
pub(super) fn stream(call: &Call<'_>, plan: &Plan, created: u64) -> Script {
    let output = call.output(plan.tokens);
    let id = plan.draws.id("cmpl-");
    let choices = call.choices();
    let no_usage = call.include_usage.then_some(None);

    let mut tail = Vec::with_capacity(512);
    for index in 0..choices {
        let choice = Choice::new(index, "", Some(finish_reason(output)));
        data(&mut tail, &Completion::new(&id, created, call, &[choice], no_usage));
    }
    if call.include_usage {
        data(&mut tail, &Completion::new(&id, created, call, &[], Some(Some(Usage::new(call, output)))));
    }
    done(&mut tail);

    // The chunks of a choice differ in nothing but the word: the rest is made once.
    let after: &'static [u8] = if call.include_usage { AFTER_WORD_NO_USAGE } else { AFTER_WORD };
    let before: Vec<(Words, Vec<u8>)> = (0..choices)
        .map(|index| {
            let mut frame = Vec::with_capacity(256);
            data(&mut frame, &Completion::new(&id, created, call, &[Choice::new(index, "", None)], no_usage));
            debug_assert!(frame.ends_with(after));
            frame.truncate(frame.len() - after.len());
            (Words::new(plan.draws, index), frame)
        })
        .collect();
    let token = words_between(before, after);
    Script { head: Vec::new(), token, tokens: output.tokens * choices, tail }
}

/// How a chunk goes on after its word.
const AFTER_WORD: &[u8] = b"\",\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const AFTER_WORD_NO_USAGE: &[u8] = b"\",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

fn finish_reason(output: Output) -> &'static str {
    if output.cut { "length" } else { "stop" }
}

/// A whole answer, or a chunk of one: they look alike.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Absent unless asked for; null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

impl<'a> Completion<'a> {
    fn new(
        id: &'a str,
        created: u64,
        call: &'a Call<'_>,
        choices: &'a [Choice<'a>],
        usage: Option<Option<Usage>>,
    ) -> Self {
        Self { id, object: "text_completion", created, model: call.model(), choices, usage }
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    text: &'a str,
    logprobs: Option<u64>,
    finish_reason: Option<&'static str>,
}

impl<'a> Choice<'a> {
    fn new(index: u64, text: &'a str, finish_reason: Option<&'static str>) -> Self {
        Self { index, text, logprobs: None, finish_reason }
    }
}

#[derive(Clone, Copy, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl Usage {
    fn new(call: &Call<'_>, output: Output) -> Self {
        let (prompt_tokens, completion_tokens) = (call.input_tokens(), output.tokens * call.choices());
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn a_stream_adds_up_to_the_completion_and_its_usage() {
        let request = br#"{"model":"m","prompt":"12345678","max_tokens":5,"stream_options":{"include_usage":true}}"#;
        let (call, plan) = (Call::parse(request).unwrap(), Plan::draw(&Settings::default(), 0));
        let body: Value = serde_json::from_slice(&whole(&call, &plan, 1)).unwrap();
        assert_eq!(body["usage"], json!({ "prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7 }));
        assert_eq!(body["choices"][0]["finish_reason"], "length");

        let chunks = stream(&call, &plan, 1).play();
        assert_eq!(chunks.len(), 5 + 1 + 1 + 1);
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
        assert_eq!(text, body["choices"][0]["text"].as_str().unwrap());
        assert_eq!(chunks[6]["usage"], body["usage"]);
        assert_eq!(chunks[0].get("usage"), Some(&Value::Null));
    }

    #[test]
    fn a_stream_that_does_not_ask_has_no_usage_at_all() {
        let (call, plan) = (Call::parse(b"{}").unwrap(), Plan::draw(&Settings::default(), 0));
        assert!(stream(&call, &plan, 1).play().iter().all(|chunk| chunk.get("usage").is_none()));
    }
}
