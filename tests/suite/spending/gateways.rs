//! Several gateways and one Postgres: each takes over what the others spent.

use std::time::Duration;

use super::{COST, call, left, plugins_at, priced_origin, refreshed, used_up};
use crate::harness::{Folder, Gateway, Redis, eventually, gateway, http1, postgres, redis};

const SETTINGS: &str = "limits: [{ by: user, usd: 0.06/month }], reserve: max_tokens, refresh: 200ms";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_share_a_budget_within_the_time_of_a_refresh() {
    let (origin, server) = (priced_origin().await, postgres().await);
    let folders = [Folder::new(), Folder::new(), Folder::new()];
    let mut gateways: Vec<Gateway> = Vec::new();
    for folder in &folders {
        let yaml = plugins_at(&server.url(), &folder.path().join("journal"), SETTINGS);
        gateways.push(gateway().upstream(&origin).settings(&yaml).start().await);
    }
    let sum = || -> i64 {
        server.sql("SELECT coalesce(sum(cost_usd * 1000000), 0)::bigint FROM api_requests").parse().unwrap()
    };
    // one of them spends nearly all
    let mut client = http1(gateways[0].address()).await;
    for _ in 0..490 {
        assert_eq!(call(&mut client, "alice").await.status, 200);
    }
    eventually("all rows", async || sum() == 490 * COST).await;
    for gateway in &gateways[1..] {
        refreshed(gateway).await;
        let answer = used_up(&mut http1(gateway.address()).await, "alice").await;
        assert!(answer.0 <= 10, "{}", answer.0);
    }
    // at once, each spends at most what was left when it was told last
    let mut calls = tokio::task::JoinSet::new();
    for gateway in &gateways {
        let mut client = http1(gateway.address()).await;
        calls.spawn(async move { used_up(&mut client, "bob").await.0 });
    }
    let passed: i64 = tokio::time::timeout(Duration::from_secs(60), calls.join_all()).await.unwrap().into_iter().sum();
    assert!(passed >= 498 && passed * COST <= 3 * 60_000, "{passed}");
    eventually("all rows", async || sum() >= (490 + passed) * COST).await;
    for gateway in &gateways {
        refreshed(gateway).await;
        let (passed, refused) = used_up(&mut http1(gateway.address()).await, "bob").await;
        assert!(passed <= 1 && left(&refused) <= 2 * COST, "{passed}");
        assert_eq!(gateway.metrics().await.sum("tollgate_budget_drift_usd", &[]), 0.0);
    }
}

/// How many calls it is by default; `TOLLGATE_TEST_CALLS` may name more.
const CALLS: i64 = 1000;
/// Users whose calls all fit into their budgets.
const USERS: i64 = 20;

/// Calls at once on all gateways, of which every fourth is by one user. How many of that one's passed.
async fn calls_of_all(gateways: &[Gateway], calls: i64) -> i64 {
    const AT_ONCE: i64 = 9;
    let mut asking = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let address = gateways[worker as usize % gateways.len()].address();
        asking.spawn(async move {
            let (mut client, mut passed) = (http1(address).await, 0);
            for number in (0..calls).filter(|number| number % AT_ONCE == worker) {
                if number / AT_ONCE % 4 == 0 {
                    match call(&mut client, "greedy").await.status.as_u16() {
                        200 => passed += 1,
                        status => assert_eq!(status, 429),
                    }
                } else {
                    assert_eq!(call(&mut client, &format!("user {}", number % USERS)).await.status, 200);
                }
            }
            passed
        });
    }
    asking.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_and_the_ledger_agree_to_the_last_digit_after_kills_of_postgres_and_redis() {
    let calls = std::env::var("TOLLGATE_TEST_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let (origin, mut server, redis) = (priced_origin().await, postgres().await, redis(&[]).await);
    // the greedy one makes a quarter of all calls, and has money for less; everybody else for more than they make
    let (own, all) = (calls * COST * 6 / 100, 2 * calls * COST);
    let usd = |micros: i64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let settings = format!(
        "limits: [{{ by: user, usd: {}/month }}, {{ by: all, usd: {}/month }}], reserve: max_tokens, refresh: 200ms",
        usd(own),
        usd(all)
    );
    let limits = "limits: [{ by: user, requests: 10000000/h, tokens: 1000000000/d }, { by: all, concurrent: 1000 }]";
    let limits = format!("  - rate_limit: {{ {limits}, redis: {{ url: {:?} }} }}\n  - usage_log", redis.url());
    let folders = [Folder::new(), Folder::new(), Folder::new()];
    let mut gateways: Vec<Gateway> = Vec::new();
    for folder in &folders {
        let yaml = plugins_at(&server.url(), &folder.path().join("journal"), &settings);
        let yaml = yaml.replace("  - usage_log", &limits);
        gateways.push(gateway().upstream(&origin).settings(&yaml).start().await);
    }
    // each of these happens while a part of the calls is under way
    let mut passed = calls_of_all(&gateways, calls / 5).await;
    let (more, ()) = tokio::join!(calls_of_all(&gateways, calls / 5), async { server.kill() });
    let (still_more, address) = tokio::join!(calls_of_all(&gateways, calls / 5), async { redis.kill() });
    passed += more + still_more;
    let (more, ()) = tokio::join!(calls_of_all(&gateways, calls / 5), server.start());
    let (still_more, _redis) = tokio::join!(calls_of_all(&gateways, calls / 5), Redis::again(address));
    passed += more + still_more;
    for gateway in &gateways {
        super::nothing_is_reserved(gateway).await;
        let queue = async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]);
        eventually("an empty journal", async || queue().await == 0.0).await;
    }
    let sum = || -> i64 {
        server.sql("SELECT coalesce(sum(cost_usd * 1000000), 0)::bigint FROM api_requests").parse().unwrap()
    };
    let spent = sum();
    assert_eq!(spent, origin.count() as i64 * COST);
    // a gateway that hears nothing of the others spends at most all of a budget by itself
    assert!(passed > 0 && passed * COST <= 3 * own, "{passed} calls of {own}");
    // the next answer may be to a query from before the last rows came
    for gateway in &gateways {
        eventually("in the budgets what is in the ledger", async || {
            let metrics = gateway.metrics().await;
            let off = [("all", all), ("user", own)].map(|(limit, budget)| {
                metrics.sum("tollgate_budget_used_ratio", &[("limit", limit)]) * budget as f64 - spent as f64
            });
            metrics.sum("tollgate_budget_drift_usd", &[]) == 0.0 && off.iter().all(|off| off.abs() < 0.01)
        })
        .await;
    }
    println!(
        "{} calls, {passed} of the greedy user for {own} microdollars; {spent} microdollars in the ledger and in each of three gateways",
        origin.count()
    );
}
