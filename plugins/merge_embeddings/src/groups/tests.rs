//! Which calls wait for each other, and for how long.

use plugin_api::http::{HeaderMap, Method};
use plugin_api::testing::{TestCall, context};
use plugin_api::{Bytes, Endpoint, OutgoingCall, SendLimits};

use super::*;
use crate::Config;
use crate::expiring::MOST_KEYS;
use crate::key::caller;

fn request() -> UpstreamRequest {
    UpstreamRequest {
        upstream: "a".into(),
        method: Method::POST,
        target: "/v1/embeddings".to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        limits: SendLimits::default(),
        once: false,
    }
}

fn limits(calls: usize) -> Limits {
    Limits { calls, ..Config::default().limits() }
}

fn inputs(input: &str) -> Inputs {
    Inputs::of(&Bytes::from(format!("{{\"input\":{input}}}")), &limits(64)).unwrap()
}

fn key(model: &str) -> Key {
    let (mut context, call) = (context(), TestCall::new().model(model).with("input", "\"a\"").to(Endpoint::EMBEDDINGS));
    let inputs = Inputs::of(call.text(), &limits(64)).unwrap();
    let call = OutgoingCall {
        context: &mut context,
        call: &call,
        upstream: &"a".into(),
        upstream_has_credential: false,
        method: &Method::POST,
        target: "/v1/embeddings",
        headers: HeaderMap::new(),
        limits: SendLimits::default(),
    };
    Key::of(&call, &inputs, &caller(&HeaderMap::new())).unwrap()
}

fn join(groups: &Arc<Groups>, input: &str, max: usize) -> Joined {
    groups.join(key("m"), inputs(input), &limits(max), request)
}

fn waits(joined: Joined) -> (oneshot::Receiver<Outcome>, Option<Window>) {
    match joined {
        Joined::Waits(told, window) => (told, window),
        Joined::Alone(_) => panic!("it goes alone"),
    }
}

fn alone(joined: Joined) -> Option<UnderWay> {
    match joined {
        Joined::Alone(under_way) => under_way,
        Joined::Waits(..) => panic!("it waits"),
    }
}

#[test]
fn the_first_goes_alone_and_those_behind_it_wait_together() {
    let groups = Arc::new(Groups::default());
    let first = alone(join(&groups, "\"a\"", 64)).unwrap();
    let other = alone(groups.join(key("other"), inputs("\"a\""), &limits(64), request));
    let (_b, window) = waits(join(&groups, "\"b\"", 64));
    let (_c, none) = waits(join(&groups, "\"c\"", 64));
    assert!(none.is_none());
    drop((first, other));
    // the group itself is under way
    let (_d, none) = waits(join(&groups, "\"d\"", 64));
    assert!(none.is_none());
    let (members, _, under_way) = window.unwrap().close();
    assert_eq!(members.len(), 3);
    let (_e, window) = waits(join(&groups, "\"e\"", 64));
    drop((window.unwrap().close(), under_way));
    assert_eq!(groups.keys(), 0);
    alone(join(&groups, "\"f\"", 64)).unwrap();
    assert_eq!(groups.keys(), 0);
}

#[tokio::test]
async fn a_group_goes_once_it_is_full_by_calls_inputs_or_tokens() {
    let long = format!("\"{}\"", "a".repeat(200_000));
    let many = format!("[{}\"b\"]", "\"a\",".repeat(255));
    for (second, third, in_first) in [("\"b\"", "\"c\"", 2), (&*long, &*long, 1), (&*many, &*many, 1)] {
        let groups = Arc::new(Groups::default());
        let _first = alone(join(&groups, "\"a\"", 2)).unwrap();
        let (_second, window) = waits(join(&groups, second, 2));
        let (_third, other) = waits(join(&groups, third, 2));
        let window = window.unwrap();
        // it does not wait for its time
        window.passes(Duration::from_secs(3600)).await;
        assert_eq!(window.close().0.len(), in_first);
        assert_eq!(other.is_some(), in_first == 1);
    }
}

#[test]
fn calls_that_have_left_go_nowhere_and_take_no_room() {
    let groups = Arc::new(Groups::default());
    let _first = alone(join(&groups, "\"a\"", 3)).unwrap();
    let (second, window) = waits(join(&groups, "\"b\"", 3));
    drop(second);
    let (_c, _) = waits(join(&groups, "\"c\"", 3));
    let (_d, _) = waits(join(&groups, "\"d\"", 3));
    let (_e, none) = waits(join(&groups, "\"e\"", 3));
    assert!(none.is_none());
    assert_eq!(window.unwrap().close().0.len(), 3);
}

