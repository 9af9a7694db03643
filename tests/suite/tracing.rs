//! Traces: a client's `traceparent`, its ids in the row and the log, and the spans that a real collector gets, decoded by OpenTelemetry's
//! own definitions.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{
    Collector, Folder, Gateway, Origin, answer, eventually, found, gateway, http1, origin, refusing, sse,
};

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CALL: &str =
    r#"{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"a secret prompt"}]}"#;
const ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"a secret answer"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2}}"#;

/// The ledger in a folder that outlives the gateway, and what else.
fn settings(ledger: &Folder, otlp: Option<String>) -> String {
    let database = ledger.path().join("ledger.db");
    let otlp = otlp.map(|otlp| format!("telemetry: {{ otlp: {{ {otlp} }} }}\n")).unwrap_or_default();
    format!("plugins: [{{ usage_log: {{ database: \"sqlite://{}\" }} }}]\n{otlp}", database.display())
}

fn to(collector: &Collector, more: &str) -> Option<String> {
    Some(format!("endpoint: \"{}\"{more}", collector.url()))
}

/// Asks with a `traceparent`.
async fn ask(gateway: &Gateway, path: &str, traceparent: Option<&str>, json: &'static str) -> u16 {
    let mut client = http1(gateway.address()).await;
    let mut request = client.request("POST", path).header("content-type", "application/json");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent).header("tracestate", "vendor=1");
    }
    client.call(request.body(crate::harness::body(json)).unwrap()).await.status.as_u16()
}

/// The rows of a ledger as an operator sees them, by `|`.
fn rows(ledger: &Folder, columns: &str) -> Vec<String> {
    let statement = format!("SELECT {columns} FROM api_requests ORDER BY id");
    let output = std::process::Command::new("python3")
        .arg("-c")
        .arg("import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print('|'.join(map(str, row)))")
        .arg(ledger.path().join("ledger.db"))
        .arg(statement)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

async fn row(ledger: &Folder, columns: &str) -> String {
    found("a row", async || rows(ledger, columns).pop()).await
}

/// Waits until a collector has so many gateway spans, and gives each trace's spans.
async fn traces(collector: &Collector, count: usize) -> HashMap<String, Vec<Value>> {
    found("all traces", async || {
        let mut traces: HashMap<String, Vec<Value>> = HashMap::new();
        for span in collector.spans() {
            let spans = traces.entry(text(&span, "trace").to_owned()).or_default();
            // a correction has the ids of what it corrects
            match spans.iter_mut().find(|known| known["span"] == span["span"]) {
                Some(known) => *known = span,
                None => spans.push(span),
            }
        }
        let whole = traces.values().filter(|spans| spans.iter().any(|span| span["kind"] == "server")).count();
        (whole >= count).then_some(traces)
    })
    .await
}

fn text<'a>(span: &'a Value, field: &str) -> &'a str {
    span[field].as_str().unwrap_or_else(|| panic!("no {field} in {span}"))
}

fn named<'a>(spans: &'a [Value], kind: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["kind"] == kind).collect()
}

