//! A provider that loses requests and answers, refuses calls and forgets batches.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::call::now;
use crate::provider::{Ask, Got, Link, Unsent};

/// What happens to a request that makes a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Luck {
    Fine,
    /// It is lost on its way.
    LostBefore,
    /// Its answer is.
    LostAfter,
    /// The provider fails, and has made the batch all the same.
    FailedAfter,
    PutOff,
}

/// The provider.
#[derive(Debug, Default)]
pub(super) struct World(pub(super) Mutex<Inner>);

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Batches of both kinds, in the order in which they were made.
    pub(super) batches: Vec<Made>,
    pub(super) files: HashMap<String, String>,
    pub(super) luck: Vec<Luck>,
    /// How often a batch is looked at before it is over.
    pub(super) looks: u32,
    /// How many of the next requests kill the task that makes them.
    pub(super) panics: u32,
    /// How many looks at a batch find that the provider does not know it.
    pub(super) unknown: u32,
    /// Calls for which no batch is taken.
    pub(super) wrong: HashSet<String>,
    /// How many batches were not taken for that.
    pub(super) refused: usize,
    /// Calls whose results cannot be read.
    pub(super) unreadable: HashSet<String>,
}

#[derive(Debug)]
pub(super) struct Made {
    name: String,
    pub(super) calls: Vec<String>,
    metadata: Value,
    pub(super) looks: u32,
}

impl Link for Arc<World> {
    fn send(&self, ask: Ask) -> BoxFuture<'static, Result<Got, Unsent>> {
        let world = self.clone();
        async move {
            // a moment to die before, and one after
            sleep(Duration::from_micros(300)).await;
            let panics = {
                let mut inner = world.0.lock().unwrap();
                let left = inner.panics.saturating_sub(1);
                std::mem::replace(&mut inner.panics, left)
            };
            assert_eq!(panics, 0, "a task that dies");
            let answer = world.0.lock().unwrap().answer(&ask);
            sleep(Duration::from_micros(300)).await;
            let (status, body) = answer.ok_or_else(|| Unsent::Unclear("lost".into()))?;
            Ok(Got { status, retry_after: Some(Duration::from_millis(1)), body: body.into(), upstream: ask.upstream })
        }
        .boxed()
    }
}

impl Inner {
    fn answer(&mut self, ask: &Ask) -> Option<(u16, String)> {
        let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
        let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let body = || serde_json::from_slice::<Value>(&ask.body).unwrap();
        match (ask.method == Method::POST, &segments[..]) {
            (true, ["messages", "batches"]) => {
                let calls =
                    body()["requests"].as_array().unwrap().iter().map(|call| text(&call["custom_id"])).collect();
                self.make(calls, Value::Null)
            }
            (true, ["files"]) => {
                let name = format!("file-{}", self.files.len());
                self.files.insert(name.clone(), String::from_utf8(ask.body.to_vec()).unwrap());
                Some((200, json!({ "id": name }).to_string()))
            }
            (true, ["batches"]) => {
                let body = body();
                let lines = self.files[body["input_file_id"].as_str().unwrap()].clone();
                let lines = lines.lines().filter(|line| line.starts_with("{\"custom_id\""));
                let calls =
                    lines.map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["custom_id"])).collect();
                self.make(calls, body["metadata"].clone())
            }
            (false, ["messages", "batches"] | ["batches"]) => {
                let is_anthropic = segments.len() == 2;
                let after =
                    query.split('&').find_map(|pair| pair.strip_prefix("after_id=").or(pair.strip_prefix("after=")));
                let looks = self.looks;
                let mut all = self.batches.iter_mut().rev();
                if let Some(after) = after {
                    all.find(|batch| batch.name == after);
                }
                // pages of one; a batch goes on whether it is looked at here or there
                let page = all.next();
                let data: Vec<Value> = page
                    .into_iter()
                    .map(|batch| {
                        batch.looks += 1;
                        batch.json(is_anthropic, looks)
                    })
                    .collect();
                let (last, has_more) = (data.first().map(|batch| batch["id"].clone()), all.next().is_some());
                Some((200, json!({ "data": data, "has_more": has_more, "last_id": last }).to_string()))
            }
            (false, ["messages", "batches", name] | ["batches", name]) => {
                if self.unknown > 0 {
                    self.unknown -= 1;
                    return Some((404, "{}".into()));
                }
                let looks = self.looks;
                let batch = self.batches.iter_mut().find(|batch| batch.name == *name)?;
                batch.looks += 1;
                Some((200, batch.json(segments.len() == 3, looks).to_string()))
            }
            (false, ["messages", "batches", name, "results"]) => {
                let batch = self.batches.iter().find(|batch| batch.name == *name)?;
                let line = |id: &String| {
                    let whole = json!({ "custom_id": id, "result": { "type": "succeeded", "message": { "of": id } } });
                    let whole = whole.to_string();
                    if self.unreadable.contains(id) { whole[..whole.len() - 2].to_owned() } else { whole }
                };
                Some((200, batch.calls.iter().map(line).collect::<Vec<_>>().join("\n")))
            }
            (false, ["files", name, "content"]) => {
                let batch = self.batches.iter().find(|batch| format!("out-{}", batch.name) == *name)?;
                let line = |id: &String| {
                    let response = json!({ "status_code": 200, "body": { "of": id } });
                    json!({ "custom_id": id, "response": response, "error": null }).to_string()
                };
                Some((200, batch.calls.iter().map(line).collect::<Vec<_>>().join("\n")))
            }
            _ => Some((404, "{}".into())),
        }
    }

    fn make(&mut self, calls: Vec<String>, metadata: Value) -> Option<(u16, String)> {
        if calls.iter().any(|call| self.wrong.contains(call)) {
            self.refused += 1;
            return Some((400, "{}".into()));
        }
        let luck = self.luck.pop().unwrap_or(Luck::Fine);
        let is_anthropic = metadata.is_null();
        match luck {
            Luck::LostBefore => return None,
            Luck::PutOff => return Some((429, "{}".into())),
            Luck::Fine | Luck::LostAfter | Luck::FailedAfter => {}
        }
        let name = format!("batch-{}", self.batches.len());
        let made = Made { name, calls, metadata, looks: 0 };
        let json = made.json(is_anthropic, self.looks).to_string();
        self.batches.push(made);
        match luck {
            Luck::LostAfter => None,
            Luck::FailedAfter => Some((500, "{}".into())),
            _ => Some((200, json)),
        }
    }
}

impl Made {
    fn json(&self, is_anthropic: bool, looks: u32) -> Value {
        let is_over = self.looks >= looks;
        if is_anthropic {
            let (processing, succeeded) = if is_over { (0, self.calls.len()) } else { (self.calls.len(), 0) };
            let counts =
                json!({ "processing": processing, "succeeded": succeeded, "errored": 0, "canceled": 0, "expired": 0 });
            let status = if is_over { "ended" } else { "in_progress" };
            let created = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
            json!({ "id": self.name, "processing_status": status, "request_counts": counts, "created_at": created })
        } else {
            let output = is_over.then(|| format!("out-{}", self.name));
            let status = if is_over { "completed" } else { "in_progress" };
            json!({
                "id": self.name, "status": status, "created_at": now() / 1000, "output_file_id": output,
                "error_file_id": null, "errors": null, "metadata": self.metadata,
            })
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
