//! OpenAI's Responses: the answer as one object and as named, numbered events.

use serde::Serialize;

use super::call::{Call, Output};
use super::plan::Plan;
use super::sse::{Script, event, json};
use super::words::Words;

/// The answer to `POST /v1/responses`.
pub(super) fn whole(call: &Call<'_>, plan: &Plan, created: u64) -> Vec<u8> {
    let output = call.output(plan.tokens);
    let text = Words::new(plan.draws, 0).text(output.tokens);
    let (id, item_id) = ids(plan);
    let content = [Part::text(&text)];
    let items = [Item::new(&item_id, status(output), &content)];
    let mut out = Vec::with_capacity(1024 + text.len());
    json(&mut out, &Response::ended(&id, created, call, &items, output));
    out
}

/// The same answer as a stream.
pub(super) fn stream(call: &Call<'_>, plan: &Plan, created: u64) -> Script {
    let output = call.output(plan.tokens);
    let words = Words::new(plan.draws, 0);
    let (id, item_id) = ids(plan);
    let location = Location { item_id: &item_id, output_index: 0, content_index: 0 };

    let mut head = Numbered { events: Vec::with_capacity(2048), next: 0 };
    for name in ["response.created", "response.in_progress"] {
        head.add(name, Whole { response: Response::begun(&id, created, call) });
    }
    head.add(
        "response.output_item.added",
        ItemEvent { output_index: 0, item: Item::new(&item_id, "in_progress", &[]) },
    );
    head.add("response.content_part.added", PartEvent { location, part: Part::text("") });
    let first = head.next;

    let text = words.text(output.tokens);
    let content = [Part::text(&text)];
    let items = [Item::new(&item_id, status(output), &content)];
    let mut tail = Numbered { events: Vec::with_capacity(2048 + 4 * text.len()), next: first + output.tokens };
    tail.add("response.output_text.done", TextEvent { location, text: &text, logprobs: [] });
    tail.add("response.content_part.done", PartEvent { location, part: Part::text(&text) });
    tail.add(
        "response.output_item.done",
        ItemEvent { output_index: 0, item: Item::new(&item_id, status(output), &content) },
    );
    let last = if output.cut { "response.incomplete" } else { "response.completed" };
    tail.add(last, Whole { response: Response::ended(&id, created, call, &items, output) });

    let before = format!(
        "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"item_id\":\"{item_id}\",\
         \"output_index\":0,\"content_index\":0,\"logprobs\":[],\"sequence_number\":"
    );
    let token = Box::new(move |out: &mut Vec<u8>, index| {
        out.extend_from_slice(before.as_bytes());
        json(out, &(first + index));
        out.extend_from_slice(b",\"delta\":\"");
        out.extend_from_slice(words.get(index).as_bytes());
        out.extend_from_slice(b"\"}\n\n");
    });
    Script { head: head.events, token, tokens: output.tokens, tail: tail.events }
}

fn ids(plan: &Plan) -> (String, String) {
    (plan.draws.id("resp_"), plan.draws.id("msg_"))
}

fn status(output: Output) -> &'static str {
    if output.cut { "incomplete" } else { "completed" }
}

/// Events with their place in the stream.
struct Numbered {
    events: Vec<u8>,
    next: u64,
}

impl Numbered {
    fn add(&mut self, kind: &'static str, body: impl Serialize) {
        event(&mut self.events, kind, &Event { kind, sequence_number: self.next, body });
        self.next += 1;
    }
}

#[derive(Serialize)]
struct Event<B> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct Whole<'a> {
    response: Response<'a>,
}

#[derive(Serialize)]
struct ItemEvent<'a> {
    output_index: u32,
    item: Item<'a>,
}

#[derive(Serialize)]
struct PartEvent<'a> {
    #[serde(flatten)]
    location: Location<'a>,
    part: Part<'a>,
}

#[derive(Serialize)]
struct TextEvent<'a> {
    #[serde(flatten)]
    location: Location<'a>,
    text: &'a str,
    logprobs: [u64; 0],
}