fn nanos() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Waits until the consumer has nothing left.
async fn delivered(gateway: &Gateway) {
    eventually("no lag", async || {
        let metrics = gateway.metrics().await;
        metrics.has("tollgate_ledger_consumer_lag_rows", &[("consumer", "otlp")])
            && metrics.sum("tollgate_ledger_consumer_lag_rows", &[("consumer", "otlp")]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn without_telemetry_a_traceparent_passes_as_it_came_and_none_is_made() {
    let (origin, ledger) = (origin().await, Folder::new());
    origin.answers(answer(200).body("{}"));
    let settings = settings(&ledger, None) + "access_log: { path: access.log, format: '$trace_id $status' }\n";
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    for (number, sent) in [Some(CLIENT), None, Some("nonsense")].into_iter().enumerate() {
        ask(&gateway, "/v1/messages", sent, CALL).await;
        let came = origin.request(number).await;
        assert_eq!(came.header("traceparent"), sent);
        assert_eq!(came.header("tracestate"), sent.map(|_| "vendor=1"));
    }
    eventually("three rows", async || rows(&ledger, "trace_id").len() == 3).await;
    assert_eq!(rows(&ledger, "trace_id"), ["4bf92f3577b34da6a3ce929d0e0e4736", "None", "None"]);
    let log = gateway.folder().join("access.log");
    let lines = found("the log", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() == 3).then_some(text)
    });
    assert_eq!(lines.await, "4bf92f3577b34da6a3ce929d0e0e4736 200\n- 200\n- 200\n");
}

#[tokio::test]
async fn a_call_is_the_spans_that_its_way_had_below_the_clients() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let otlp = to(&collector, ", headers: { x-token: \"${file:token}\" }, compression: gzip, service_name: edge");
    let gateway =
        gateway().upstream(&origin).file("token", "a secret token\n").settings(&settings(&ledger, otlp)).start().await;
    let began = nanos();
    ask(&gateway, "/v1/messages", Some(CLIENT), CALL).await;
    let traces = traces(&collector, 1).await;
    // a gateway that is kept waiting ends its exchange later than its client has the answer
    let ended = nanos();
    let spans = &traces["4bf92f3577b34da6a3ce929d0e0e4736"];
    let root = named(spans, "server")[0];
    assert_eq!((text(root, "name"), text(root, "parent")), ("POST /v1/messages", "00f067aa0ba902b7"));
    assert_eq!(
        (&root["error"], &root["token"], &root["gzip"]),
        (&false.into(), &"a secret token".into(), &true.into())
    );
    assert_eq!(root["resource"]["service.name"], "edge");
    assert_eq!(root["flags"], 0x301);
    let told = |key: &str| root["attributes"][key].clone();
    assert_eq!(told("gen_ai.operation.name"), "chat");
    assert_eq!(told("gen_ai.provider.name"), "anthropic");
    assert_eq!(told("gen_ai.request.model"), "claude-sonnet-4-5");
    assert_eq!(told("gen_ai.response.id"), "msg_1");
    assert_eq!(told("gen_ai.response.finish_reasons"), serde_json::json!(["end_turn"]));
    assert_eq!(told("gen_ai.usage.input_tokens"), 15, "what is cached is input, by the conventions");
    assert_eq!(told("gen_ai.usage.output_tokens"), 5);
    assert_eq!(told("gen_ai.usage.cache_read.input_tokens"), 3);
    assert_eq!(told("gen_ai.usage.cache_write.input_tokens"), 2);
    assert_eq!(told("http.response.status_code"), 200);
    assert_eq!(told("tollgate.outcome"), "completed");
    assert_eq!(
        row(&ledger, "id, trace_id").await,
        format!("{}|{}", told("tollgate.request_id").as_str().unwrap(), text(root, "trace"))
    );
    // every span is below the gateway's, and within its time
    let ids: HashSet<&str> = spans.iter().map(|span| text(span, "span")).collect();
    assert_eq!(ids.len(), spans.len());
    for span in spans {
        let (start, end) = (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap());
        assert!(began <= start + 1_000 && start <= end && end <= ended, "{began} {span} {ended}");
        assert!(root["start"].as_u64().unwrap() <= start && end <= root["end"].as_u64().unwrap(), "{span}");
        if span["kind"] != "server" {
            assert_eq!(text(span, "parent"), text(root, "span"));
        }
    }
    let plugins: Vec<&str> = named(spans, "internal").iter().map(|span| text(span, "name")).collect();
    assert_eq!(plugins, ["plugins on_request", "plugins on_call"]);
    let [attempt] = named(spans, "client")[..] else { panic!("{spans:?}") };
    assert_eq!(attempt["attributes"]["network.peer.port"], origin.address().port());
    assert_eq!(attempt["attributes"]["http.response.status_code"], 200);
    // the server's own spans are below the attempt's
    let came = origin.request(0).await;
    let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", text(attempt, "span"));
    assert_eq!((came.header("traceparent"), came.header("tracestate")), (Some(&*parent), Some("vendor=1")));
    let all = format!("{:?}", collector.spans());
    assert!(!all.contains("secret prompt") && !all.contains("secret answer"), "{all}");
}

#[tokio::test]
async fn a_trace_begins_here_where_the_client_names_none_that_is_valid() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers(answer(200).body("{}"));
    let gateway = gateway().upstream(&origin).settings(&settings(&ledger, to(&collector, ""))).start().await;
    for (number, sent) in
        [None, Some("00-zz"), Some("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")].into_iter().enumerate()
    {
        ask(&gateway, "/v1/messages", sent, CALL).await;
        let came = origin.request(number).await;
        let parts: Vec<&str> = came.header("traceparent").unwrap().split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len(), parts[3]), ("00", 32, 16, "01"));
        assert_eq!(came.header("tracestate"), None, "it belongs to the trace that is not gone on with");
    }
    let traces = traces(&collector, 3).await;
    eventually("three rows", async || rows(&ledger, "trace_id").len() == 3).await;
    let of_rows: HashSet<String> = rows(&ledger, "trace_id").into_iter().collect();
    assert_eq!(of_rows, traces.keys().cloned().collect());
    assert!(traces.values().all(|spans| text(named(spans, "server")[0], "parent").is_empty()));
}

