//! Leases and a real Redis: its script counts as the simulation does that `quota` is tested with, and gateways that share a Redis admit
//! no more than the limit, also when it freezes or goes away.

#[path = "../../quota/src/lease/tests/simulated.rs"]
#[expect(dead_code, reason = "written for the tests of `quota`, which look into it, too")]
mod simulated;

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quota::{Calendar, Claim, Draw, Limit, Meters, Now, OnSilence, Reservation, Subject, Unit};
use redis_link::RedisLink;

use crate::script::{self, Outcome};
use crate::{Count, Denied, LeaseConfig, LeaseEvent, Leases};
use server::{Redis, until};
use simulated::SharedCount;

/// So long that only a Redis that does not run is late.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long leases hold against which the script is checked, in microseconds.
const SHORT_TTL: u64 = 2000;

/// What a draw of one of three holders says, before it is made whole.
type Said = (usize, u64, i64, u64, u64, u64, u64, bool);

fn said() -> impl Strategy<Value = Vec<Said>> {
    let draw = (0..3_usize, 0..2_u64, 0..20_i64, 0..20_u64, 0..20_u64, 0..20_u64, 0..50_u64, any::<bool>());
    prop::collection::vec(draw, 1..60)
}

fn today() -> Limit {
    Limit::Window { amount: 300, unit: Unit::Day, calendar: Calendar::UTC }
}

