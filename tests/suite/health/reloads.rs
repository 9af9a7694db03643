//! What is known of a server's health outlives the configuration, as long as the server is checked.

use crate::harness::{eventually, gateway, origin};

use super::{QUICK, calls, get, health, is_healthy, seen, turns};

/// A check that was made and is not made again soon.
const ONCE: &str = "health_check: { path: /health, interval: 1h, jitter: 0, healthy: 1, unhealthy: 1 }";

#[tokio::test]
async fn a_reload_keeps_the_health_of_the_servers_that_stay() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(health(503));
    let builder = gateway().upstream(&a).upstream(&b).upstream_settings(ONCE);
    let text = builder.text();
    let gateway = builder.start().await;
    turns(&gateway, &a.server(), false).await;
    eventually("a check of the other", async || b.count() == 1).await;
    for n in 0..20 {
        // also with a check that differs, or among other servers
        gateway.reload(text.replace("jitter: 0", &format!("jitter: {n}ms"))).await;
        assert!(!is_healthy(&gateway, &a.server()).await);
        assert_eq!(get(&gateway).await, 200);
    }
    assert_eq!((calls(&a), a.count(), b.count()), (0, 1, 21), "nobody was checked again, or asked while it is sick");
}

#[tokio::test]
async fn a_shorter_interval_is_at_work_at_once() {
    let a = origin().await;
    let builder = gateway().upstream(&a).upstream_settings(ONCE);
    let text = builder.text();
    let gateway = builder.start().await;
    a.answered(0).await;
    gateway.reload(text.replace("interval: 1h", "interval: 10ms")).await;
    a.answered(5).await;
}

#[tokio::test]
async fn without_its_check_a_server_gets_requests_again() {
    let a = origin().await;
    a.answers_with(health(503));
    let builder = gateway().upstream(&a).upstream_settings(QUICK);
    let text = builder.text();
    let gateway = builder.start().await;
    turns(&gateway, &a.server(), false).await;
    assert_eq!(get(&gateway).await, 503);
    gateway.reload(text.replace(QUICK, "")).await;
    turns(&gateway, &a.server(), true).await;
    gateway.says("server unchecked").await;
    assert_eq!(get(&gateway).await, 200);
    assert!(seen(&gateway, &a.server()).await["health_check"].is_null());
    let checks = a.count() - calls(&a);
    for _ in 0..20 {
        assert_eq!(get(&gateway).await, 200);
    }
    assert_eq!(a.count() - calls(&a), checks);
    // with it again it begins anew
    gateway.reload(text).await;
    eventually("a check", async || a.count() - calls(&a) > checks).await;
    turns(&gateway, &a.server(), false).await;
}

#[tokio::test]
async fn a_server_that_is_taken_down_is_not_checked() {
    let (a, b) = (origin().await, origin().await);
    let builder = gateway().upstream(&a).upstream(&b).upstream_settings(QUICK);
    let text = builder.text();
    let gateway = builder.start().await;
    a.answered(1).await;
    let server = format!("{{ address: \"{}\"", a.server());
    gateway.reload(text.replace(&server, &format!("{server}, down: true"))).await;
    eventually("a check that is forgotten", async || seen(&gateway, &a.server()).await["health_check"].is_null()).await;
    let checks = a.count();
    b.answered(b.count() + 3).await;
    assert_eq!((a.count(), &seen(&gateway, &a.server()).await["state"]), (checks, &"down".into()));
    gateway.reload(text).await;
    a.answered(checks + 1).await;
}

#[tokio::test]
async fn a_server_that_goes_is_checked_no_more_and_one_that_comes_is() {
    let (a, b) = (origin().await, origin().await);
    let builder = gateway().upstream(&a).upstream_settings(QUICK);
    let text = builder.text();
    let gateway = builder.start().await;
    a.answered(1).await;
    gateway.reload(text.replace(&a.server(), &b.server())).await;
    b.answered(1).await;
    let checks = a.count();
    b.answered(b.count() + 3).await;
    assert_eq!(a.count(), checks);
}

#[tokio::test]
async fn a_server_that_is_new_and_unhealthy_at_first_gets_no_request_before_its_first_check() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(health(200));
    b.answers_with(health(503));
    let settings = QUICK.replace("unhealthy: 1", "unhealthy: 1, initial: unhealthy");
    let builder = gateway().upstream(&a).upstream_settings(&settings);
    let wider = gateway().upstream(&a).upstream(&b).upstream_settings(&settings).text();
    let gateway = builder.start().await;
    turns(&gateway, &a.server(), true).await;
    gateway.reload(wider).await;
    for _ in 0..20 {
        assert_eq!(get(&gateway).await, 200);
    }
    assert_eq!(calls(&b), 0);
}