#[tokio::test]
async fn on_a_route_without_rows_a_traceparent_passes_as_it_came_and_none_is_made() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers(answer(200).body("{}"));
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ origin: {{ servers: [{{ address: \"{}\" }}] }} }}\n\
         access_log: {{ path: access.log, format: '$trace_id $status' }}\n\
         routes:\n  - {{ paths: [/plain], upstream: origin, plugins: [{{ usage_log: off }}] }}\n  - {{ paths: [/v1/], upstream: origin }}\n{}",
        origin.server(),
        settings(&ledger, to(&collector, ""))
    );
    let gateway = gateway().yaml(yaml).start().await;
    for (number, sent) in [Some(CLIENT), None].into_iter().enumerate() {
        ask(&gateway, "/plain", sent, CALL).await;
        assert_eq!(origin.request(number).await.header("traceparent"), sent);
    }
    ask(&gateway, "/v1/messages", Some(CLIENT), CALL).await;
    assert_ne!(origin.request(2).await.header("traceparent"), Some(CLIENT));
    assert_eq!(traces(&collector, 1).await.len(), 1);
    // nor has a request without a route
    for sent in [Some(CLIENT), None] {
        assert_eq!(ask(&gateway, "/nowhere", sent, CALL).await, 404);
    }
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let expected =
        ["- 200", "- 404", &format!("{id} 200"), &format!("{id} 200"), &format!("{id} 404")].map(str::to_owned);
    let log = gateway.folder().join("access.log");
    eventually("the log", async || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines: Vec<&str> = log.lines().collect();
        // each worker writes its own
        lines.sort_unstable();
        lines == expected
    })
    .await;
}

#[tokio::test]
async fn every_attempt_is_a_span_and_a_failure_says_why() {
    let (dead, busy, origin) = (refusing(), origin().await, origin().await);
    let (ledger, collector) = (Folder::new(), Collector::start());
    busy.answers(answer(503).body("{}"));
    origin.answers(answer(200).body("{}"));
    let builder = gateway()
        .server(dead.address())
        .upstream(&busy)
        .upstream(&origin)
        .upstream_settings("balance: round_robin\nretry: { attempts: 3, on: [connect, http_503] }")
        .settings(&settings(&ledger, to(&collector, ", semconv: \"1.41\"")));
    let last = format!("\"{}\" }}", origin.server());
    let text_with_backup = builder.text().replace(&last, &last.replace(" }", ", backup: true }"));
    let gateway = gateway().yaml(text_with_backup).start().await;
    assert_eq!(ask(&gateway, "/v1/messages", Some(CLIENT), CALL).await, 200);
    let traces = traces(&collector, 1).await;
    let spans = &traces["4bf92f3577b34da6a3ce929d0e0e4736"];
    let attempts = named(spans, "client");
    let told = |span: &&Value| {
        let attributes = &span["attributes"];
        (attributes["network.peer.port"].as_u64().unwrap(), attributes["error.type"].as_str().map(str::to_owned))
    };
    let told: HashSet<_> = attempts.iter().map(told).collect();
    let port = |address: std::net::SocketAddr| u64::from(address.port());
    let expected = [
        (port(dead.address()), Some("connect".to_owned())),
        (port(busy.address()), Some("status".to_owned())),
        (port(origin.address()), None),
    ];
    assert_eq!(told, expected.into_iter().collect(), "{spans:?}");
    assert_eq!(attempts.iter().filter(|span| span["error"] == true).count(), 2);
    assert_eq!(attempts[2]["attributes"]["http.request.resend_count"], 2);
    assert_eq!(named(spans, "server")[0]["attributes"]["tollgate.attempts"], 3);
    assert_eq!(text(&spans[0], "schema"), "https://opentelemetry.io/schemas/1.41.0");
    assert!(attempts.windows(2).all(|pair| pair[0]["end"].as_u64() <= pair[1]["start"].as_u64()), "{attempts:?}");
    for (server, span) in [(&busy, &attempts[..2]), (&origin, &attempts[2..])] {
        let told = server.request(0).await.header("traceparent").unwrap()[36..52].to_owned();
        assert!(span.iter().any(|span| text(span, "span") == told), "each server is told its own attempt");
    }
}

#[tokio::test]
async fn the_first_token_of_a_stream_is_an_event_of_its_span() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    let start = r#"{"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-5","usage":{"input_tokens":1,"output_tokens":1}}}"#;
    origin.answers(sse().event(start).event(delta).event(r#"{"type":"message_stop"}"#).end());
    let gateway = gateway().upstream(&origin).settings(&settings(&ledger, to(&collector, ""))).start().await;
    let call =
        r#"{"model":"claude-sonnet-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    ask(&gateway, "/v1/messages", Some(CLIENT), call).await;
    let traces = traces(&collector, 1).await;
    let root = named(&traces["4bf92f3577b34da6a3ce929d0e0e4736"], "server")[0].clone();
    assert_eq!(root["events"][0]["name"], "first_token", "{root}");
    let time = root["events"][0]["time"].as_u64().unwrap();
    assert!(root["start"].as_u64().unwrap() <= time && time <= root["end"].as_u64().unwrap(), "{root}");
    assert!(root["attributes"]["gen_ai.response.time_to_first_chunk"].is_number());
}

/// Traces whose ids decide either way: in a half of all, by the bits that OpenTelemetry's SDKs take, and not.
fn trace_ids(count: u64) -> impl Iterator<Item = (String, bool)> {
    (0..count).map(move |number| {
        let low = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let is_in = u128::from(low >> 1) < (1_u128 << 63) / 2;
        (format!("00-00000000000000ff{low:016x}-00f067aa0ba902b7-01"), is_in)
    })
}

async fn ask_all(gateway: &Gateway, traces: impl Iterator<Item = (String, bool)>, path: &str) -> HashSet<String> {
    let mut expected = HashSet::new();
    let mut client = http1(gateway.address()).await;
    for (traceparent, is_in) in traces {
        let request = client.request("POST", path).header("traceparent", &traceparent);
        let request = request.header("content-type", "application/json").body(crate::harness::body(CALL)).unwrap();
        client.call(request).await;
        if is_in {
            expected.insert(traceparent[3..35].to_owned());
        }
    }
    expected
}

fn has(collector: &Collector) -> HashSet<String> {
    let roots = collector.spans().into_iter().filter(|span| span["kind"] == "server");
    roots.map(|span| text(&span, "trace").to_owned()).collect()
}

#[tokio::test]
async fn the_share_of_traces_is_sent_and_every_failure() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers_with(|came| answer(if came.target == "/fail" { 500 } else { 200 }).body("{}"));
    let gateway =
        gateway().upstream(&origin).settings(&settings(&ledger, to(&collector, ", sample: 50%"))).start().await;
    let expected = ask_all(&gateway, trace_ids(200), "/v1/messages").await;
    delivered(&gateway).await;
    assert_eq!(has(&collector), expected);
    assert!(expected.len() > 80 && expected.len() < 120);
    let failed = "00-00000000000000eeffffffffffffffff-00f067aa0ba902b7-00";
    ask(&gateway, "/fail", Some(failed), CALL).await;
    traces(&collector, expected.len() + 1).await;
    let root = collector.spans().into_iter().rfind(|span| span["kind"] == "server").unwrap();
    assert_eq!((text(&root, "trace"), &root["error"]), ("00000000000000eeffffffffffffffff", &true.into()));
}

#[tokio::test]
async fn an_outage_of_the_collector_loses_no_span_and_delays_no_row() {
    let (origin, ledger, mut collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers(answer(200).body("{}"));
    let otlp = to(&collector, ", timeout: 1s");
    let mut running = start(&origin, &ledger, otlp.clone()).await;
    let mut expected = ask_all(&running, all(0), "/a").await;
    // frozen: it takes connections and answers nothing
    collector.signal(Signal::SIGSTOP);
    expected.extend(ask_all(&running, all(1), "/b").await);
    fails(&running, "timeout").await;
    collector.signal(Signal::SIGCONT);
    expected.extend(ask_all(&running, all(2), "/c").await);
    // gone
    collector.kill();
    expected.extend(ask_all(&running, all(3), "/d").await);
    fails(&running, "connection").await;
    eventually("an empty queue", async || running.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0).await;
    assert_eq!(rows(&ledger, "id").len(), expected.len(), "the database has all meanwhile");
    assert!(running.metrics().await.sum("tollgate_ledger_consumer_lag_rows", &[]) > 0.0);
    // and the gateway is killed before anything could go
    running.signal(Signal::SIGKILL);
    running.wait_exit(Duration::from_secs(20)).await;
    let running = start(&origin, &ledger, otlp).await;
    expected.extend(ask_all(&running, all(4), "/e").await);
    collector.start_again();
    collector.answers("status=503&times=2&retry_after=1").await;
    delivered(&running).await;
    assert_eq!(has(&collector), expected);
    assert_eq!(running.metrics().await.sum("tollgate_ledger_consumer_lost_total", &[]), 0.0);
}

async fn start(origin: &Origin, ledger: &Folder, otlp: Option<String>) -> Gateway {
    gateway().upstream(origin).settings(&settings(ledger, otlp)).start().await
}

/// Traces of their own for each part of a test, all of which are sent.
fn all(part: u64) -> impl Iterator<Item = (String, bool)> {
    (0..20).map(move |number| (format!("00-{:016x}{:016x}-00f067aa0ba902b7-01", part + 1, number + 1), true))
}

async fn fails(gateway: &Gateway, kind: &str) {
    eventually(kind, async || {
        gateway.metrics().await.sum("tollgate_ledger_consumer_errors_total", &[("consumer", "otlp"), ("kind", kind)])
            > 0.0
    })
    .await;
}

#[tokio::test]
async fn what_a_collector_refuses_for_good_is_counted_and_does_not_hold_up_the_rest() {
    let (origin, ledger, collector) = (origin().await, Folder::new(), Collector::start());
    origin.answers(answer(200).body("{}"));
    collector.answers("status=400").await;
    let gateway = start(&origin, &ledger, to(&collector, "")).await;
    ask(&gateway, "/a", Some(CLIENT), CALL).await;
    gateway.says("the collector refuses spans for good").await;
    delivered(&gateway).await;
    let rejected = async || gateway.metrics().await.sum("tollgate_ledger_consumer_rejected_total", &[]);
    let refused = rejected().await;
    assert!(refused >= 2.0, "{refused}");
    collector.answers("partial=1").await;
    let expected = ask_all(&gateway, all(0), "/b").await;
    delivered(&gateway).await;
    assert_eq!((rejected().await, has(&collector)), (refused + 1.0, expected));
}

#[tokio::test]
async fn a_reload_changes_the_collector_and_an_upgrade_goes_on() {
    let (origin, ledger) = (origin().await, Folder::new());
    let (first, second) = (Collector::start(), Collector::start());
    origin.answers(answer(200).body("{}"));
    let (before, after) = (settings(&ledger, to(&first, "")), settings(&ledger, to(&second, "")));
    let builder = gateway().upstream(&origin).settings(&before);
    let text = builder.text();
    let mut gateway = builder.start().await;
    let of_first = ask_all(&gateway, all(0), "/a").await;
    delivered(&gateway).await;
    gateway.rewrite(text.replace(&before, &after));
    gateway.signal(Signal::SIGHUP);
    gateway.says("configuration reloaded").await;
    let mut of_second = ask_all(&gateway, all(1), "/b").await;
    let old = gateway.upgrade().await;
    // a connection that the old process still took ends with its next answer
    gateway.ended(old).await;
    of_second.extend(ask_all(&gateway, all(2), "/c").await);
    eventually("all spans", async || has(&second).is_superset(&of_second)).await;
    assert_eq!((has(&first), has(&second)), (of_first, of_second));
}
