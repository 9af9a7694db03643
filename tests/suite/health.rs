//! Active health checks: a server that is not well gets no requests, and gets them again when it is.

mod checks;
mod reloads;
mod seen;
mod storm;

use serde_json::Value;

use crate::harness::{Gateway, Origin, Received, Script, answer, eventually, gateway, http1, origin};

/// A check that takes little time: one failure is enough, and one success.
const QUICK: &str = "health_check: { path: /health, interval: 20ms, jitter: 1ms, healthy: 1, unhealthy: 1 }";

/// Answers its health path with this status, and all else as ever.
fn health(status: u16) -> impl Fn(&Received) -> Script {
    move |request| answer(if request.target == "/health" { status } else { 200 }).body("hello")
}

/// How many requests have come that are no checks.
fn calls(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.target != "/health").count()
}

/// Waits until the gateway takes a server for healthy, or does not.
async fn turns(gateway: &Gateway, server: &str, healthy: bool) {
    let what = format!("{server} to be {}", if healthy { "healthy" } else { "unhealthy" });
    eventually(&what, async || is_healthy(gateway, server).await == healthy).await;
}

async fn is_healthy(gateway: &Gateway, server: &str) -> bool {
    gateway.metrics().await.sum("tollgate_upstream_healthy", &[("server", server)]) == 1.0
}

/// The status of a GET through the gateway.
async fn get(gateway: &Gateway) -> u16 {
    http1(gateway.address()).await.get("/").await.status.as_u16()
}

/// What `/upstreams` tells of a server.
async fn seen(gateway: &Gateway, server: &str) -> Value {
    let answer = gateway.ask("GET", "/upstreams").await;
    assert_eq!(answer.status, 200);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let mut servers =
        told["upstreams"].as_array().unwrap().iter().flat_map(|upstream| upstream["servers"].as_array().unwrap());
    let found = servers.find(|seen| seen["address"] == server);
    found.cloned().unwrap_or_else(|| panic!("{server} is not in {told:#}"))
}

#[tokio::test]
async fn a_server_that_turns_sick_gets_no_requests_until_it_is_well_again() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(health(200));
    let gateway = gateway().upstream(&a).upstream(&b).upstream_settings(QUICK).start().await;
    a.answers_with(health(503));
    turns(&gateway, &a.server(), false).await;
    let before = calls(&a);
    for _ in 0..20 {
        assert_eq!(get(&gateway).await, 200);
    }
    assert_eq!((calls(&a), calls(&b)), (before, 20));
    let told = gateway.says("server unhealthy").await;
    assert!(told.contains(&a.server()) && told.contains("answered 503"), "{told}");

    a.answers_with(health(204));
    turns(&gateway, &a.server(), true).await;
    for _ in 0..20 {
        assert_eq!(get(&gateway).await, 200);
    }
    assert!(calls(&a) - before >= 5, "{}", calls(&a) - before);
    assert!(gateway.says("server healthy").await.contains(&a.server()));
    let changes = gateway.stderr().lines().filter(|line| line.contains("\"server\"")).count();
    assert_eq!(changes, 2, "one line for each change: {}", gateway.stderr());
}

#[tokio::test]
async fn a_server_changes_only_after_as_many_checks_in_a_row_as_the_settings_say() {
    let a = origin().await;
    let settings = "health_check: { path: /health, interval: 10ms, jitter: 0, healthy: 2, unhealthy: 3, timeout: 10s }";
    // two of three fail, for ever: never three in a row
    for status in [200, 503, 503].repeat(20) {
        a.answers_next(answer(status).body(""));
    }
    a.answers(answer(503).body(""));
    let gateway = gateway().upstream(&a).upstream_settings(settings).start().await;
    a.answered(58).await;
    assert!(!gateway.stderr().contains("unhealthy"), "{}", gateway.stderr());
    gateway.says("server unhealthy").await;
    assert!(a.count() >= 61, "{}", a.count());
    for status in [200, 503].repeat(20) {
        a.answers_next(answer(status).body(""));
    }
    let seen = a.count();
    a.answered(seen + 40).await;
    assert!(!gateway.stderr().contains("server healthy"), "{}", gateway.stderr());
    a.answers(answer(200).body(""));
    gateway.says("server healthy").await;
}

#[tokio::test]
async fn where_no_server_is_healthy_requests_are_told_so_at_once() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(health(500));
    b.answers_with(health(500));
    let gateway = gateway().upstream(&a).upstream(&b).upstream_settings(QUICK).start().await;
    turns(&gateway, &a.server(), false).await;
    turns(&gateway, &b.server(), false).await;
    let answer = http1(gateway.address()).await.post("/v1/messages", "{}").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "error", "{}", answer.text());
    assert_eq!((calls(&a), calls(&b)), (0, 0));
    b.answers_with(health(200));
    turns(&gateway, &b.server(), true).await;
    assert_eq!(get(&gateway).await, 200);
}

#[tokio::test]
async fn a_backup_takes_over_while_no_other_is_healthy() {
    let (a, spare) = (origin().await, origin().await);
    a.answers_with(health(500));
    let yaml = gateway().upstream(&a).upstream(&spare).upstream_settings(QUICK).text();
    let spare_server = format!("{{ address: \"{}\" }}", spare.server());
    let yaml = yaml.replace(&spare_server, &spare_server.replace(" }", ", backup: true }"));
    let gateway = gateway().yaml(yaml).start().await;
    turns(&gateway, &a.server(), false).await;
    assert_eq!(get(&gateway).await, 200);
    assert_eq!((calls(&a), calls(&spare)), (0, 1));
    a.answers_with(health(200));
    turns(&gateway, &a.server(), true).await;
    assert_eq!(get(&gateway).await, 200);
    assert_eq!((calls(&a), calls(&spare)), (1, 1));
}

#[tokio::test]
async fn a_server_that_is_unhealthy_at_first_gets_requests_from_its_first_good_check_on() {
    let (a, well) = (origin().await, crate::harness::gate());
    let gated = well.clone();
    a.answers_with(move |request| match &*request.target {
        "/health" => answer(200).body("").after(&gated),
        _ => answer(200).body("hello"),
    });
    let settings =
        QUICK.replace("healthy: 1, unhealthy: 1", "healthy: 5, unhealthy: 5, timeout: 20s, initial: unhealthy");
    let gateway = gateway().upstream(&a).upstream_settings(&settings).start().await;
    a.request(0).await;
    assert_eq!(get(&gateway).await, 503);
    assert!(!is_healthy(&gateway, &a.server()).await);
    well.open();
    turns(&gateway, &a.server(), true).await;
    assert_eq!(get(&gateway).await, 200);
    assert_eq!(calls(&a), 1);
}
