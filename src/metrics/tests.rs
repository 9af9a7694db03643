//! What a scrape shows.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use plugin_api::http::{Method, StatusCode};
use plugin_api::{Endpoint, Outcome, Uuid};
use tokio::time::timeout;

use super::*;

fn record(method: Method, status: Option<u16>, upstream: Option<&str>, end: Outcome) -> Record {
    Record {
        method,
        path: "/".into(),
        upstream: upstream.map(Into::into),
        attempts: 1,
        status: status.map(|status| StatusCode::from_u16(status).unwrap()),
        outcome: end,
        total: Duration::from_millis(7),
        ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
    }
}

fn none_known() -> ModelNames {
    ModelNames::new(std::iter::empty(), |_| None)
}

fn shown(metrics: &Metrics) -> String {
    shown_with(metrics, &[])
}

fn shown_with(metrics: &Metrics, servers: &[ServerFigures]) -> String {
    String::from_utf8(metrics.render(&[], servers)).unwrap()
}

/// A server that has done nothing but take requests.
fn server(upstream: &str, server: &str, in_flight: u64) -> ServerFigures {
    ServerFigures {
        upstream: upstream.into(),
        server: server.into(),
        in_flight,
        healthy: true,
        ejected: false,
        attempts: in_flight,
        failures: Vec::new(),
    }
}

