//! Calls that may wait: collected, submitted once, and answered when their batch is over. The provider is the simulator, in the test's
//! process, so that it outlives a gateway that is killed.

mod answers; // partial failures, expiry, streams, 202
mod ending; // clients that leave, disks that are full, processes that take over
mod kills; // gateways that are killed at the worst moments
mod limits; // what budgets and limits make of calls without clients

use std::net::SocketAddr;
use std::path::Path;

use plugin_api::Period;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollgate::simulate::{self, Settings};

use crate::harness::{Answer, Body, Builder, Client, Folder, Gateway, body, eventually, gateway, h2c, http1};

/// A provider with batches, and what it is asked by.
struct Provider {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

impl Provider {
    fn start(settings: Settings) -> Self {
        let listener = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(simulate::serve(listener, settings)) }
    }

    /// What it counted.
    async fn stats(&self) -> Value {
        http1(self.address).await.get("/stats").await.json()
    }

    async fn batches(&self, count: &str) -> u64 {
        self.stats().await["batches"][count].as_u64().unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A simulator whose batches take so long, and whose answers say as much as is asked for.
fn settings(batch_after_ms: u64) -> Settings {
    Settings { batch_after: Period::from_millis(batch_after_ms), tokens: 2000, ..Settings::default() }
}

/// A gateway with its store and its ledger in a folder, which outlives it.
async fn start(provider: &Provider, folder: &Path, batch: &str) -> Gateway {
    configured(provider, folder, batch).start().await
}

fn configured(provider: &Provider, folder: &Path, batch: &str) -> Builder {
    let ledger = folder.join("ledger.db");
    let plugins = format!(
        "plugins:\n  - batch: {{ path: {:?}, poll: 20ms, {batch} }}\n  - usage_log: {{ database: \"sqlite://{}\", journal: {{ path: {:?} }}, openai_stream_usage: inject }}\n",
        folder.join("batches"),
        ledger.display(),
        folder.join("journal"),
    );
    gateway()
        .server(provider.address)
        .upstream_settings("headers: { x-api-key: the-gateways-own-key, authorization: off }")
        .settings(&plugins)
}

/// The endpoints that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Messages,
    Chat,
}

impl Api {
    fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Chat => "/v1/chat/completions",
        }
    }

    /// A call whose answer has so many tokens of output, by which it is known.
    fn call(self, tokens: u64, stream: bool) -> String {
        let messages = json!([{ "role": "user", "content": format!("say {tokens} words") }]);
        let model = if self == Self::Messages { "claude-haiku-4-5" } else { "gpt-5-nano" };
        json!({ "model": model, "max_tokens": tokens, "stream": stream, "messages": messages }).to_string()
    }

    /// The tokens of output that an answer tells of.
    fn output(self, answer: &Value) -> Option<u64> {
        match self {
            Self::Messages => answer["usage"]["output_tokens"].as_u64(),
            Self::Chat => answer["usage"]["completion_tokens"].as_u64(),
        }
    }
}

fn request(client: &Client, api: Api, key: &str, wait: &str, call: String) -> http::Request<Body> {
    let request = client.request("POST", api.path()).header("content-type", "application/json");
    request.header("x-api-key", key).header("x-tollgate-batch", wait).body(body(call)).unwrap()
}

/// Asks for an answer by a batch.
async fn ask(client: &mut Client, api: Api, key: &str, wait: &str, tokens: u64) -> Answer {
    let request = request(client, api, key, wait, api.call(tokens, false));
    client.call(request).await
}

fn book(folder: &Path) -> impl Fn(&str) -> String {
    let database = folder.join("ledger.db");
    move |sql| {
        let output = std::process::Command::new("sqlite3").arg(&database).arg(sql).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// Waits until the database has every row.
async fn shipped(gateway: &Gateway) {
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
}

#[tokio::test]
async fn a_thousand_small_calls_of_two_hundred_clients_are_few_batches_at_half_the_price() {
    let provider = Provider::start(settings(200));
    let folder = Folder::new();
    let gateway = start(&provider, folder.path(), "window: 1s").await;
    let address = gateway.address();
    let clients = (0..200_u64).map(|client| {
        tokio::spawn(async move {
            let shared = h2c(address).await;
            let calls = (0..5_u64).map(|number| {
                let (mut handle, tokens) = (shared.share(), client * 5 + number + 1);
                tokio::spawn(async move {
                    let answer = ask(&mut handle, Api::Messages, &format!("key-{client}"), "30m", tokens).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let message = answer.json();
                    assert_eq!(message["usage"]["output_tokens"], tokens, "the answer of another");
                    message["usage"]["input_tokens"].as_u64().unwrap()
                })
            });
            let mut input = 0;
            for call in calls.collect::<Vec<_>>() {
                input += call.await.unwrap();
            }
            input
        })
    });
    let mut input = 0;
    for client in clients.collect::<Vec<_>>() {
        input += client.await.unwrap();
    }
    let batches = provider.stats().await["batches"].clone();
    assert_eq!((&batches["requests"], &batches["submitted_again"]), (&1000.into(), &0.into()), "{batches}");
    assert!(batches["submitted"].as_u64().unwrap() <= 10, "{batches}");
    shipped(&gateway).await;
    let book = book(folder.path());
    assert_eq!(
        book(
            "SELECT count(*), count(DISTINCT id) FROM api_requests WHERE service_tier = 'batch' AND batch_id LIKE 'msgbatch_%' AND batch_wait_ms > 0 AND outcome = 'completed'"
        ),
        "1000|1000"
    );
    assert_eq!(book("SELECT count(*) FROM batch_results"), "0");
    // half of $1 and of $5 for a million, in picodollars
    let output: u64 = (1..=1000).sum();
    assert_eq!(book("SELECT sum(cost_picos) FROM api_requests"), (input * 500_000 + output * 2_500_000).to_string());
    // nothing is left
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_batch_stored_calls", &[]), 0.0);
    assert_eq!(metrics.sum("tollgate_batch_calls_total", &[("result", "answered")]), 1000.0);
}
