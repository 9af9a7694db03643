//! What calls and their failures take of the store.

use std::sync::atomic::{AtomicI64, Ordering};

use plugin_api::{BudgetReader, DeferredCost, Handover, HeldCost, Shared as _, Spender};
use tokio::time::{sleep, timeout};

use super::*;
use crate::call::{Api, now};
use crate::entry::Outcome;
use crate::log_file::{Lock, read_other};
use crate::plan::{Work, due};
use crate::shared::Shared;
use crate::tests::{Folder, call, opened, terms};

#[tokio::test]
async fn a_disk_that_hangs_holds_a_client_no_longer_than_it_waits_and_leaves_nothing_to_submit() {
    // nothing syncs it
    let (store, _folder) = opened(terms());
    let (call, body) = call(Api::Messages, 1);
    let (id, deadline) = (call.id, Instant::now() + Duration::from_millis(20));
    let accepted = timeout(Duration::from_secs(10), store.accept(call, body, deadline, |_| {})).await;
    assert!(matches!(accepted, Ok(Err(Failure::NotStored))), "{accepted:?}");
    let inner = store.lock();
    let (work, _) = due(&inner.state, Millis::MAX / 2, inner.terms.times, &inner.paused);
    assert_eq!(work, [Work::Forget(id)]);
}

#[test]
fn a_call_is_counted_with_the_headers_and_the_query_that_are_stored_of_it() {
    let mut state = State::default();
    let (mut stored, body) = call(Api::Messages, 1);
    stored.group.query = format!("?{}", "q".repeat(8_000));
    stored.group.headers.push(("anthropic-beta".to_owned(), "h".repeat(16_000)));
    let id = stored.id;
    state.apply(&Entry { fact: Fact::Call(Box::new(stored)), body });
    assert!(state.bytes() > 24_000, "{}", state.bytes());
    state.apply(&Fact::Gone(id).into());
    assert_eq!(state.bytes(), 0);
}

#[test]
fn the_words_for_a_failure_are_bounded_since_each_call_has_them() {
    let words = "ä".repeat(100_000);
    let entry = failed(Uuid::now_v7(), Failure::Rejected, &words, "", 0);
    assert!((1_000..=1_024).contains(&entry.body.len()), "{}", entry.body.len());
    assert!(std::str::from_utf8(&entry.body).is_ok());
}

/// Counts what is held of budgets.
#[derive(Clone, Debug, Default)]
struct Budgets(Arc<AtomicI64>);

#[derive(Debug)]
struct Hold(Budgets);

impl BudgetReader for Budgets {
    fn highest_share(&self, _: &Spender<'_>) -> Option<f64> {
        None
    }

    fn hold(&self, _: &DeferredCost) -> Box<dyn HeldCost> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::new(Hold(self.clone()))
    }
}

impl HeldCost for Hold {}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn budgets_hold_a_call_without_clients_until_it_is_booked_or_failed_also_after_a_restart() {
    let folder = Folder::new();
    let budgets: Arc<Budgets> = Arc::default();
    let common = Arc::<Common>::default();
    common.budget_use.set(&(budgets.clone() as Arc<dyn BudgetReader>));
    let held = || budgets.0.load(Ordering::Relaxed);
    let open = || {
        let store = Store::new(folder.0.clone(), terms(), common.clone());
        store.opens();
        assert!(!common.budget_use.is_restored(), "calls wait for what the log holds");
        let (log, entries) = LogFile::open(&folder.0, Lock::take(&folder.0).unwrap()).unwrap();
        store.opened(log, entries);
        assert!(common.budget_use.is_restored());
        store
    };
    let store = open();
    let mut ids = Vec::new();
    for number in 0..3 {
        let (mut call, body) = call(Api::Messages, number);
        call.cost =
            Some(DeferredCost { picos: 7, began: 0, tenant: None, key: Some("k".into()), user: None, model: None });
        ids.push(call.id);
        let accepting = store.accept(call.clone(), body.clone(), Instant::now() + Duration::from_secs(60), |_| {});
        let (waiting, ()) = tokio::join!(accepting, async { assert!(store.sync()) });
        // its request holds what it may cost
        assert_eq!(held(), number as i64);
        let mut waiting = waiting.unwrap();
        if number == 1 {
            waiting.defer();
        }
        waiting.leaves_nothing_behind(false);
        drop(waiting);
        assert_eq!(held(), number as i64 + 1);
    }
    drop(store);
    assert_eq!(held(), 0);
    let store = open();
    assert_eq!(held(), 3);
    let given = |call| Fact::Answer { call, batch: "b".into(), outcome: Outcome::Given(200), at: 1 };
    let mut inner = store.lock();
    inner.note(failed(ids[0], Failure::Expired, "", "b", 1));
    assert_eq!(held(), 2);
    inner.note(given(ids[1]));
    assert_eq!(held(), 2);
    inner.note(Fact::Booked(ids[1]));
    assert_eq!(held(), 1);
    inner.note(Fact::Gone(ids[2]));
    assert_eq!(held(), 0);
}

