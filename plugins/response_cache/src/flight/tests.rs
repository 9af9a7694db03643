//! Leaders and followers without a socket between them.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;

use super::*;

const BUDGET: usize = 64 << 20;

fn flight() -> Arc<Flight> {
    Flight::new(1 << 20, Arc::default())
}

fn head() -> Arc<StoredHead> {
    Arc::new(StoredHead { status: StatusCode::OK, headers: Vec::new(), request_id: None })
}

async fn rest(follower: &mut Follower) -> (Vec<u8>, Option<Cut>) {
    let mut all = Vec::new();
    loop {
        match follower.more().await {
            Some(Ok(bytes)) => all.extend_from_slice(&bytes),
            Some(Err(cut)) => return (all, Some(cut)),
            None => return (all, None),
        }
    }
}

#[tokio::test]
async fn a_follower_gets_every_piece_when_it_comes_and_a_late_one_the_past_at_once() {
    let flight = flight();
    let mut early = flight.follow().unwrap();
    assert!(early.first().now_or_never().is_none());
    flight.begin(head());
    assert!(matches!(early.first().await, First::Head(_)));
    assert!(early.more().now_or_never().is_none());
    for piece in ["one", "two"] {
        flight.push(piece.as_bytes(), BUDGET);
        assert_eq!(early.more().await.unwrap().unwrap(), piece);
    }
    let mut late = flight.follow().unwrap();
    assert!(matches!(late.first().await, First::Head(_)));
    assert_eq!(late.more().await.unwrap().unwrap(), "onetwo");
    assert!(late.more().now_or_never().is_none());
    flight.push(b"three", BUDGET);
    flight.end(Ended::Whole);
    assert_eq!(rest(&mut early).await, (b"three".to_vec(), None));
    assert_eq!(rest(&mut late).await, (b"three".to_vec(), None));
    assert_eq!(flight.body().unwrap(), "onetwothree");
    assert_eq!(rest(&mut flight.follow().unwrap()).await, (b"onetwothree".to_vec(), None));
}

#[tokio::test]
async fn an_answer_that_breaks_breaks_for_all_behind_what_came_of_it() {
    let flight = flight();
    let mut follower = flight.follow().unwrap();
    flight.begin(head());
    flight.push(b"half", BUDGET);
    flight.end(Ended::Broken);
    assert_eq!(rest(&mut follower).await, (b"half".to_vec(), Some(Cut::Broken)));
    assert!(flight.follow().is_none() && flight.body().is_none());
}

#[tokio::test]
async fn a_call_that_was_never_asked_is_told_from_one_that_failed() {
    for (end, again) in [(Ended::Left, true), (Ended::Failed, false)] {
        let flight = flight();
        let mut follower = flight.follow().unwrap();
        flight.end(end);
        flight.end(Ended::Whole);
        assert_eq!(matches!(follower.first().await, First::Again), again);
    }
}

#[tokio::test]
async fn a_slow_follower_of_a_large_answer_is_cut_and_memory_stays_bounded() {
    let held = Arc::<HeldBytes>::default();
    let flight = Flight::new(10_000, held.clone());
    let (mut slow, mut quick) = (flight.follow().unwrap(), flight.follow().unwrap());
    flight.begin(head());
    for number in 0..5000_usize {
        // one that is like the one before would take no memory
        let piece = [number as u8; 1000];
        assert_eq!(flight.push(&piece, BUDGET), number < 10);
        assert_eq!(quick.more().await.unwrap().unwrap(), &piece[..]);
        assert!(held.bytes() <= LAG, "{}", held.bytes());
    }
    assert_eq!(slow.more().await, Some(Err(Cut::Behind)));
    assert!(flight.follow().is_none());
    flight.end(Ended::Whole);
    assert!(quick.more().await.is_none());
    assert!(flight.body().is_none());
    drop((slow, quick, flight));
    assert_eq!(held.bytes(), 0);
}

#[tokio::test]
async fn without_followers_a_large_answer_is_not_held_and_beyond_the_budget_none_is() {
    let held = Arc::<HeldBytes>::default();
    let large = Flight::new(10, held.clone());
    assert!(large.push(b"0123456789", BUDGET));
    assert!(!large.push(b"0", BUDGET));
    assert_eq!(held.bytes(), 0);
    let small = Flight::new(1 << 20, held.clone());
    assert!(small.push(&[0; 5000], 6000) && !small.push(&[0; 1000], 6000));
    assert_eq!(held.bytes(), 0);
}

#[tokio::test]
async fn a_call_is_unwanted_once_the_last_follower_has_left_and_nobody_joins_it_then() {
    let flight = flight();
    let followers = [flight.follow().unwrap(), flight.follow().unwrap()];
    let mut unwanted = Box::pin(flight.unwanted());
    for follower in followers {
        assert!(unwanted.as_mut().now_or_never().is_none());
        drop(follower);
    }
    tokio::time::timeout(Duration::from_secs(5), unwanted).await.unwrap();
    assert!(flight.follow().is_none());
}

#[tokio::test]
async fn fifty_followers_on_threads_get_the_same_bytes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let flight = flight();
    let followers: Vec<_> = (0..50)
        .map(|_| {
            let mut follower = flight.follow().unwrap();
            runtime.spawn(async move {
                follower.first().await;
                rest(&mut follower).await
            })
        })
        .collect();
    flight.begin(head());
    let mut sent = Vec::new();
    for number in 0..1000_u32 {
        let piece = number.to_string().repeat(5);
        sent.extend_from_slice(piece.as_bytes());
        flight.push(piece.as_bytes(), BUDGET);
    }
    flight.end(Ended::Whole);
    for follower in followers {
        assert!(follower.await.unwrap() == (sent.clone(), None));
    }
    runtime.shutdown_background();
}
