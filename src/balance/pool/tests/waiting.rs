//! The queue: order, leaving, and the end of patience.

use super::*;

#[tokio::test]
async fn those_who_wait_are_served_in_the_order_they_came() {
    let settings = json!({ "queue": { "size": 2, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let held = bench.lease();
    let full = Refusal::Full(None);
    let ask = bench.ask();
    assert_eq!(bench.pool.lease(&ask).unwrap_err(), full);
    let mut first = Box::pin(bench.pool.wait(&ask, full));
    let mut second = Box::pin(bench.pool.wait(&ask, full));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    assert_eq!(bench.pool.queued(), 2);
    assert_eq!(bench.pool.wait(&ask, full).await.unwrap_err(), Refusal::QueueFull);
    drop(held);
    assert_eq!(bench.pool.lease(&ask).unwrap_err(), full, "nobody overtakes them");
    assert!(futures_util::poll!(&mut second).is_pending());
    let lease = first.await.unwrap();
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(lease);
    drop(second.await.unwrap());
    assert_eq!(bench.pool.queued(), 0);
}

#[tokio::test]
async fn one_who_leaves_the_queue_makes_way() {
    let settings = json!({ "queue": { "size": 2, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let (held, ask, full) = (bench.lease(), bench.ask(), Refusal::Full(None));
    let mut first = Box::pin(bench.pool.wait(&ask, full));
    let mut second = Box::pin(bench.pool.wait(&ask, full));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    drop(held); // the first is woken, and leaves before it has looked
    drop(first);
    drop(second.await.unwrap());
    assert_eq!(bench.pool.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_too_long_is_refused() {
    let settings = json!({ "queue": { "size": 1, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let _held = bench.lease();
    assert_eq!(bench.pool.wait(&bench.ask(), Refusal::Full(None)).await.unwrap_err(), Refusal::QueueLate);
    assert_eq!(bench.pool.queued(), 0);
}