#[test]
fn a_window_that_is_dropped_lets_its_calls_go() {
    let groups = Arc::new(Groups::default());
    let first = alone(join(&groups, "\"a\"", 3));
    let (mut second, window) = waits(join(&groups, "\"b\"", 3));
    drop(window);
    assert!(second.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    drop(first);
    assert_eq!(groups.keys(), 0);
}

#[test]
fn the_calls_of_a_key_that_rests_are_not_merged() {
    let groups = Arc::new(Groups::default());
    let _first = alone(join(&groups, "\"a\"", 3)).unwrap();
    groups.rest(key("m"), Duration::from_secs(3600));
    assert!(alone(join(&groups, "\"b\"", 3)).is_none());
    groups.rest(key("m"), Duration::ZERO);
    waits(join(&groups, "\"c\"", 3));
    for model in 0..2 * MOST_KEYS {
        groups.rest(key(&model.to_string()), Duration::from_secs(3600));
    }
    assert_eq!(groups.state().resting.len(), MOST_KEYS);
}

/// So many callers ask at once: one goes alone, and the others together once their window is over. All have their answers.
fn ask_at_once(groups: &Arc<Groups>, callers: usize) {
    let first = alone(join(groups, "\"a\"", 64));
    let others: Vec<_> = (1..callers).map(|_| waits(join(groups, "\"b\"", 64))).collect();
    let windows = others.into_iter().filter_map(|(told, window)| Some((told, window?.close())));
    let groups: Vec<_> = windows.collect();
    assert_eq!(groups.len(), 1);
    drop((first, groups));
}

#[tokio::test]
async fn a_group_goes_once_all_callers_that_are_known_have_asked() {
    let groups = Arc::new(Groups::default());
    ask_at_once(&groups, 4);
    assert_eq!(groups.keys(), 0);
    let first = alone(join(&groups, "\"a\"", 64));
    let (_b, window) = waits(join(&groups, "\"b\"", 64));
    let (_c, _) = waits(join(&groups, "\"c\"", 64));
    let (_d, none) = waits(join(&groups, "\"d\"", 64));
    assert!(none.is_none());
    let window = window.unwrap();
    // it does not wait for its time
    window.passes(Duration::from_secs(3600)).await;
    // nobody knows how many more there are beside a new caller
    let (_e, other) = waits(join(&groups, "\"e\"", 64));
    assert_eq!(window.close().0.len(), 3);
    let other = other.unwrap();
    let waits_on = tokio::time::timeout(Duration::from_millis(2), other.passes(Duration::from_secs(3600)));
    assert!(waits_on.await.is_err());
    drop((first, other));
}

#[tokio::test]
async fn one_of_many_callers_waits_for_the_others_even_if_they_are_under_way() {
    let groups = Arc::new(Groups::default());
    let first = alone(join(&groups, "\"a\"", 64));
    let (_b, one) = waits(join(&groups, "\"b\"", 64));
    let (_c, _) = waits(join(&groups, "\"c\"", 64));
    let (_d, _) = waits(join(&groups, "\"d\"", 64));
    let under_way = one.unwrap().close();
    drop(first);
    // the first asks again: four are known, and three of them are under way
    let (_a, own) = waits(join(&groups, "\"a\"", 64));
    let own = own.unwrap();
    let waits_on = tokio::time::timeout(Duration::from_millis(2), own.passes(Duration::from_secs(3600)));
    assert!(waits_on.await.is_err());
    // the others have their answers, ask again, and go with it
    drop(under_way);
    let more: Vec<_> = ["b", "c", "d"].into_iter().map(|_| waits(join(&groups, "\"x\"", 64)).0).collect();
    own.passes(Duration::from_secs(3600)).await;
    assert_eq!((own.close().0.len(), more.len()), (4, 3));
}

#[test]
fn one_of_two_callers_does_not_wait_for_the_other() {
    let groups = Arc::new(Groups::default());
    ask_at_once(&groups, 2);
    let first = alone(join(&groups, "\"a\"", 64));
    let second = alone(join(&groups, "\"b\"", 64));
    assert_eq!((first.is_some(), second.is_some()), (true, true));
}
