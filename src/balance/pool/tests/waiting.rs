//! The queue: order, leaving, and the end of patience.

use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake, Waker};

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

/// Counts how often what it is handed to wants to be polled again.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    /// How often this wants to be polled again that is not done yet, if it is polled once.
    async fn of(waiting: Pin<&mut impl Future<Output: std::fmt::Debug>>) -> usize {
        let wakes = Arc::new(Self::default());
        let polled = waiting.poll(&mut Context::from_waker(&Waker::from(wakes.clone())));
        assert!(polled.is_pending(), "{polled:?}");
        // the runtime puts off a wake for want of budget
        tokio::task::yield_now().await;
        wakes.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn who_waits_while_a_server_is_asked_whether_it_is_back_sleeps() {
    let settings = json!({ "queue": { "size": 1, "timeout": "5s" } });
    let mut bench = Bench::new(settings, &[json!({ "fail_timeout": "1ms" }), json!({ "max_conns": 1 })]);
    bench.fail(bench.lease());
    bench.pass(1);
    let _held = bench.on(1);
    let mut probe = bench.lease();
    assert_eq!(name(&probe), 'A');
    let ask = bench.ask();
    let full = bench.pool.lease(&ask).unwrap_err();
    // its time is over by the runtime's clock, too
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut waiting = Box::pin(bench.pool.wait(&ask, full));
    assert_eq!(Wakes::of(waiting.as_mut()).await, 0);
    bench.pool.answered(&mut probe, Duration::ZERO, bench.now);
    assert_eq!(name(&waiting.await.unwrap()), 'A');
}

#[tokio::test]
async fn a_further_attempt_that_waits_is_within_the_budget_when_its_turn_comes() {
    let settings = json!({ "queue": { "size": 1, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({}), json!({ "max_conns": 1 })]);
    let held = bench.on(1);
    let tried = [bench.on(0).server().id()];
    let ask = Ask { tried: &tried, budget: Some(20), ..bench.ask() };
    let full = bench.pool.lease(&ask).unwrap_err();
    let mut waiting = Box::pin(bench.pool.wait(&ask, full));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let others = (0..10_000).take_while(|_| bench.pool.group.budget.retry(20, Instant::now())).count();
    assert_eq!(others, 100, "to wait costs nothing of it");
    drop(held);
    assert_eq!(waiting.await.unwrap_err(), Refusal::Budget);
    assert_eq!(bench.pool.servers()[1].server.choices(), 1, "nobody was chosen");
}
