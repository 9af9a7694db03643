//! The admin listener of the real gateway: health, readiness from start to stop, metrics, reload.

mod access;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Gateway, RawAnswer, connect, eventually, gate, gateway, origin, sse};

#[tokio::test]
async fn a_gateway_that_serves_is_healthy_and_ready() {
    let gateway = gateway().upstream(&origin().await).start().await;
    for (path, body) in [("/healthz", "ok"), ("/readyz", "ready"), ("/readyz?verbose=1", "ready")] {
        let answer = gateway.ask("GET", path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
    }
    let mut admin = connect(gateway.admin()).await;
    admin.send("HEAD /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = admin.answer_to("HEAD").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("2")));
}

#[tokio::test]
async fn a_gateway_that_stops_is_healthy_but_not_ready_and_answers_to_its_end() {
    let (origin, last) = (origin().await, gate());
    origin.answers(sse().event("first").wait(&last).event("last").end());
    let mut gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until("first").await;

    gateway.signal(Signal::SIGTERM);
    eventually("a gateway that is not ready", async || gateway.ask("GET", "/readyz").await.status == 503).await;
    assert_eq!(gateway.ask("GET", "/readyz").await.text(), "draining");
    assert_eq!(gateway.ask("GET", "/healthz").await.status, 200);
    assert_eq!(gateway.ask("GET", "/metrics").await.status, 200);
    let answer = gateway.ask("POST", "/reload").await;
    assert_eq!((answer.status, &object(&answer)["error"]), (503, &json!("stopping")));

    last.open();
    client.until("last").await;
    assert!(gateway.wait_exit(DEADLINE).await.status.success());
}

#[tokio::test]
async fn a_gateway_is_ready_once_the_checks_that_its_servers_wait_for_were_made() {
    let (origin, wait) = (origin().await, gate());
    origin.answers(sse().after(&wait).event("fine").end());
    let checked = "health_check: { path: /health, interval: 1s, timeout: 10s, initial: unhealthy }";
    let gateway = gateway().upstream(&origin).upstream_settings(checked).start().await;
    origin.request(0).await;
    let answer = gateway.ask("GET", "/readyz").await;
    let waiting = format!("starting\nwaits for the first health check of {} of origin", origin.server());
    assert_eq!((answer.status, answer.text()), (503, waiting));
    assert_eq!(gateway.ask("GET", "/healthz").await.status, 200);
    wait.open();
    eventually("a gateway that is ready", async || gateway.ask("GET", "/readyz").await.status == 200).await;
}

#[tokio::test]
async fn metrics_tell_of_requests_and_of_the_process() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);

    let count = "http_request_duration_seconds_count";
    eventually("a request that is counted", async || gateway.metrics().await.sum(count, &[]) == 1.0).await;
    let answer = gateway.ask("GET", "/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let metrics = gateway.metrics().await;
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(metrics.has(name, &[]), "{name}");
    }
    assert!(!metrics.in_flight().is_empty());
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told_in_json() {
    let gateway = gateway().upstream(&origin().await).start().await;
    for (method, path, status, error, allow) in [
        ("GET", "/", 404, "not_found", None),
        ("POST", "/metrics", 405, "method_not_allowed", Some("GET, HEAD")),
        ("GET", "/reload", 405, "method_not_allowed", Some("POST")),
    ] {
        let answer = gateway.ask(method, path).await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
        assert_eq!(object(&answer)["error"], error, "{method} {path}");
    }
}

#[tokio::test]
async fn a_reload_is_done_when_it_is_answered() {
    let (before, after) = (origin().await, origin().await);
    let builder = gateway().upstream(&before);
    let text = builder.text();
    let gateway = builder.start().await;
    assert_eq!(get(&gateway).await, 200);
    assert_eq!((before.count(), after.count()), (1, 0));

    gateway.rewrite(text.replace(&before.server(), &after.server()));
    let answer = gateway.ask("POST", "/reload").await;
    assert_eq!((answer.status, object(&answer)), (200, json!({ "reloaded": true })));
    assert_eq!(get(&gateway).await, 200);
    assert_eq!((before.count(), after.count()), (1, 1));
}

#[tokio::test]
async fn a_reload_of_a_bad_file_changes_nothing_and_tells_every_error_with_its_place() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    gateway.rewrite(text.replace("- upstream: origin", "- { upstream: orgin, hots: [a] }"));

    let answer = gateway.ask("POST", "/reload").await;
    assert_eq!(answer.status, 400);
    let told = object(&answer);
    assert_eq!(told["reloaded"], false);
    let errors = told["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{told:#}");
    let line = 1 + text.lines().position(|line| line.contains("- upstream: origin")).unwrap();
    for (error, meant) in errors.iter().zip(["`origin`", "`hosts`"]) {
        assert_eq!(error["line"], line, "{error}");
        assert!(error["message"].as_str().unwrap().contains(meant), "{error}");
        let place = format!("{}:{line}:{}: ", gateway.file().display(), error["column"]);
        assert!(error["text"].as_str().unwrap().starts_with(&place), "{error}");
    }
    assert_eq!(get(&gateway).await, 200);
    assert_eq!(gateway.ask("GET", "/readyz").await.status, 200);

    gateway.rewrite(text);
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
}

#[tokio::test]
async fn an_admin_address_that_is_taken_ends_the_start_with_its_place() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = gateway().upstream(&origin().await);
    let admin = "admin: { address: \"127.0.0.1:0\" }";
    let text = builder.text().replace(admin, &format!("admin: {{ address: \"{}\" }}", holder.local_addr().unwrap()));
    let exit = builder.yaml(text).start_fails().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.stderr.contains("tollgate.yaml:2:19: admin.address: cannot listen on "), "{}", exit.stderr);
}

/// The status of a request through the gateway.
async fn get(gateway: &Gateway) -> u16 {
    let mut client = connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.answer().await.status
}

fn object(answer: &RawAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}
