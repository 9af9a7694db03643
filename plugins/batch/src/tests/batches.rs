//! What becomes of calls: joined, asked for again, refused by halves, and left with the provider.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::provider::{Inner, World};
use super::*;
use crate::entry::{Fact, Outcome};
use crate::log_file::Lock;
use crate::store::{Fetched, OPEN};

#[tokio::test]
async fn the_same_request_joins_and_only_its_owner_gets_the_answer() {
    let folder = Folder::new();
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
        store.accept(first.clone(), body.clone(), patient(), |_| {}).map(Result::unwrap),
        store.accept(second, body.clone(), patient(), |_| {}).map(Result::unwrap)
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
            let folder = Folder::new();
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
            let folder = Folder::new();
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
    let folder = Folder::new();
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
    let folder = Folder::new();
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
            drop(store.accept(call, body, patient(), |_| {}).await.unwrap());
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

#[tokio::test]
async fn a_task_that_dies_is_followed_by_another() {
    let folder = Folder::new();
    let world = Arc::new(World(Mutex::new(Inner { panics: 3, ..Inner::default() })));
    let call = call(Api::Messages, 1);
    let id = call.0.id;
    live(&folder, &world, vec![call], Until::Answered(&[id])).await;
    assert_eq!(world.0.lock().unwrap().batches.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn budgets_do_not_wait_for_a_log_that_another_process_keeps() {
    let (folder, common) = (Folder::new(), Arc::<Common>::default());
    let other = Lock::take(&folder.0).unwrap();
    let store = Store::new(folder.0.clone(), terms(), common.clone());
    store.opens();
    let (_stop, stopped) = watch::channel(false);
    let link: Arc<dyn Link> = Arc::new(Arc::new(World::default()));
    let (ledgers, figures) = (Ledgers(common.clone()), Arc::new(Figures::new()));
    let begun = tokio::time::Instant::now();
    tokio::select! {
        () = driver::run(&store, &link, &ledgers, &figures, None, stopped) => panic!("it ended"),
        () = common.budget_use.restored() => {}
    }
    assert_eq!(begun.elapsed(), OPEN);
    assert!(!store.lock().is_open());
    drop(other);
}
