//! An upstream of the tests' own, without sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin_api::http::header::CONTENT_TYPE;
use plugin_api::http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::{Bytes, SendError, Sending, SentTo, UpstreamBody, UpstreamRequest, UpstreamResponse, UpstreamSender};
use serde_json::Value;
use tokio::time::sleep;

/// What the upstream does with one request, in the place of answering it.
#[derive(Clone)]
pub enum Does {
    Answers(StatusCode, &'static str),
    Fails(SendError),
    /// Never answers.
    Hangs,
}

/// An upstream that has an embedding for each input, in 30 ms.
#[derive(Default)]
pub struct Upstream {
    pub asked: Mutex<Vec<UpstreamRequest>>,
    pub does: Mutex<VecDeque<Does>>,
    /// Requests that were given up.
    pub ended: Arc<Mutex<usize>>,
}

/// Counts a request that is dropped before it is answered.
struct Running(Arc<Mutex<usize>>, bool);

impl Running {
    fn answered(&mut self) {
        self.1 = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += usize::from(!self.1);
    }
}

/// The tokens of an input, as a tokenizer that knows more than bytes might count them.
fn tokens(input: &Value) -> u64 {
    match input {
        Value::String(text) => 1 + text.chars().filter(|c| "aeiou ".contains(*c)).count() as u64,
        other => other.as_array().unwrap().len() as u64,
    }
}

/// What the upstream answers to a call alone, byte for byte.
pub fn alone(call: &[u8]) -> String {
    let call: Value = serde_json::from_slice(call).unwrap();
    let inputs = match &call["input"] {
        Value::Array(inputs) if !inputs[0].is_number() => inputs.clone(),
        one => vec![one.clone()],
    };
    let embedding = |input: &Value| {
        let digest = blake3::hash(input.to_string().as_bytes());
        match call["encoding_format"].as_str() {
            Some("base64") => format!("\"{}\"", digest.to_hex()),
            _ => format!("[0.{:0>5}, -1.50e-{}]", digest.as_bytes()[0], digest.as_bytes()[1]),
        }
    };
    let data: Vec<String> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            format!("{{\"object\": \"embedding\", \"index\": {index}, \"embedding\": {}}}", embedding(input))
        })
        .collect();
    let used: u64 = inputs.iter().map(tokens).sum();
    format!(
        "{{\"object\": \"list\", \"data\": [\n  {}\n], \"model\": \"m-1\", \"usage\": {{\"prompt_tokens\": {used}, \"total_tokens\": {used}}}}}\n",
        data.join(",\n  ")
    )
}

pub struct At(pub Arc<Upstream>);

impl UpstreamSender for At {
    fn send(&self, request: UpstreamRequest) -> Sending {
        let body = alone(&request.body);
        self.0.asked.lock().unwrap().push(request);
        let does = self.0.does.lock().unwrap().pop_front();
        let mut running = Running(self.0.ended.clone(), false);
        Box::pin(async move {
            sleep(Duration::from_millis(30)).await;
            let (status, body) = match does {
                Some(Does::Hangs) => std::future::pending().await,
                Some(Does::Fails(error)) => return Err(error),
                Some(Does::Answers(status, body)) => (status, body.to_owned()),
                None => (StatusCode::OK, body),
            };
            running.answered();
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("x-request-id", HeaderValue::from_static("r1"));
            headers.insert("etag", HeaderValue::from_static("\"1\""));
            let pieces = futures_util::stream::iter([Ok(Bytes::from(body))]);
            let sent = Box::new(SentTo { attempts: 1, ..SentTo::nowhere("a".into()) });
            Ok(UpstreamResponse { status, headers, body: UpstreamBody::new(pieces), sent })
        })
    }
}