#[derive(Clone, Copy, Serialize)]
struct Location<'a> {
    item_id: &'a str,
    output_index: u32,
    content_index: u32,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    error: Option<&'static str>,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'static str>,
    metadata: Empty,
    model: &'a str,
    output: &'a [Item<'a>],
    parallel_tool_calls: bool,
    previous_response_id: Option<&'static str>,
    service_tier: &'static str,
    temperature: f64,
    tool_choice: &'static str,
    tools: [u64; 0],
    top_p: f64,
    truncation: &'static str,
    /// Null until the end.
    usage: Option<Usage>,
}

impl<'a> Response<'a> {
    /// As it is before it says anything.
    fn begun(id: &'a str, created_at: u64, call: &'a Call<'_>) -> Self {
        Self {
            id,
            object: "response",
            created_at,
            status: "in_progress",
            background: false,
            error: None,
            incomplete_details: None,
            instructions: None,
            metadata: Empty {},
            model: call.model(),
            output: &[],
            parallel_tool_calls: true,
            previous_response_id: None,
            service_tier: "default",
            temperature: 1.0,
            tool_choice: "auto",
            tools: [],
            top_p: 1.0,
            truncation: "disabled",
            usage: None,
        }
    }

    /// As it is when all is said.
    fn ended(id: &'a str, created_at: u64, call: &'a Call<'_>, items: &'a [Item<'a>], output: Output) -> Self {
        Self {
            status: status(output),
            incomplete_details: output.cut.then_some(Incomplete { reason: "max_output_tokens" }),
            output: items,
            usage: Some(Usage::new(call, output)),
            ..Self::begun(id, created_at, call)
        }
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    role: &'static str,
    content: &'a [Part<'a>],
}

impl<'a> Item<'a> {
    fn new(id: &'a str, status: &'static str, content: &'a [Part<'a>]) -> Self {
        Self { id, kind: "message", status, role: "assistant", content }
    }
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    annotations: [u64; 0],
    logprobs: [u64; 0],
    text: &'a str,
}

impl<'a> Part<'a> {
    fn text(text: &'a str) -> Self {
        Self { kind: "output_text", annotations: [], logprobs: [], text }
    }
}

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

impl Usage {
    fn new(call: &Call<'_>, output: Output) -> Self {
        Self {
            input_tokens: call.input_tokens(),
            input_tokens_details: InputDetails { cached_tokens: 0 },
            output_tokens: output.tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: 0 },
            total_tokens: call.input_tokens() + output.tokens,
        }
    }
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::settings::Settings;
    use super::*;

    fn answers(request: &str) -> (Value, Vec<Value>) {
        let (call, plan) = (Call::parse(request.as_bytes()).unwrap(), Plan::draw(&Settings::default(), 0));
        (serde_json::from_slice(&whole(&call, &plan, 1)).unwrap(), stream(&call, &plan, 1).play())
    }

    #[test]
    fn the_last_event_holds_the_whole_response() {
        let (body, events) = answers(r#"{"model":"m","input":"12345678"}"#);
        assert_eq!(events.last().unwrap()["type"], "response.completed");
        assert_eq!(events.last().unwrap()["response"], body);
        assert_eq!(body["status"], "completed");
        assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["output_tokens"]), (&2.into(), &16.into()));
        assert_eq!(body["usage"]["total_tokens"], 18);
        assert_eq!(events[0]["response"]["usage"], Value::Null);
    }

    #[test]
    fn events_are_numbered_from_zero_and_deltas_add_up() {
        let (body, events) = answers(r#"{"input":[{"role":"user","content":"hi"}]}"#);
        assert!(events.iter().zip(0_u64..).all(|(event, number)| event["sequence_number"] == number));
        let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(text, body["output"][0]["content"][0]["text"].as_str().unwrap());
        assert_eq!(events.iter().filter(|event| event["type"] == "response.output_text.delta").count(), 16);
    }

    #[test]
    fn a_limit_makes_it_incomplete() {
        let (body, events) = answers(r#"{"input":"hi","max_output_tokens":3}"#);
        assert_eq!(events.last().unwrap()["type"], "response.incomplete");
        assert_eq!(body["incomplete_details"]["reason"], "max_output_tokens");
        assert_eq!(body["usage"]["output_tokens"], 3);
    }
}