/// Compares what Redis answers to draws with what the simulation does at the same moments.
async fn compare(link: &Arc<RedisLink>, key: String, limit: Limit, draws: Vec<Said>) {
    let mut simulated = SharedCount::new(SHORT_TTL);
    let (mut seqs, mut totals) = ([0; 3], [0; 3]);
    for (holder, step, spent, keep, need, waiting, advance, late) in draws {
        seqs[holder] += step;
        totals[holder] += if late { -spent } else { spent };
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let draw = Draw {
            seq: seqs[holder],
            total: totals[holder],
            acked: totals[holder] - spent,
            keep,
            need: keep + need,
            waiting,
            advance,
            window: matches!(limit, Limit::Window { .. }).then(|| Calendar::UTC.window(Unit::Day, unix as i64)),
            sent: 0,
        };
        let name = key.clone();
        let drawn = link.run(async move |redis| {
            script::draw_for(&redis, &name, &format!("h{holder}"), &draw, &limit, SHORT_TTL).await
        });
        let drawn = drawn.await.unwrap();
        let expected = simulated.draw(holder, &draw, &limit, drawn.time as u64);
        let told = match drawn.outcome {
            Outcome::Counted(grant) => Some(grant),
            Outcome::OtherWindow | Outcome::Late => None,
        };
        assert_eq!(told, expected, "{draw:?} of {holder}");
        if waiting == 0 {
            // long enough for some leases to lapse
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[test]
fn the_script_counts_as_the_simulation_does() {
    let redis = Redis::started("script");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = redis.link(TIMEOUT);
    runtime.block_on(until("connected", || link.is_connected()));
    let keys = AtomicU64::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(30)
    });
    let limits = [Limit::per_second(1000, 100), Limit::per_minute(200), today(), Limit::Concurrent { amount: 50 }];
    runner
        .run(&(0..limits.len(), said()), |(limit, draws)| {
            let key = format!("test:{{{}}}", keys.fetch_add(1, Ordering::Relaxed));
            runtime.block_on(compare(&link, key, limits[limit], draws));
            Ok(())
        })
        .unwrap();
}

fn leases(redis: &Redis, timeout: Duration, on_silence: OnSilence) -> Arc<Leases> {
    let config = LeaseConfig { address: redis.address(), timeout, prefix: "test".into(), on_silence };
    Leases::start(config, Arc::default(), |_| ()).unwrap()
}

/// A gateway: its leases, and its meters of one limit.
struct Gateway {
    leases: Arc<Leases>,
    meters: Meters,
    limit: Limit,
}

impl Gateway {
    fn new(redis: &Redis, timeout: Duration, limit: Limit) -> Arc<Self> {
        Self::which(leases(redis, timeout, OnSilence::Local), limit)
    }

    fn which(leases: Arc<Leases>, limit: Limit) -> Arc<Self> {
        Arc::new(Self { leases, meters: Meters::leased(), limit })
    }

    async fn ask(&self, subject: &str, amount: u64) -> Result<Reservation, Denied> {
        let subject = Subject::of([subject]);
        let meter = self.meters.get(subject, 1000, &self.limit, self.leases.now()).meter;
        let claim = match self.limit {
            Limit::Concurrent { .. } => Claim::hold(meter, self.limit, amount),
            _ => Claim::spend(meter, self.limit, amount),
        };
        let count = Count { limit: Subject::of(["test"]), subject };
        self.leases.reserve(&[claim], &[count], self.leases.now()).await.map(|mut reserved| reserved.remove(0))
    }

    /// How many of this many calls are admitted.
    async fn admits(&self, subject: &str, calls: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..calls {
            if let Ok(reservation) = self.ask(subject, 1).await {
                self.leases.settle(reservation, 1, self.leases.now());
                admitted += 1;
            }
        }
        admitted
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_calls_at_once_on_three_gateways_exactly_the_limit_is_admitted() {
    let redis = Redis::started("exact");
    for (round, limit) in
        [today(), Limit::Rate { amount: 1, period: 3_600_000_000_000, capacity: 300 }].iter().enumerate()
    {
        let gateways: Vec<_> = (0..3).map(|_| Gateway::new(&redis, TIMEOUT, *limit)).collect();
        let mut calls = tokio::task::JoinSet::new();
        let subject = format!("round {round}");
        for number in 0..900 {
            let (gateway, subject) = (gateways[number % 3].clone(), subject.clone());
            calls.spawn(async move {
                let reserved = gateway.ask(&subject, 1).await;
                reserved.map(|reserved| gateway.leases.settle(reserved, 1, gateway.leases.now())).is_ok()
            });
        }
        let mut admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
        assert!(admitted <= 300, "{admitted}");
        // what one drew and did not use comes to the others once it is idle
        let began = Instant::now();
        while admitted < 300 {
            assert!(began.elapsed() < Duration::from_secs(30), "{admitted}");
            admitted += gateways[0].admits(&subject, 1).await;
        }
        assert_eq!((admitted, gateways[1].admits(&subject, 10).await), (300, 0));
    }
}

#[tokio::test]
async fn a_steady_flow_needs_few_commands_and_its_keys_tell_nothing_and_expire() {
    let redis = Redis::started("steady");
    let link = redis.link(TIMEOUT);
    until("connected", || link.is_connected()).await;
    let gateway = Gateway::new(&redis, TIMEOUT, Limit::per_minute(1_000_000));
    assert_eq!(gateway.admits("alice", 100).await, 100);
    let before = redis.commands(&link).await;
    assert_eq!(gateway.admits("alice", 10_000).await, 10_000);
    let commands = redis.commands(&link).await - before;
    assert!(commands < 1000, "{commands}");
    let keys = redis.keys(&link).await;
    assert!(
        keys.iter().all(|key| key.starts_with("test:limit:{") && !key.contains("alice")) && keys.len() == 1,
        "{keys:?}"
    );
    assert!(redis.ttl(&link, &keys[0]).await > 0);
}

#[tokio::test]
async fn a_gateway_that_stops_gives_back_and_one_that_goes_on_finds_what_was_used() {
    let redis = Redis::started("stops");
    let first = Gateway::new(&redis, TIMEOUT, today());
    assert_eq!(first.admits("alice", 100).await, 100);
    let leases = first.leases.clone();
    drop(first);
    tokio::task::spawn_blocking(move || leases.finish(Instant::now() + TIMEOUT)).await.unwrap();
    let second = Gateway::new(&redis, TIMEOUT, today());
    assert_eq!(second.admits("alice", 300).await, 200);
}

#[tokio::test]
async fn calls_in_progress_on_a_gateway_that_dies_end_with_its_lease() {
    let redis = Redis::started("dies");
    let limit = Limit::Concurrent { amount: 4 };
    let (first, second) = (Gateway::new(&redis, TIMEOUT, limit), Gateway::new(&redis, TIMEOUT, limit));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(first.ask("alice", 1).await.unwrap());
    }
    assert!(second.ask("alice", 1).await.is_err());
    // what is held stays so for as long as it is looked after
    let leases = first.leases.clone();
    tokio::time::sleep(Duration::from_nanos(quota::LEASE_TTL + 1_000_000_000)).await;
    assert!(second.ask("alice", 1).await.is_err());
    held.into_iter().for_each(std::mem::forget);
    leases.die();
    let began = Instant::now();
    while second.ask("alice", 1).await.map(std::mem::forget).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_frozen_redis_costs_one_wait_and_then_each_gateway_goes_on_by_itself() {
    let redis = Redis::started("frozen");
    let timeout = Duration::from_millis(200);
    for (on_silence, most) in [(OnSilence::Local, 300), (OnSilence::Allow, 2050), (OnSilence::Refuse, 300)] {
        let gateway = Gateway::which(leases(&redis, timeout, on_silence), today());
        let name = format!("{on_silence:?}");
        until("connected", || !gateway.leases.is_failing()).await;
        let before = gateway.admits(&name, 50).await;
        redis.freeze();
        let after = gateway.admits(&name, 2000).await;
        assert!(before + after <= most, "{on_silence:?}: {before} {after}");
        match on_silence {
            OnSilence::Local => assert_eq!(before + after, 300),
            OnSilence::Allow => assert_eq!((before, after), (50, 2000)),
            OnSilence::Refuse => assert_eq!(gateway.ask(&name, 1).await.unwrap_err(), Denied::Silent),
        }
        redis.thaw();
        until("used again", || !gateway.leases.is_failing()).await;
        // what was used meanwhile is counted
        let began = Instant::now();
        let other = Gateway::new(&redis, timeout, today());
        while on_silence != OnSilence::Refuse && other.ask(&name, 1).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(30), "{on_silence:?}");
        }
    }
}

#[test]
fn events_are_told_by_words_and_a_clock_that_is_wrong_is_set_by_redis() {
    let seen = Arc::new(AtomicU64::new(0));
    let redis = Redis::started("clock");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        LeaseConfig { address: redis.address(), timeout: TIMEOUT, prefix: "test".into(), on_silence: OnSilence::Local };
    let counted = seen.clone();
    let leases = Leases::start(config, Arc::default(), move |event| {
        if event == LeaseEvent::Granted {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let leases = leases.unwrap();
    let right = leases.now();
    leases.set_clock_wrong_by(3 * 86_400);
    assert!(leases.now().unix > right.unix + 2 * 86_400);
    let gateway = Gateway::which(leases, today());
    assert!(runtime.block_on(gateway.ask("alice", 1)).is_ok());
    let Now { unix, .. } = gateway.leases.now();
    assert!((unix - right.unix).abs() < 100 && seen.load(Ordering::Relaxed) > 0);
}
