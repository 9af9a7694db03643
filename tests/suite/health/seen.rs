//! What an operator sees of upstreams: `/upstreams`, and the same in the metrics.

use serde_json::{Value, json};

use crate::harness::{answer, connect, eventually, gate, gateway, origin, refusing, sse};

use super::{QUICK, get, health, seen, turns};

#[tokio::test]
async fn the_operator_sees_what_each_server_is_does_and_did() {
    let (a, last) = (origin().await, gate());
    let nobody = refusing();
    let end = last.clone();
    a.answers_with(move |request| match &*request.target {
        "/stream" => sse().event("first").wait(&end).event("last").end(),
        _ => answer(200).body("hello"),
    });
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n\
         \x20 first:\n    balance: round_robin\n    servers:\n      - {{ address: \"{0}\", weight: 3 }}\n\
         \x20     - {{ address: \"{1}\", weight: 2, max_fails: 1, fail_timeout: 1h }}\n\
         \x20     - {{ address: \"{0}1\", down: true }}\n      - {{ address: \"127.0.0.1:1\", backup: true, max_conns: 7 }}\n\
         \x20   eject: {{ max_time: 1h }}\n  second:\n    servers: [{{ address: \"{0}\" }}]\nroutes: [{{ upstream: first }}]\n",
        a.server(),
        nobody.address()
    );
    let gateway = gateway().yaml(yaml.replace(&format!("{}1", a.server()), "127.0.0.1:2")).start().await;
    for _ in 0..5 {
        assert_eq!(get(&gateway).await, 200);
    }
    // a client has its answer a moment before its server is released
    gateway.idle().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until("first").await;

    let told: Value = serde_json::from_slice(&gateway.ask("GET", "/upstreams").await.body).unwrap();
    let upstreams = told["upstreams"].as_array().unwrap();
    let names: Vec<_> = upstreams.iter().map(|upstream| upstream["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!((&upstreams[0]["balance"], &upstreams[1]["balance"]), (&json!("round_robin"), &json!("least_conn")));
    let servers = upstreams[0]["servers"].as_array().unwrap();
    let of = |key: &str| servers.iter().map(|server| server[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("state"), ["up", "ejected", "down", "up"]);
    assert_eq!(of("weight"), [3, 2, 1, 1]);
    assert_eq!(of("effective_weight")[0], 3.0);
    assert_eq!(of("in_flight"), [1, 0, 0, 0]);
    assert_eq!(of("choices"), [6, 1, 0, 0]);
    assert_eq!(of("healthy"), [true; 4]);
    assert_eq!(of("ejected"), [false, true, false, false]);
    assert_eq!(of("down"), [false, false, true, false]);
    assert_eq!(of("backup"), [false, false, false, true]);
    assert_eq!(of("max_conns"), [0, 0, 0, 7]);
    assert_eq!(of("last_error"), [Value::Null, json!("connect"), Value::Null, Value::Null]);
    assert_eq!(of("health_check"), vec![Value::Null; 4]);
    let ejected = &servers[1];
    assert_eq!(ejected["failures"]["connect"], 1, "{ejected:#}");
    assert_eq!(ejected["resolved"], nobody.address().to_string());
    assert!(ejected["ejected_for_ms"].as_u64().is_some_and(|ms| (3_500_000..=3_600_000).contains(&ms)), "{ejected:#}");
    assert!(ejected["ejected_until"].as_str().is_some_and(|until| until.ends_with('Z')), "{ejected:#}");
    // a server of another upstream is another server
    assert_eq!(
        (&upstreams[1]["servers"][0]["in_flight"], &upstreams[1]["servers"][0]["choices"]),
        (&json!(0), &json!(0))
    );

    // the metrics say the same
    let metrics = gateway.metrics().await;
    let (here, there) = (a.server(), nobody.address().to_string());
    for (name, server, value) in [
        ("in_flight", &here, 1.0),
        ("in_flight", &there, 0.0),
        ("attempts_total", &here, 6.0),
        ("attempts_total", &there, 1.0),
        ("ejected", &here, 0.0),
        ("ejected", &there, 1.0),
        ("healthy", &here, 1.0),
        ("healthy", &there, 1.0),
    ] {
        let name = format!("tollgate_upstream_{name}");
        assert_eq!(metrics.sum(&name, &[("upstream", "first"), ("server", server)]), value, "{name} of {server}");
    }
    let failures = |kind| metrics.sum("tollgate_upstream_failures_total", &[("server", &there), ("kind", kind)]);
    assert_eq!((failures("connect"), failures("timeout")), (1.0, 0.0));
    assert!(metrics.has("tollgate_upstream_failures_total", &[("server", &here), ("kind", "http_529")]));
    last.open();
    client.until("last").await;
    drop(client);
    gateway.idle().await;
}

#[tokio::test]
async fn a_server_that_was_taken_out_is_seen_until_its_last_answer_ends() {
    let (a, b, last) = (origin().await, origin().await, gate());
    a.answers(sse().event("first").wait(&last).event("last").end());
    let builder = gateway().upstream(&a);
    let text = builder.text();
    let gateway = builder.start().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.until("first").await;
    for (yaml, balance) in [
        (text.replace(&a.server(), &b.server()), json!("least_conn")),
        // and so is one whose upstream is gone
        (text.replace(&a.server(), &b.server()).replace("origin", "other"), Value::Null),
    ] {
        gateway.reload(yaml).await;
        let told: Value = serde_json::from_slice(&gateway.ask("GET", "/upstreams").await.body).unwrap();
        let upstream = told["upstreams"].as_array().unwrap().iter().find(|upstream| upstream["name"] == "origin");
        assert_eq!(upstream.unwrap()["balance"], balance, "{told:#}");
        let leaving = seen(&gateway, &a.server()).await;
        assert_eq!((&leaving["state"], &leaving["in_flight"]), (&json!("leaving"), &json!(1)));
        let labels = [("upstream", "origin"), ("server", &*a.server())];
        assert_eq!(gateway.metrics().await.sum("tollgate_upstream_in_flight", &labels), 1.0);
    }
    last.open();
    client.until("last").await;
    drop(client);
    gateway.idle().await;
    assert!(!gateway.metrics().await.has("tollgate_upstream_in_flight", &[("server", &a.server())]));
}

#[tokio::test]
async fn a_server_without_an_address_is_seen_as_that() {
    let gateway = gateway().server("does-not-exist.invalid:80").upstream(&origin().await).start().await;
    let told: Value = serde_json::from_slice(&gateway.ask("GET", "/upstreams").await.body).unwrap();
    let upstream = &told["upstreams"][0];
    assert_eq!(upstream["unresolved"], json!(["does-not-exist.invalid:80"]));
    assert_eq!(upstream["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_check_is_seen_with_its_result() {
    let (a, b) = (origin().await, origin().await);
    a.answers_with(health(503));
    let gateway = gateway().upstream(&a).upstream(&b).upstream_settings(QUICK).start().await;
    turns(&gateway, &a.server(), false).await;
    let sick = seen(&gateway, &a.server()).await;
    assert_eq!(
        (&sick["state"], &sick["healthy"], &sick["ejected"]),
        (&json!("unhealthy"), &json!(false), &json!(false))
    );
    let check = &sick["health_check"];
    assert_eq!((&check["passed"], &check["status"]), (&json!(false), &json!(503)));
    assert!(check["error"].as_str().is_some_and(|error| error.starts_with("answered 503; check ")), "{check:#}");
    assert!(check["ago_ms"].as_u64().is_some_and(|ms| ms < 60_000), "{check:#}");
    assert!(check["took_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 60_000.0), "{check:#}");
    eventually("a check of the other", async || b.count() > 0).await;
    eventually("its result", async || seen(&gateway, &b.server()).await["health_check"]["passed"] == true).await;
    let well = seen(&gateway, &b.server()).await;
    assert_eq!((&well["state"], &well["healthy"]), (&json!("up"), &json!(true)));
    assert_eq!((&well["health_check"]["status"], &well["health_check"]["error"]), (&json!(200), &Value::Null));
}

#[tokio::test]
async fn upstreams_are_read_and_nothing_else() {
    let gateway = gateway().upstream(&origin().await).start().await;
    let answer = gateway.ask("POST", "/upstreams").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    let answer = gateway.ask("GET", "/upstreams").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(gateway.ask("GET", "/upstreams/").await.status, 404);
}