async fn accept(store: &Arc<Store>, call: Call, body: Bytes) -> Waiting {
    let accepting = store.accept(call, body, Instant::now() + Duration::from_secs(60), |_| {});
    let (waiting, _) = tokio::join!(accepting, async { store.sync() });
    waiting.unwrap()
}

#[tokio::test]
async fn a_call_is_late_when_the_last_of_its_clients_has_waited_long_enough() {
    let (store, _folder) = opened(terms());
    let (mut first, body) = call(Api::Messages, 1);
    (first.wait_until, first.close_at) = (first.accepted + 1_000, first.accepted + 900_000);
    let (id, accepted) = (first.id, first.accepted);
    let second = Call { id: Uuid::now_v7(), wait_until: accepted + 500_000, ..first.clone() };
    let _one = accept(&store, first, body.clone()).await;
    let two = accept(&store, second, body).await;
    assert_eq!((two.id(), two.is_first()), (id, false));
    let inner = store.lock();
    let at = |at: Millis| due(&inner.state, at, inner.terms.times, &inner.paused).0;
    assert_eq!(at(accepted + 1_000), []);
    assert_eq!(at(accepted + 500_000), [Work::Late(id)]);
    drop(inner);
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_when_the_log_goes_to_another_process_is_booked_once() {
    for is_kept in [true, false] {
        let (store, folder) = opened(terms());
        let (call, body) = call(Api::Messages, 1);
        let id = call.id;
        let waiting = accept(&store, call, body).await;
        store.lock().note(Fact::Answer { call: id, batch: "b".into(), outcome: Outcome::Given(200), at: 1 });
        let claim = waiting.claim().unwrap();
        store.gives();
        store.closed();
        // the other process does not book it
        let other = Store::new(folder.0.clone(), terms(), Arc::default());
        let (log, entries) = LogFile::open(&folder.0, Lock::take(&folder.0).unwrap()).unwrap();
        other.opened(log, entries);
        let inner = other.lock();
        assert_eq!(due(&inner.state, 2, inner.terms.times, &inner.paused).0, []);
        drop(inner);
        // it is in the row of the client, or this process books it
        if is_kept {
            claim.keep();
        }
        drop(claim);
        assert_eq!(store.lock().unbooked, if is_kept { vec![] } else { vec![id] });
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_call_is_on_the_way_to_the_disk_is_known_to_want_nothing() {
    let (store, _folder) = opened(terms());
    let (call, body) = call(Api::Messages, 1);
    let id = call.id;
    let mut is_first = None;
    {
        let taken = |waiting: &mut Waiting| {
            is_first = Some(waiting.is_first());
            waiting.leaves_nothing_behind(true);
        };
        let mut accepting = std::pin::pin!(store.accept(call, body, Instant::now() + Duration::from_secs(60), taken));
        assert!(futures_util::poll!(&mut accepting).is_pending());
    }
    assert_eq!(is_first, Some(true));
    let inner = store.lock();
    assert_eq!(due(&inner.state, Millis::MAX / 2, inner.terms.times, &inner.paused).0, [Work::Forget(id)]);
}

#[test]
fn a_call_that_failed_is_not_joined_in_the_place_of_a_newer_one_once_the_log_is_written_anew() {
    let mut state = State::default();
    let mut newer = Vec::new();
    for number in 0..16 {
        let (older, body) = call(Api::Messages, number);
        let late = failed(older.id, Failure::Late, "", "", 1);
        let again = Call { id: Uuid::now_v7(), accepted: older.accepted + 1, ..older.clone() };
        newer.push(again.clone());
        let calls = [older, again].map(|call| Entry { fact: Fact::Call(Box::new(call)), body: body.clone() });
        let [older, again] = calls;
        [older, late, again].iter().for_each(|entry| state.apply(entry));
    }
    let state = State::replay(state.snapshot());
    for call in newer {
        assert_eq!(state.same(call.owner, call.digest), Some(call.id));
    }
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.expect("it is not so");
}

#[tokio::test]
async fn a_submission_that_the_disk_does_not_take_is_tried_again_though_nothing_happens() {
    let (shared, folder, common) = (Shared::default(), Folder::new(), Arc::default());
    let store = shared.store(folder.0.clone(), terms(), &common);
    shared.drive(&store, &common);
    until(|| store.lock().is_open()).await;
    let (call, body) = call(Api::Messages, 1);
    let (id, call) = (call.id, Call { close_at: call.accepted + 30, ..call });
    let file = {
        let mut inner = store.lock();
        assert!(inner.record(&Entry { fact: Fact::Call(Box::new(call.clone())), body }));
        inner.log.as_mut().unwrap().fill_disk()
    };
    store.wake.notify_one();
    until(|| now() > call.close_at + 30).await;
    assert_eq!(store.lock().state.calls[&id].stage, Stage::Collecting);
    store.lock().log.as_mut().unwrap().put_back(file);
    let is_submitted = |entry: &Entry| matches!(entry.fact, Fact::Submitting { .. });
    until(|| read_other(&folder.0).unwrap().iter().any(is_submitted)).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_given_away_is_had_back_with_what_the_disk_did_not_take() {
    let (shared, folder, common) = (Shared::default(), Folder::new(), Arc::default());
    let store = shared.store(folder.0.clone(), terms(), &common);
    shared.drive(&store, &common);
    until(|| store.lock().is_open()).await;
    let (call, body) = call(Api::Messages, 1);
    let (id, call) = (call.id, Call { close_at: call.wait_until, ..call });
    {
        let mut inner = store.lock();
        assert!(inner.record(&Entry { fact: Fact::Call(Box::new(call)), body }));
        inner.log.as_mut().unwrap().fill_disk();
        inner.note(Fact::Deferred(id));
    }
    let given = shared.hand_over(Handover::Give);
    assert!(given.as_ref().is_err_and(|why| why.contains("the disk does not take")), "{given:?}");
    // there is room again
    shared.hand_over(Handover::TakeBack).unwrap();
    until(|| store.lock().is_open()).await;
    assert!(store.lock().state.calls[&id].is_deferred);
    assert!(shared.hand_over(Handover::Give).is_ok());
    let state = State::replay(read_other(&folder.0).unwrap());
    assert!(state.calls[&id].is_deferred);
}

#[tokio::test]
async fn limits_count_an_answer_whose_call_was_brought_by_a_request_that_went_live() {
    for goes_live in [true, false] {
        let (store, _folder) = opened(terms());
        let (first, body) = call(Api::Messages, 1);
        let second = Call { id: Uuid::now_v7(), ..first.clone() };
        let mut one = accept(&store, first, body.clone()).await;
        let two = accept(&store, second, body).await;
        if goes_live {
            one.gives_up();
        }
        drop(one);
        assert_eq!(two.is_counted(), !goes_live);
    }
}
