//! A gateway with all that there is to see, under load, scraped by a real Prometheus: each panel has data, and each alert has something
//! to look at.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{alerts, dashboard, name, queries};
use crate::harness::{
    Authority, Folder, Gateway, Origin, Postgres, Prometheus, Redis, Script, answer, body, eventually, gateway, http1,
    origin, postgres, prometheus, redis, sse,
};

/// Between two calls of a client.
const PACE: Duration = Duration::from_millis(5);
/// What Grafana puts in the place of its variables: a few scrapes, the time shown, what is chosen.
const GRAFANA: [(&str, &str); 5] =
    [("$__rate_interval", "5s"), ("$__range", "1m"), ("$job", "tollgate"), ("$instance", ".*"), ("$domain", ".*")];

/// A gateway under load, with all that stands beside it.
struct Scene {
    gateway: Gateway,
    _origins: [Origin; 2],
    _postgres: Postgres,
    _redis: Redis,
    _folder: Folder,
    load: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.load.abort();
    }
}

impl Scene {
    async fn new() -> Self {
        let (postgres, redis, folder) = (postgres().await, redis(&[]).await, Folder::new());
        postgres.sql("CREATE EXTENSION pg_stat_statements");
        let origins = [origin().await, origin().await];
        origins[0].answers_with(|asked| answered(asked.header("x-user") == Some("streaming")));
        origins[1].answers(answer(503).body("no"));
        let issued = Authority::new().issue(&["a.example.com"]);
        let text = yaml(&origins, &postgres.url(), &redis.url(), &folder);
        let gateway = gateway()
            .with_examples()
            .yaml(text)
            .file("edge.pem", issued.certificate)
            .file("edge.key", issued.key)
            .start()
            .await;
        let load = tokio::spawn(load(gateway.address()));
        Self { gateway, _origins: origins, _postgres: postgres, _redis: redis, _folder: folder, load }
    }
}

/// A listener with TLS beside the plain one, two routes, of which one leads to a server that fails, and every plugin that counts something.
fn yaml(origins: &[Origin; 2], database: &str, redis: &str, folder: &Folder) -> String {
    let [well, failing] = origins.each_ref().map(Origin::server);
    let journal = folder.path().join("journal");
    // sha256 of `key-of-alice`
    let key = "d16a80956c32f3f5fb979bea408abac8c3eef6c54ecb234279e337146cf87b47";
    format!(
        "listeners:\n  - address: \"127.0.0.1:0\"\n  - address: \"127.0.0.1:0\"\n    tls: {{ certificates: [{{ certificate: edge.pem, private_key: edge.key }}] }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\ntelemetry: {{ otlp: {{ endpoint: \"http://{well}\" }} }}\n\
         upstreams:\n  well: {{ servers: [{{ address: \"{well}\" }}] }}\n  \
         failing:\n    balance: round_robin\n    servers: [{{ address: \"{failing}\" }}, {{ address: \"{well}\" }}]\n    \
         eject: {{ on: [] }}\n    retry: {{ attempts: 2, on: [http_503], budget: 100% }}\n\
         plugins:\n  - api_keys: {{ keys: [{{ name: alice, tenant: team-a, sha256: {key} }}], anonymous: pass }}\n  \
         - max_tokens: {{ limit: 1000 }}\n  \
         - rate_limit:\n      redis: {{ url: \"{redis}\" }}\n      limits: [{{ by: all, tokens: 100000000/m, concurrent: 100 }}]\n  \
         - budget: {{ limits: [{{ by: all, usd: 1000/month }}], unpriced: allow, refresh: 500ms }}\n  \
         - response_cache: {{ redis: {{ url: \"{redis}\" }}, scope: {{ name: all }} }}\n  \
         - usage_log:\n      database: \"{database}\"\n      journal: {{ path: {journal:?} }}\n      tenant_labels: 5\n      \
         prices: {{ m: {{ input: 1, output: 1, cache_read: 0.1, cache_write: 1 }} }}\n\
         routes:\n  - {{ hosts: [a.example.com], upstream: well }}\n  \
         - {{ hosts: [few.example.com], upstream: well, plugins: [{{ rate_limit: {{ limits: [{{ name: few, by: all, requests: 1/h }}] }} }}] }}\n  \
         - {{ hosts: [failing.example.com], upstream: failing, plugins: [{{ inject_faults: {{}} }}] }}\n"
    )
}

