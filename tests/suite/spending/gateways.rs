//! Several gateways and one Postgres: each takes over what the others spent.

use std::time::Duration;

use super::{COST, call, left, plugins_at, priced_origin, refreshed, used_up};
use crate::harness::{Folder, Gateway, eventually, gateway, http1, postgres};

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
