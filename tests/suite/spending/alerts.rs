//! Alerts at shares of a budget: posted until somebody takes them, over a kill too, and their URL is told nowhere.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{call, plugins, priced_origin};
use crate::harness::{Folder, Origin, answer, eventually, gateway, http1, origin};
use crate::ledger::book::Book;

fn posted(hook: &Origin) -> Vec<Value> {
    hook.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[tokio::test]
async fn an_alert_is_posted_until_it_is_taken_and_survives_a_kill() {
    let (upstream, hook, book) = (priced_origin().await, origin().await, Book::Sqlite(Folder::new()));
    hook.answers(answer(500).body("not now"));
    let settings = format!(
        "limits: [{{ by: user, usd: 0.00024/month, alerts: [50%, 100%] }}], webhook: {{ url: \"http://{}/hooks/s3cret\" }}",
        hook.address()
    );
    let start = async || gateway().upstream(&upstream).settings(&plugins(&book, &settings)).start().await;
    let gateway = start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(call(&mut client, "alice").await.status, 200);
    eventually("two attempts", async || hook.count() >= 2).await;
    assert_eq!(gateway.metrics().await.sum("tollgate_budget_alerts_total", &[("share", "50%")]), 1.0);
    assert!(!gateway.stderr().contains("s3cret"), "{}", gateway.stderr());
    gateway.signal(Signal::SIGKILL);
    drop((gateway, client));
    hook.answers(answer(204).empty());
    let before = hook.count();
    let gateway = start().await;
    eventually("another attempt", async || hook.count() > before).await;
    eventually("none that waits", async || gateway.metrics().await.sum("tollgate_budget_alerts_waiting", &[]) == 0.0)
        .await;
    let mut client = http1(gateway.address()).await;
    eventually("the second share", async || {
        call(&mut client, "alice").await;
        posted(&hook).iter().any(|alert| alert["share"] == "100%")
    })
    .await;
    let alerts = posted(&hook);
    assert!(alerts.iter().all(|alert| alert["subject"][0] == "alice" && alert["limit"] == "user"), "{alerts:?}");
    let after: Vec<_> = alerts[before..].iter().map(|alert| alert["share"].as_str().unwrap()).collect();
    assert_eq!(after, ["50%", "100%"]);
    assert_eq!(hook.requests()[0].target, "/hooks/s3cret");
    assert!(!gateway.stderr().contains("s3cret"), "{}", gateway.stderr());
}
