//! Leaders and followers without a socket between them.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use proptest::prelude::*;

use super::follower::AT_ONCE;
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

#[tokio::test]
async fn an_answer_of_one_piece_is_the_same_to_followers_of_before_and_behind_it() {
    let held = Arc::<HeldBytes>::default();
    let large = vec![b'x'; AT_ONCE + 5];
    for body in [&b"{}"[..], b"", &large] {
        let flight = Flight::new(1 << 20, held.clone());
        let mut early = flight.follow().unwrap();
        flight.begin(head());
        let facts = Answer { id: Some("msg".into()), ..Answer::default() };
        assert!(flight.complete(body, Some(&facts), true, BUDGET));
        assert_eq!(flight.body().unwrap(), body);
        assert_eq!(held.bytes(), body.len());
        let mut late = flight.follow().unwrap();
        assert_eq!(rest(&mut early).await, (body.to_vec(), None));
        assert_eq!(rest(&mut late).await, (body.to_vec(), None));
        assert_eq!(flight.reported().unwrap().id.as_deref(), Some("msg"));
        drop((early, late, flight));
        assert_eq!(held.bytes(), 0);
    }
}

#[tokio::test]
async fn an_answer_of_one_piece_beyond_a_bound_is_for_the_followers_that_there_are() {
    let held = Arc::<HeldBytes>::default();
    for (max_entry, budget) in [(9, BUDGET), (1 << 20, 9)] {
        let flight = Flight::new(max_entry, held.clone());
        let mut follower = flight.follow().unwrap();
        flight.begin(head());
        assert!(!flight.complete(b"0123456789", None, true, budget));
        assert!(flight.body().is_none() && flight.follow().is_none());
        assert_eq!(rest(&mut follower).await, (b"0123456789".to_vec(), None));
        let alone = Flight::new(max_entry, held.clone());
        assert!(!alone.complete(b"0123456789", None, true, budget) && alone.body().is_none());
        drop((follower, flight, alone));
        assert_eq!(held.bytes(), 0);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_stored_is_held_for_followers_alone() {
    let held = Arc::<HeldBytes>::default();
    for pieces in [&[][..], &[&b"12"[..], b"34"]] {
        let alone = Flight::new(1 << 20, held.clone());
        alone.begin(head());
        assert!(pieces.iter().all(|piece| alone.push(piece, BUDGET)));
        assert!(!alone.complete(b"56", None, false, BUDGET));
        assert!(alone.follow().is_none() && !alone.can_be_followed());
        assert_eq!(held.bytes(), 0);
        let followed = Flight::new(1 << 20, held.clone());
        let mut follower = followed.follow().unwrap();
        followed.begin(head());
        assert!(pieces.iter().all(|piece| followed.push(piece, BUDGET)));
        followed.complete(b"56", None, false, BUDGET);
        assert_eq!(rest(&mut follower).await, ([&pieces.concat()[..], b"56"].concat(), None));
    }
}

proptest! {
    /// An answer in pieces, completed by the last one, is what they make together, wherever a follower joins and whatever the bounds are.
    #[test]
    fn an_answer_is_whole_or_not_had(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..12),
        last in prop::collection::vec(any::<u8>(), 0..300),
        max_entry in 0_usize..2000,
        joins in prop::option::of(0_usize..12),
    ) {
        let held = Arc::<HeldBytes>::default();
        let flight = Flight::new(max_entry, held.clone());
        flight.begin(head());
        let mut follower = None;
        for (number, piece) in pieces.iter().enumerate() {
            if joins == Some(number) {
                follower = flight.follow();
            }
            flight.push(piece, BUDGET);
        }
        let all = [pieces.concat(), last.clone()].concat();
        let is_whole = flight.complete(&last, None, true, BUDGET);
        prop_assert_eq!(is_whole, all.len() <= max_entry);
        prop_assert_eq!(flight.body().map(|body| body.to_vec()), is_whole.then(|| all.clone()));
        if let Some(mut follower) = follower {
            prop_assert_eq!(rest(&mut follower).now_or_never(), Some((all, None)));
        }
        drop(flight);
        prop_assert_eq!(held.bytes(), 0);
    }
}