/// A stream, or an answer in one piece, with tokens of every class.
fn answered(as_stream: bool) -> Script {
    let usage =
        r#"{"input_tokens":20,"output_tokens":100,"cache_read_input_tokens":70,"cache_creation_input_tokens":5}"#;
    if !as_stream {
        let text = format!(r#"{{"id":"m","type":"message","content":[],"stop_reason":"end_turn","usage":{usage}}}"#);
        return answer(200).header("content-type", "application/json").body(text);
    }
    sse()
        .event(&format!(r#"{{"type":"message_start","message":{{"id":"m","usage":{usage}}}}}"#))
        .event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#)
        .pause(Duration::from_millis(20))
        .event(&format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#))
        .event(r#"{"type":"message_stop"}"#)
        .end()
}

/// Calls of every kind that leaves a mark somewhere, one after the other until it is aborted.
async fn load(address: SocketAddr) {
    // host, path, call, header
    const CALLS: [(&str, &str, &str, (&str, &str)); 8] = [
        (
            "a.example.com",
            "/v1/messages",
            r#"{"model":"m","max_tokens":100,"messages":[],"n":N}"#,
            ("x-api-key", "key-of-alice"),
        ),
        (
            "a.example.com",
            "/v1/messages",
            r#"{"model":"m","max_tokens":100,"stream":true,"messages":[],"n":N}"#,
            ("x-user", "streaming"),
        ),
        (
            "a.example.com",
            "/v1/messages",
            r#"{"model":"without-price","max_tokens":10,"messages":[],"n":N}"#,
            ("x-user", "u"),
        ),
        ("a.example.com", "/v1/messages", r#"{"model":"m","max_tokens":9999,"messages":[]}"#, ("x-user", "u")),
        ("few.example.com", "/v1/messages", r#"{"model":"m","max_tokens":10,"messages":[]}"#, ("x-user", "u")),
        (
            "failing.example.com",
            "/v1/messages",
            r#"{"model":"m","max_tokens":10,"messages":[],"n":N}"#,
            ("x-user", "u"),
        ),
        (
            "failing.example.com",
            "/v1/messages",
            r#"{"model":"m","max_tokens":10,"messages":[],"n":N}"#,
            ("x-fault", "panic on_request"),
        ),
        ("elsewhere.example.com", "/", "", ("x-user", "u")),
    ];
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_usize.. {
        let (host, path, call, (header, value)) = CALLS[number % CALLS.len()];
        pace.tick().await;
        let mut client = http1(address).await;
        let request = hyper::Request::post(path).header("host", host).header("content-type", "application/json");
        let request = request.header(header, value).body(body(call.replace('N', &number.to_string())));
        if let Ok(mut streaming) = client.send(request.unwrap()).await {
            let _ = streaming.rest().await;
        }
    }
}

/// Whether a query has an answer with a number in it.
async fn has_data(prometheus: &Prometheus, query: &str) -> Result<(), String> {
    let samples = prometheus.query(query).await?;
    let is_number = |sample: &Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
    if samples.iter().any(is_number) { Ok(()) } else { Err(format!("{samples:?}")) }
}

#[tokio::test]
async fn every_panel_has_data_and_every_alert_something_to_look_at() {
    let scene = Scene::new().await;
    let prometheus = prometheus(scene.gateway.admin()).await;
    let mut wanted = Vec::new();
    for name in ["performance", "tollgate"] {
        for (title, query) in queries(&dashboard(name)) {
            let query = GRAFANA.iter().fold(query.to_owned(), |query, (from, to)| query.replace(from, to));
            wanted.push((format!("{name}: {title}"), query));
        }
    }
    assert!(wanted.len() > 60, "{}", wanted.len());
    let mut missing = Vec::new();
    // a rate needs two scrapes, and some figures are looked at once a second
    eventually("data in every panel", async || {
        missing.clear();
        for (panel, query) in &wanted {
            if let Err(why) = has_data(&prometheus, query).await {
                missing.push(format!("{panel}: {query}: {why}"));
            }
        }
        if !missing.is_empty() && missing.len() < 6 {
            println!("still without data: {missing:#?}");
        }
        missing.is_empty()
    })
    .await;
    let known = prometheus.get("/api/v1/label/__name__/values").await;
    let known: BTreeSet<&str> = known["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for alert in alerts() {
        let expression = alert["expr"].as_str().unwrap();
        // texts are values of labels
        let code = expression.split('"').step_by(2);
        let names = code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'));
        let metrics: Vec<&str> = names.filter(|name| *name == "up" || is_ours(name)).collect();
        assert!(!metrics.is_empty(), "{expression}");
        for metric in metrics {
            assert!(known.contains(metric), "{}: no metric {metric}", name(&alert));
        }
    }
    // and Prometheus can evaluate each
    eventually("rules that were evaluated", async || {
        let answer = prometheus.get("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        let failed: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(failed.is_empty(), "{failed:?}");
        rules.len() == alerts().len() && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    assert_eq!(prometheus.log(), "", "Prometheus complains of nothing that it scrapes");
    promtool_has_nothing_to_say(&scene.gateway).await;
}

fn is_ours(name: &str) -> bool {
    ["tollgate_", "process_", "http_", "gen_ai_"].iter().any(|begin| name.starts_with(begin))
        && name != "gen_ai_response_model"
}

/// Names, types, units and help texts are as Prometheus wants them.
async fn promtool_has_nothing_to_say(gateway: &Gateway) {
    let page = gateway.ask("GET", "/metrics").await.body;
    let mut command = Command::new("promtool");
    let command =
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = command.spawn().expect("promtool is installed");
    run.stdin.take().unwrap().write_all(&page).unwrap();
    let run = run.wait_with_output().unwrap();
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
