//! A gateway and a provider without sockets, for tests.

mod batches;
mod kills;
mod provider;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use plugin_api::{Common, Uuid};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::call::{Api, Booking, Call, Group, Key, now};
use crate::driver;
use crate::entry::Failure;
use crate::figures::Figures;
use crate::ledger::Ledgers;
use crate::log_file::{Lock, LogFile, read_other};
use crate::plan::Times;
use crate::provider::Link;
use crate::state::{Answer, Stage, State};
use crate::store::{Store, Terms};
use provider::World;

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

impl Folder {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("batch-{}", Uuid::now_v7())))
    }
}

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
                match store.accept(call.clone(), body.clone(), patient(), |_| {}).await {
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

/// A store that is open, in a folder of its own.
pub(crate) fn opened(terms: Terms) -> (Arc<Store>, Folder) {
    let folder = Folder::new();
    let store = Store::new(folder.0.clone(), terms, Arc::default());
    let (log, entries) = LogFile::open(&folder.0, Lock::take(&folder.0).unwrap()).unwrap();
    store.opened(log, entries);
    (store, folder)
}
