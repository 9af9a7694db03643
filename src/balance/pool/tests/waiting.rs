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
    let full = SelectError::Full(None);
    let params = bench.params();
    assert_eq!(bench.pool.lease(&params).unwrap_err(), full);
    let mut first = Box::pin(bench.pool.wait(&params, full));
    let mut second = Box::pin(bench.pool.wait(&params, full));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    assert_eq!(bench.pool.queued(), 2);
    assert_eq!(bench.pool.wait(&params, full).await.unwrap_err(), SelectError::QueueFull);
    drop(held);
    assert_eq!(bench.pool.lease(&params).unwrap_err(), full, "nobody overtakes them");
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
    let (held, params, full) = (bench.lease(), bench.params(), SelectError::Full(None));
    let mut first = Box::pin(bench.pool.wait(&params, full));
    let mut second = Box::pin(bench.pool.wait(&params, full));
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
    assert_eq!(bench.pool.wait(&bench.params(), SelectError::Full(None)).await.unwrap_err(), SelectError::QueueTimeout);
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
    let params = bench.params();
    let full = bench.pool.lease(&params).unwrap_err();
    // its time is over by the runtime's clock, too
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut waiting = Box::pin(bench.pool.wait(&params, full));
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
    let params = SelectParams { tried: &tried, budget: Some(20), ..bench.params() };
    let full = bench.pool.lease(&params).unwrap_err();
    let mut waiting = Box::pin(bench.pool.wait(&params, full));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let others = (0..10_000).take_while(|_| bench.pool.upstream.budget.retry(20, Instant::now())).count();
    assert_eq!(others, 100, "to wait costs nothing of it");
    drop(held);
    assert_eq!(waiting.await.unwrap_err(), SelectError::BudgetExhausted);
    assert_eq!(bench.pool.servers()[1].server.attempts(), 1, "nobody was chosen");
}

const QUEUE: &str = r#"{ "queue": { "size": 9, "timeout": "5s" } }"#;

fn with_queue(servers: &[Value]) -> Bench {
    Bench::new(serde_json::from_str(QUEUE).unwrap(), servers)
}

/// The bench's pool after a reload to these servers.
fn reloaded(bench: &Bench, servers: &[Value]) -> Pool {
    let pool = pool(serde_json::from_str(QUEUE).unwrap(), servers, &bench.registry, &bench.resolver);
    pool.activate();
    pool
}

#[tokio::test]
async fn a_limit_that_a_reload_raises_is_raised_for_who_waits() {
    let bench = with_queue(&[json!({ "max_conns": 1 })]);
    let (params, full) = (bench.params(), SelectError::Full(None));
    let held = bench.lease();
    let mut waiting = [(); 3].map(|()| Box::pin(bench.pool.wait(&params, full)));
    for one in &mut waiting {
        assert!(futures_util::poll!(one.as_mut()).is_pending());
    }
    let after = reloaded(&bench, &[json!({ "max_conns": 3 })]);
    let [first, second, third] = &mut waiting;
    let _taken = [first.await.unwrap(), second.await.unwrap()];
    assert!(futures_util::poll!(third.as_mut()).is_pending());
    assert_eq!(after.queued(), 1);
    // and one that is lowered is lowered
    reloaded(&bench, &[json!({ "max_conns": 2 })]);
    drop(held);
    assert!(futures_util::poll!(third.as_mut()).is_pending());
}

#[tokio::test]
async fn who_comes_after_a_reload_does_not_wait_behind_those_who_cannot_use_what_it_added() {
    let bench = with_queue(&[json!({ "max_conns": 1 })]);
    let (params, full) = (bench.params(), SelectError::Full(None));
    let held = bench.lease();
    let mut old = [(); 2].map(|()| Box::pin(bench.pool.wait(&params, full)));
    for one in &mut old {
        assert!(futures_util::poll!(one.as_mut()).is_pending());
    }
    let after = reloaded(&bench, &[json!({ "max_conns": 1 }), json!({ "max_conns": 1 })]);
    assert_eq!(after.lease(&params).unwrap_err(), full, "nobody overtakes those who wait");
    let mut new = [(); 2].map(|()| Box::pin(after.wait(&params, full)));
    for one in &mut new {
        assert!(futures_util::poll!(one.as_mut()).is_pending(), "it is not for the new one to look first");
    }
    for one in &mut old {
        assert!(futures_util::poll!(one.as_mut()).is_pending());
    }
    let [first, second] = &mut new;
    let taken = first.await.unwrap();
    assert_eq!(name(&taken), 'B');
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    // what both could have is for the one who came first
    drop(held);
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let [first, next] = old;
    let held = first.await.unwrap();
    drop(taken);
    assert!(futures_util::poll!(Box::pin(next)).is_pending());
    assert_eq!(name(&second.await.unwrap()), 'B');
    drop(held);
}

#[tokio::test]
async fn one_who_leaves_passes_on_what_was_meant_for_it_wherever_it_stands() {
    let bench = with_queue(&[json!({ "max_conns": 1 })]);
    let (params, full) = (bench.params(), SelectError::Full(None));
    let _held = bench.lease();
    let mut old = Box::pin(bench.pool.wait(&params, full));
    assert!(futures_util::poll!(&mut old).is_pending());
    let after = reloaded(&bench, &[json!({ "max_conns": 1 }), json!({})]);
    let mut leaves = Box::pin(after.wait(&params, full));
    let mut stays = Box::pin(after.wait(&params, full));
    assert!(futures_util::poll!(&mut leaves).is_pending() && futures_util::poll!(&mut stays).is_pending());
    assert!(futures_util::poll!(&mut old).is_pending());
    drop(leaves);
    assert_eq!(name(&stays.await.unwrap()), 'B');
}

#[tokio::test]
async fn an_address_that_comes_with_the_dns_is_found_by_who_waits() {
    let bench = with_queue(&[json!({ "address": "proxy:80", "max_conns": 1 })]);
    let name = bench.resolver.name("proxy", 80);
    name.set_addresses(vec![at(1)]);
    let _held = bench.lease();
    let params = bench.params();
    let mut waiting = Box::pin(bench.pool.wait(&params, SelectError::Full(None)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    name.set_addresses(vec![at(1), at(2)]);
    // as the health checks do all the time
    assert_eq!(bench.pool.servers().len(), 2);
    assert_eq!(waiting.await.unwrap().server().socket(), at(2));
}

#[tokio::test]
async fn one_who_may_not_go_where_room_is_does_not_block_the_next() {
    let bench = with_queue(&[json!({ "max_conns": 1 }), json!({ "max_conns": 1 })]);
    let held = bench.open(2);
    let (tried, full) = ([held[0].server().id()], SelectError::Full(None));
    let (again, params) = (SelectParams { tried: &tried, ..bench.params() }, bench.params());
    let mut further = Box::pin(bench.pool.wait(&again, full));
    let mut first = Box::pin(bench.pool.wait(&params, full));
    assert!(futures_util::poll!(&mut further).is_pending() && futures_util::poll!(&mut first).is_pending());
    let mut held = held.into_iter();
    drop(held.next());
    assert!(futures_util::poll!(&mut further).is_pending());
    assert_eq!(name(&first.await.unwrap()), 'A');
}