#[track_caller]
fn assert_shows(metrics: &Metrics, line: &str) {
    let shown = shown(metrics);
    assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_request_and_connection_is_signalled() {
    let metrics = Metrics::new();
    timeout(Duration::ZERO, metrics.drained()).await.expect("nothing was ever in flight");
    let (request, connection) = (metrics.request_in_flight(), metrics.listener("127.0.0.1:1").count());
    let mut drained = pin!(metrics.drained());
    assert!(timeout(Duration::from_secs(1), drained.as_mut()).await.is_err());
    drop(connection);
    assert!(timeout(Duration::from_secs(1), drained.as_mut()).await.is_err(), "a detached call is still in flight");
    drop(request);
    timeout(Duration::ZERO, drained).await.expect("the signal of the last one");
}

#[test]
fn what_is_in_flight_returns_to_zero() {
    let metrics = Arc::new(Metrics::new());
    let held = (
        metrics.config_snapshot(),
        metrics.request_in_flight(),
        metrics.listener("127.0.0.1:1").count(),
        metrics.listener("127.0.0.1:2").count(),
    );
    assert_eq!((metrics.requests_in_flight(), metrics.connections_in_flight()), (1, 2));
    assert_shows(&metrics, "tollgate_config_snapshots 1");
    assert_shows(&metrics, "tollgate_requests_in_flight 1");
    assert_shows(&metrics, "tollgate_connections_in_flight{listener=\"127.0.0.1:2\"} 1");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _held = held;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!((metrics.requests_in_flight(), metrics.connections_in_flight()), (0, 0));
    let shown = shown(&metrics);
    for line in shown.lines().filter(|line| line.contains("in_flight") || line.contains("alive")) {
        assert!(line.starts_with('#') || line.ends_with(" 0"), "{line}");
    }
}

#[test]
fn a_finished_request_is_counted_and_its_time_measured() {
    let metrics = Metrics::new();
    let call = Record {
        endpoint: Some(Endpoint::MESSAGES),
        request_bytes: 100,
        response_bytes: 3000,
        ..record(Method::POST, Some(200), Some("up"), Outcome::Completed)
    };
    metrics.request_finished("a.com", &none_known(), &call);
    metrics.request_finished("a.com", &none_known(), &call);
    metrics.request_finished(
        "other",
        &none_known(),
        &record(Method::from_bytes(b"BREW").unwrap(), None, None, Outcome::ClientGone),
    );
    for line in [
        "http_request_duration_seconds_bucket{domain=\"a.com\",endpoint=\"messages\",method=\"POST\",status=\"200\",le=\"0.005\"} 0",
        "http_request_duration_seconds_bucket{domain=\"a.com\",endpoint=\"messages\",method=\"POST\",status=\"200\",le=\"0.01\"} 2",
        "http_request_duration_seconds_bucket{domain=\"a.com\",endpoint=\"messages\",method=\"POST\",status=\"200\",le=\"600\"} 2",
        "http_request_duration_seconds_sum{domain=\"a.com\",endpoint=\"messages\",method=\"POST\",status=\"200\"} 0.014",
        "http_request_duration_seconds_count{domain=\"other\",endpoint=\"other\",method=\"OTHER\",status=\"none\"} 1",
        "tollgate_request_bytes_total{domain=\"a.com\"} 200",
        "tollgate_response_bytes_total{domain=\"a.com\"} 6000",
        "tollgate_errors_total{domain=\"other\",reason=\"client_gone\"} 1",
        "tollgate_requests_total{domain=\"a.com\",outcome=\"completed\",upstream=\"up\"} 2",
        "tollgate_requests_total{domain=\"other\",outcome=\"client_gone\",upstream=\"none\"} 1",
    ] {
        assert_shows(&metrics, line);
    }
}

#[test]
fn statuses_and_methods_that_are_made_up_have_no_labels_of_their_own() {
    let metrics = Metrics::new();
    for status in 100..1000 {
        for method in ["BREW", "MAKE"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.request_finished(
                "a.com",
                &none_known(),
                &record(method, Some(status), Some("up"), Outcome::Completed),
            );
        }
    }
    let shown = shown(&metrics);
    let of = |status: &str| {
        let line = format!(
            "http_request_duration_seconds_count{{domain=\"a.com\",endpoint=\"other\",method=\"OTHER\",status=\"{status}\"}} "
        );
        shown.lines().filter(|shown| shown.starts_with(&line)).count()
    };
    assert_eq!(["101", "200", "404", "499", "503", "529", "2xx", "9xx", "299"].map(of), [1, 1, 1, 1, 1, 1, 1, 1, 0]);
    let all = shown.lines().filter(|line| line.starts_with("http_request_duration_seconds_count")).count();
    assert!(all < 110, "{all}");
    let errors = shown.lines().filter(|line| line.starts_with("tollgate_errors_total{")).count();
    assert!(errors < 80, "{errors}");
}

#[test]
fn an_error_is_counted_once_by_its_domain_and_its_reason() {
    let metrics = Metrics::new();
    let failed = |outcome, status, error| Record { error, ..record(Method::POST, Some(status), Some("up"), outcome) };
    metrics.request_finished("a.com", &none_known(), &failed(Outcome::Completed, 200, None));
    metrics.request_finished("a.com", &none_known(), &failed(Outcome::Completed, 429, None));
    for domain in ["a.com", "b.com", "b.com"] {
        metrics.request_finished(domain, &none_known(), &failed(Outcome::UpstreamFailed, 502, Some("connect")));
    }
    let shown = shown(&metrics);
    let lines: Vec<_> = shown.lines().filter(|line| line.starts_with("tollgate_errors_total{")).collect();
    assert_eq!(
        lines,
        [
            "tollgate_errors_total{domain=\"a.com\",reason=\"connect\"} 1",
            "tollgate_errors_total{domain=\"a.com\",reason=\"http_429\"} 1",
            "tollgate_errors_total{domain=\"b.com\",reason=\"connect\"} 2",
        ]
    );
}

#[test]
fn labels_that_read_alike_when_joined_stay_apart() {
    let metrics = Metrics::new();
    metrics.request_finished("a.co", &none_known(), &record(Method::GET, Some(200), Some("main"), Outcome::Completed));
    metrics.request_finished("a.com", &none_known(), &record(Method::GET, Some(200), Some("ain"), Outcome::Completed));
    let shown = shown_with(&metrics, &[server("proxy", "10.0.0.1:80", 3), server("proxy1", "0.0.0.1:80", 4)]);
    for line in [
        "tollgate_requests_total{domain=\"a.co\",outcome=\"completed\",upstream=\"main\"} 1",
        "tollgate_requests_total{domain=\"a.com\",outcome=\"completed\",upstream=\"ain\"} 1",
        "tollgate_upstream_in_flight{server=\"10.0.0.1:80\",upstream=\"proxy\"} 3",
        "tollgate_upstream_in_flight{server=\"0.0.0.1:80\",upstream=\"proxy1\"} 4",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}

#[test]
fn a_server_is_shown_as_it_is_told_and_no_longer_than_that() {
    let metrics = Metrics::new();
    let gone = server("up", "gone:1", 5);
    let sick = ServerFigures {
        healthy: false,
        ejected: true,
        attempts: 9,
        failures: vec![("connect", 2), ("status", 0)],
        ..server("up", "sick:1", 0)
    };
    let shown = shown_with(&metrics, &[gone, sick.clone()]);
    for line in [
        "# TYPE tollgate_upstream_attempts_total counter",
        "# TYPE tollgate_upstream_in_flight gauge",
        "tollgate_upstream_in_flight{server=\"gone:1\",upstream=\"up\"} 5",
        "tollgate_upstream_healthy{server=\"gone:1\",upstream=\"up\"} 1",
        "tollgate_upstream_ejected{server=\"gone:1\",upstream=\"up\"} 0",
        "tollgate_upstream_in_flight{server=\"sick:1\",upstream=\"up\"} 0",
        "tollgate_upstream_healthy{server=\"sick:1\",upstream=\"up\"} 0",
        "tollgate_upstream_ejected{server=\"sick:1\",upstream=\"up\"} 1",
        "tollgate_upstream_attempts_total{server=\"sick:1\",upstream=\"up\"} 9",
        "tollgate_upstream_failures_total{kind=\"connect\",server=\"sick:1\",upstream=\"up\"} 2",
        "tollgate_upstream_failures_total{kind=\"status\",server=\"sick:1\",upstream=\"up\"} 0",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    assert!(!shown_with(&metrics, &[sick]).contains("gone:1"));
    assert!(!shown_with(&metrics, &[]).contains("tollgate_upstream"));
}

#[test]
fn an_upstream_shows_its_queue_and_what_its_budget_refused() {
    let up = UpstreamFigures { upstream: "up".into(), queued: 3, retries_refused: 7 };
    let shown = String::from_utf8(Metrics::new().render(&[up], &[])).unwrap();
    for line in [
        "# TYPE tollgate_upstream_queue_length gauge",
        "tollgate_upstream_queue_length{upstream=\"up\"} 3",
        "# TYPE tollgate_upstream_retries_refused_total counter",
        "tollgate_upstream_retries_refused_total{upstream=\"up\"} 7",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn events_are_counted_by_what_they_befell() {
    let metrics = Metrics::new();
    assert_shows(&metrics, "tollgate_config_reloads_total{result=\"error\"} 0");
    metrics.retried("up");
    metrics.plugin_panicked("max_tokens");
    metrics.config_reloaded(true);
    let lost = metrics.access_log_lost();
    lost.fetch_add(2, Ordering::Relaxed);
    assert_shows(&metrics, "tollgate_access_log_lost_total 2");
    lost.fetch_add(1, Ordering::Relaxed);
    for line in [
        "tollgate_retries_total{upstream=\"up\"} 1",
        "tollgate_plugin_panics_total{plugin=\"max_tokens\"} 1",
        "tollgate_config_reloads_total{result=\"ok\"} 1",
        "tollgate_access_log_lost_total 3",
    ] {
        assert_shows(&metrics, line);
    }
    let shown = shown(&metrics);
    assert!(shown.contains("tollgate_build_info{version=\"") && shown.contains("process_resident_memory_bytes "));
}

#[test]
fn a_refusal_is_counted_by_its_plugin_and_its_reason() {
    let metrics = Metrics::new();
    let refused = |reason| Record {
        plugin: Some("max_tokens"),
        reason: Some(reason),
        ..record(Method::POST, Some(400), None, Outcome::Refused)
    };
    for reason in ["too_high", "too_high", "unreadable"] {
        metrics.request_finished("a.com", &none_known(), &refused(reason));
    }
    metrics.request_finished("a.com", &none_known(), &record(Method::POST, Some(404), None, Outcome::Refused));
    let text = String::from_utf8(metrics.render(&[], &[])).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("tollgate_refusals_total{")).collect();
    assert_eq!(
        lines,
        [
            "tollgate_refusals_total{plugin=\"max_tokens\",reason=\"too_high\"} 2",
            "tollgate_refusals_total{plugin=\"max_tokens\",reason=\"unreadable\"} 1",
        ]
    );
}
