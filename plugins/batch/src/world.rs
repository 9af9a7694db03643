//! A provider that loses requests and answers, and a gateway that dies at any moment: whatever happens, each call that was accepted is
//! answered, and no call is in two batches.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use plugin_api::{Common, Uuid};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::call::{Api, Booking, Call, Group, Key, now};
use crate::driver;
use crate::entry::{Fact, Failure, Outcome};
use crate::figures::Figures;
use crate::ledger::Ledgers;
use crate::log_file::read_other;
use crate::plan::Times;
use crate::provider::{Ask, Got, Link, Unsent};
use crate::state::{Answer, Stage, State};
use crate::store::{Fetched, Store, Terms};

/// What happens to a request that makes a batch.
#[derive(Clone, Copy, Debug)]
enum Luck {
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
struct World(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Batches of both kinds, in the order in which they were made.
    batches: Vec<Made>,
    files: HashMap<String, String>,
    luck: Vec<Luck>,
    /// How often a batch is looked at before it is over.
    looks: u32,
    /// How many looks at a batch find that the provider does not know it.
    unknown: u32,
    /// Calls for which no batch is taken.
    wrong: HashSet<String>,
    /// How many batches were not taken for that.
    refused: usize,
    /// Calls whose results cannot be read.
    unreadable: HashSet<String>,
}

#[derive(Debug)]
struct Made {
    name: String,
    calls: Vec<String>,
    metadata: Value,
    looks: u32,
}

impl Link for Arc<World> {
    fn send(&self, ask: Ask) -> BoxFuture<'static, Result<Got, Unsent>> {
        let world = self.clone();
        async move {
            // a moment to die before, and one after
            sleep(Duration::from_micros(300)).await;
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

pub(crate) fn call(api: Api, number: usize) -> (Call, Bytes) {
    let path = if api == Api::Messages { "/v1/messages" } else { "/v1/chat/completions" };
    let group = Group {
        upstream: "up".into(),
        api,
        path: path.into(),
        query: String::new(),
        model: "m".into(),
        headers: Vec::new(),
    };
    let accepted = now();
    let call = Call {
        id: Uuid::now_v7(),
        owner: Key::of([b"me".as_slice()]),
        digest: Key::of([number.to_string().as_bytes()]),
        group,
        accepted,
        wait_until: accepted + 600_000,
        close_at: accepted + 2,
        max_calls: 4,
        max_bytes: 1 << 20,
        booking: Booking::default(),
        cost: None,
    };
    (call, Bytes::from(format!("{{\"n\":\n{number}}}")))
}

/// The deadline of a client that waits as long as it takes.
fn patient() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

pub(crate) fn terms() -> Terms {
    Terms { times: Times { keep: 3_600_000 }, poll: 1, settle: 2, max_stored: 1 << 30 }
}

pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a gateway on a folder: for so long, or until all these calls have an answer. Returns the calls that it accepted.
async fn live(folder: &Folder, world: &Arc<World>, calls: Vec<(Call, Bytes)>, until: Until<'_>) -> Vec<Uuid> {
    let store = Store::new(folder.0.clone(), terms(), Arc::default());
    let (_stop, stopped) = watch::channel(false);
    let link: Arc<dyn Link> = Arc::new(world.clone());
    let (ledgers, figures) = (Ledgers(Arc::new(Common::default())), Arc::new(Figures::new()));
    let running = driver::run(&store, &link, &ledgers, &figures, None, stopped);
    let accepted = Mutex::new(Vec::new());
    let accepting = async {
        for (call, body) in calls {
            let id = loop {
                match store.accept(call.clone(), body.clone(), patient()).await {
                    Ok(waiting) => break waiting.id(),
                    // it is not open yet
                    Err(Failure::NotStored) => sleep(Duration::from_millis(1)).await,
                    Err(why) => panic!("{why:?}"),
                }
            };
            accepted.lock().unwrap().push(id);
        }
        match until {
            Until::Killed(after) => sleep(after).await,
            Until::Answered(all) => {
                let is_answered = |id: &Uuid| {
                    let inner = store.lock();
                    inner.state.calls.get(id).is_some_and(|held| matches!(held.stage, Stage::Answered(_)))
                };
                while !all.iter().all(is_answered) {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
    };
    let limit = if let Until::Killed(after) = until { after } else { Duration::from_secs(10) };
    let done = timeout(limit, async {
        tokio::select! { () = running => {}, () = accepting => {} }
    })
    .await;
    assert!(done.is_ok() || matches!(until, Until::Killed(_)), "not all are answered: {:?}", world.0.lock().unwrap());
    accepted.into_inner().unwrap()
}

#[derive(Clone, Copy)]
enum Until<'a> {
    Killed(Duration),
    Answered(&'a [Uuid]),
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        Just(Luck::Fine),
        Just(Luck::LostBefore),
        Just(Luck::LostAfter),
        Just(Luck::FailedAfter),
        Just(Luck::PutOff)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_accepted_call_is_answered_and_in_one_batch_whatever_dies(
        is_anthropic: bool,
        luck in prop::collection::vec(luck(), 0..8),
        looks in 0u32..3,
        lives in prop::collection::vec((0usize..7, 0u64..12_000), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = if is_anthropic { Api::Messages } else { Api::Chat };
            let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
            let world = Arc::new(World(Mutex::new(Inner { luck, looks, ..Inner::default() })));
            let (mut accepted, mut number) = (Vec::new(), 0);
            for (calls, micros) in lives {
                let calls = (0..calls).map(|_| { number += 1; call(api, number) }).collect();
                accepted.extend(live(&folder, &world, calls, Until::Killed(Duration::from_micros(micros))).await);
            }
            live(&folder, &world, Vec::new(), Until::Answered(&accepted)).await;
            let inner = world.0.lock().unwrap();
            let submitted: Vec<&String> = inner.batches.iter().flat_map(|batch| &batch.calls).collect();
            let different: HashSet<&&String> = submitted.iter().collect();
            assert_eq!(different.len(), submitted.len(), "a call is in two batches");
            assert!(accepted.iter().all(|id| submitted.contains(&&id.to_string())));
        });
    }
}

#[tokio::test]
async fn the_same_request_joins_and_only_its_owner_gets_the_answer() {
    let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
    let world = Arc::new(World::default());
    let store = Store::new(folder.0.clone(), terms(), Arc::default());
    let (stop, stopped) = watch::channel(false);
    let link: Arc<dyn Link> = Arc::new(world.clone());
    let running = {
        let store = store.clone();
        tokio::spawn(async move {
            let (ledgers, figures) = (Ledgers(Arc::new(Common::default())), Arc::new(Figures::new()));
            driver::run(&store, &link, &ledgers, &figures, None, stopped).await;
        })
    };
    while !store.lock().is_open() {
        sleep(Duration::from_millis(1)).await;
    }
    let ((first, body), (second, _)) = (call(Api::Messages, 1), call(Api::Messages, 1));
    let (mut one, mut two) = tokio::join!(
        store.accept(first.clone(), body.clone(), patient()).map(Result::unwrap),
        store.accept(second, body.clone(), patient()).map(Result::unwrap)
    );
    assert_eq!((one.id(), two.id()), (first.id, first.id));
    let answers: [Arc<Answer>; 2] = [one.answer().await.unwrap(), two.answer().await.unwrap()];
    assert!(answers.iter().all(|answer| answer.outcome == Outcome::Given(200)));
    assert_eq!(answers[0].body, format!("{{\"of\":\"{}\"}}", first.id));
    // one row alone has the usage
    let claims = [one.claim(), two.claim()];
    assert_eq!(claims.iter().filter(|claim| claim.is_some()).count(), 1);
    let stranger = Key::of([b"you".as_slice()]);
    assert!(matches!(store.fetch(first.id, stranger), Fetched::Nothing));
    assert!(matches!(store.fetch(first.id, first.owner), Fetched::Answer(_)));
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn a_batch_that_the_provider_does_not_know_for_a_moment_is_asked_for_again() {
    for api in [Api::Messages, Api::Chat] {
        for (unknown, expected) in [(2, Outcome::Given(200)), (u32::MAX, Outcome::Failed(Failure::Rejected))] {
            let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
            let world = Arc::new(World(Mutex::new(Inner { unknown, ..Inner::default() })));
            let call = call(api, 1);
            let id = call.0.id;
            live(&folder, &world, vec![call], Until::Answered(&[id])).await;
            let state = State::replay(read_other(&folder.0).unwrap());
            assert!(
                matches!(&state.calls[&id].stage, Stage::Answered(answer) if answer.outcome == expected),
                "{:?}",
                state.calls[&id]
            );
        }
    }
}

/// What came of these calls, by the log.
fn outcomes(folder: &Folder, ids: &[Uuid]) -> Vec<Outcome> {
    let state = State::replay(read_other(&folder.0).unwrap());
    let of = |id: &Uuid| match &state.calls[id].stage {
        Stage::Answered(answer) => answer.outcome,
        other => panic!("{other:?}"),
    };
    ids.iter().map(of).collect()
}

#[tokio::test]
async fn a_wrong_call_fails_alone_where_its_batch_is_refused_or_its_result_cannot_be_read() {
    for api in [Api::Messages, Api::Chat] {
        for is_refused in [true, false] {
            if api == Api::Chat && !is_refused {
                continue;
            }
            let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
            // together in one batch
            let calls = (0..4).map(|number| call(api, number));
            let calls: Vec<_> =
                calls.map(|(call, body)| (Call { close_at: call.accepted + 60_000, ..call }, body)).collect();
            let ids: Vec<Uuid> = calls.iter().map(|(call, _)| call.id).collect();
            let wrong = HashSet::from([ids[2].to_string()]);
            let inner = if is_refused {
                Inner { wrong, ..Inner::default() }
            } else {
                Inner { unreadable: wrong, ..Inner::default() }
            };
            let world = Arc::new(World(Mutex::new(inner)));
            live(&folder, &world, calls, Until::Answered(&ids)).await;
            let failure = if is_refused { Failure::Rejected } else { Failure::Missing };
            let given = Outcome::Given(200);
            assert_eq!(outcomes(&folder, &ids), [given, given, Outcome::Failed(failure), given]);
        }
    }
}

#[tokio::test]
async fn a_provider_that_refuses_every_batch_is_not_asked_for_each_call() {
    let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let (call, body) = call(Api::Messages, number);
            (Call { max_calls: 40, close_at: call.accepted + 60_000, ..call }, body)
        })
        .collect();
    let ids: Vec<Uuid> = calls.iter().map(|(call, _)| call.id).collect();
    let world =
        Arc::new(World(Mutex::new(Inner { wrong: ids.iter().map(Uuid::to_string).collect(), ..Inner::default() })));
    live(&folder, &world, calls, Until::Answered(&ids)).await;
    assert_eq!(outcomes(&folder, &ids), vec![Outcome::Failed(Failure::Rejected); 40]);
    let asked = world.0.lock().unwrap().refused;
    assert!((2..40).contains(&asked), "{asked}");
}

#[tokio::test]
async fn answers_that_nobody_waits_for_stay_with_the_provider_until_there_is_room() {
    let folder = Folder(std::env::temp_dir().join(format!("batch-world-{}", Uuid::now_v7())));
    let world = Arc::new(World(Mutex::new(Inner { looks: 20, ..Inner::default() })));
    let store = Store::new(folder.0.clone(), terms(), Arc::default());
    let (_stop, stopped) = watch::channel(false);
    let link: Arc<dyn Link> = Arc::new(world.clone());
    let (ledgers, figures) = (Ledgers(Arc::new(Common::default())), Arc::new(Figures::new()));
    let running = driver::run(&store, &link, &ledgers, &figures, None, stopped);
    let answered = || {
        let inner = store.lock();
        let held = inner.state.calls.values().filter(|held| matches!(held.stage, Stage::Answered(_)));
        held.map(|held| held.call.id).collect::<Vec<_>>()
    };
    let looks = || world.0.lock().unwrap().batches[0].looks;
    let until = async |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let scenario = async {
        until(&|| store.lock().is_open()).await;
        for number in 0..3 {
            let (call, body) = call(Api::Messages, number);
            let call = Call { max_calls: 3, close_at: call.accepted + 60_000, ..call };
            drop(store.accept(call, body, patient()).await.unwrap());
        }
        store.set_terms(Terms { max_stored: 0, ..terms() });
        // one answer is always taken
        until(&|| !answered().is_empty()).await;
        let before = looks();
        until(&|| looks() > before + 2).await;
        let first = answered();
        assert_eq!(first.len(), 1);
        // its client has it
        store.lock().note(Fact::Gone(first[0]));
        until(&|| !answered().is_empty()).await;
        assert_eq!(answered().len(), 1);
        store.set_terms(terms());
        until(&|| answered().len() == 2).await;
    };
    let done = timeout(Duration::from_secs(10), async {
        tokio::select! { () = running => {}, () = scenario => {} }
    });
    assert!(done.await.is_ok(), "{:?}", world.0.lock().unwrap());
}
