//! `merge_embeddings` over sockets: a burst, rows, errors, clients that leave, kills. What is decided is tested beside the plugin's code.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate::simulate::{self, Settings};

use crate::harness::{
    Alpn, Answer, Authority, Client, Folder, Gateway, Origin, Script, answer, body, eventually, gate, gateway, h2c,
    http1, origin, tls_origin,
};
use crate::ledger::book::Book;

const MERGE: &str = "merge_embeddings: { window: 20ms }";
const PATH: &str = "/v1/embeddings";

/// A simulated upstream of a test's own.
fn simulator(ttft: &str) -> SocketAddr {
    let listener = simulate::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(simulate::serve(listener, Settings { ttft: ttft.parse().unwrap(), ..Settings::default() }));
    address
}

fn plugins(plugins: &[&str]) -> String {
    let plugins: String = plugins.iter().map(|plugin| format!("  - {plugin}\n")).collect();
    format!("plugins:\n{plugins}")
}

fn usage_log(book: &Book) -> String {
    let (database, journal) = (book.url(), book.journal());
    format!("usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}")
}

/// An answer as providers write it, with so many embeddings.
fn pretty(embeddings: usize, tokens: u64) -> String {
    let data: Vec<String> = (0..embeddings)
        .map(|index| {
            format!(
                "    {{\n      \"object\": \"embedding\",\n      \"index\": {index},\n      \"embedding\": [\n        -0.00690{index},\n        1.0e-2\n      ]\n    }}"
            )
        })
        .collect();
    format!(
        "{{\n  \"object\": \"list\",\n  \"data\": [\n{}\n  ],\n  \"model\": \"m-1\",\n  \"usage\": {{\n    \"prompt_tokens\": {tokens},\n    \"total_tokens\": {tokens}\n  }}\n}}\n",
        data.join(",\n")
    )
}

/// One call to hold the way open, whose answer comes once the gate is opened, and the gate.
async fn held(
    gateway: &Gateway,
    origin: &Origin,
    key: &'static str,
) -> (crate::harness::Gate, tokio::task::JoinHandle<Answer>) {
    let (hold, number) = (gate(), origin.count());
    origin.answers_next(answer(200).header("content-type", "application/json").body(pretty(1, 1)).after(&hold));
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", PATH).header("content-type", "application/json").header("authorization", key);
    let request = request.body(body(r#"{"model":"m","input":"first"}"#)).unwrap();
    let first = tokio::spawn(async move { client.call(request).await });
    origin.request(number).await;
    (hold, first)
}

/// A call that can go with the one that is held.
async fn embed(client: &mut Client, input: &str) -> Answer {
    let request = client.request("POST", PATH).header("content-type", "application/json").header("authorization", "k");
    client.call(request.body(body(format!("{{\"model\":\"m\",\"input\":\"{input}\"}}"))).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_ten_thousand_calls_is_a_tenth_of_it_upstream_and_every_token_has_its_row() {
    const CONNECTIONS: usize = 50;
    const CALLS: usize = 200;
    let (simulator, book) = (simulator("10ms"), Book::Sqlite(Folder::new()));
    let gateway =
        gateway().server(simulator).settings(&plugins(&[&usage_log(&book), "merge_embeddings: {}"])).start().await;
    let asked = |number: usize| {
        let (text, format) =
            (format!("text {} {}", number % 97, "x".repeat(number % 53)), ["float", "base64"][number % 2]);
        let input = if number.is_multiple_of(5) { json!([text, "second"]) } else { json!(text) };
        json!({ "model": "text-embedding-3-small", "input": input, "dimensions": 4, "encoding_format": format })
            .to_string()
    };
    let connections = join_all((0..CONNECTIONS).map(|_| h2c(gateway.address()))).await;
    let calls = connections.iter().enumerate().flat_map(|(connection, client)| {
        (0..CALLS).map(move |call| {
            let (mut client, number) = (client.share(), connection * CALLS + call);
            tokio::spawn(async move { (number, client.post(PATH, asked(number)).await) })
        })
    });
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    let (mut tokens, mut alone) = (0, http1(simulator).await);
    for (number, answer) in answers.into_iter().map(Result::unwrap) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        if number % 101 == 0 {
            let wanted = alone.post(PATH, asked(number)).await.text();
            let data = |text: &str| text.split_once("\"usage\"").unwrap().0.to_owned();
            assert_eq!(data(&answer.text()), data(&wanted), "{number}");
        }
        tokens += answer.json()["usage"]["total_tokens"].as_u64().unwrap();
    }
    let total = CONNECTIONS * CALLS;
    book.has_rows(total).await;
    let columns =
        "count(*), sum(input_tokens), sum(usage_source = 'reported' AND outcome = 'completed' AND upstream = 'origin'
        AND server IS NOT NULL AND attempts = 1 AND cost_usd > 0)";
    assert_eq!(book.sql(&format!("SELECT {columns} FROM api_requests")), format!("{total}|{tokens}|{total}"));
    let metrics = gateway.metrics().await;
    let upstream = metrics.sum("tollgate_upstream_attempts_total", &[]);
    println!("{total} calls were {upstream} upstream");
    assert!(upstream <= total as f64 / 10.0, "{upstream} calls went upstream");
    let sent = |how| metrics.sum("tollgate_merge_calls_total", &[("sent", how)]);
    assert_eq!(sent("alone") + sent("merged"), total as f64);
    assert_eq!(metrics.sum("tollgate_merge_members_sum", &[]), sent("merged"));
    assert_eq!(metrics.sum("tollgate_merge_upstream_calls_total", &[]) + sent("alone"), upstream);
    drop(connections);
    gateway.idle().await;
}

#[tokio::test]
async fn each_caller_gets_the_bytes_of_a_server_behind_tls_as_if_it_had_asked_alone() {
    let authority = Authority::new();
    for alpn in [Alpn::Http1, Alpn::H2] {
        let origin = tls_origin(&authority, &["localhost"], alpn).await;
        let gateway = gateway()
            .upstream(&origin)
            .upstream_settings("headers: { authorization: Bearer ours }")
            .settings(&plugins(&[MERGE]))
            .start()
            .await;
        let (hold, first) = held(&gateway, &origin, "k").await;
        let json = ("content-type", "application/json");
        let whole = answer(200).header(json.0, json.1).header("x-request-id", "r7").body(pretty(3, 10));
        origin.answers_next(whole);
        let (mut a, mut b) = (http1(gateway.address()).await, h2c(gateway.address()).await);
        // credentials of their own, in the place of which the upstream has ours
        let call = |client: &Client, key: &str, input: &str| {
            let request = client.request("POST", PATH).header(json.0, json.1).header("authorization", key);
            request.body(body(format!("{{\"model\":\"m\",\"input\":{input}}}"))).unwrap()
        };
        let (one, two) = (call(&a, "k", "\"aaaa\""), call(&b, "k", "[\"bbbb\",\"cccc\"]"));
        let (one, two) = tokio::join!(a.call(one), b.call(two));
        assert_eq!((one.status.as_u16(), one.header("x-request-id")), (200, Some("r7")));
        assert_eq!(one.header("content-length"), Some(&*one.body.len().to_string()));
        let merged = origin.request(1).await;
        assert_eq!(merged.header("authorization"), Some("Bearer ours"));
        let (first_one, second) = (r#"["aaaa","bbbb","cccc"]"#, r#"["bbbb","cccc","aaaa"]"#);
        let sent = String::from_utf8(merged.body).unwrap();
        let is_first = sent.contains(first_one);
        assert!(is_first || sent.contains(second), "{sent}");
        // as the server would write it for each, but for the numbers that are those of its inputs
        let own = |text: String| text.replace("-0.006901", "-0.006900").replace("-0.006902", "-0.006901");
        let (aaaa, bbbb) = (one.text(), two.text());
        let wanted = if is_first {
            (pretty(1, 3), own(bbbb.clone()))
        } else {
            (pretty(1, 3).replace("-0.006900", "-0.006902"), bbbb.clone())
        };
        assert_eq!(aaaa, wanted.0);
        assert_eq!(wanted.1, pretty(2, 7));
        hold.open();
        assert_eq!(first.await.unwrap().text(), pretty(1, 1), "the first went as it came");
        drop((a, b));
        gateway.idle().await;
    }
}

#[tokio::test]
async fn bodies_of_every_framing_and_encoding_come_through_and_large_ones_are_left_alone() {
    // long enough for all connections, on a machine that is busy
    let simulator = simulator("400ms");
    let merge = "merge_embeddings: { window: 300ms }";
    let gateway = gateway().server(simulator).settings(&plugins(&[merge])).start().await;
    let text = json!({ "model": "m", "input": "hello", "dimensions": 3 }).to_string();
    let large =
        json!({ "model": "m", "input": "hello", "dimensions": 3, "padding": "x".repeat(20_000_000) }).to_string();
    let mut direct = http1(simulator).await;
    let data = |answer: &Answer| answer.json()["data"].clone();
    let wanted = data(&direct.post(PATH, text.clone()).await);
    let mut packed = Vec::new();
    {
        let mut writer = brotli::CompressorWriter::new(&mut packed, 4096, 5, 20);
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    }
    let call = |bytes: Vec<u8>, encoding: Option<&'static str>, number: usize| {
        let address = gateway.address();
        tokio::spawn(async move {
            let mut client = if number.is_multiple_of(2) { http1(address).await } else { h2c(address).await };
            let request = client.request("POST", PATH).header("content-type", "application/json");
            let request = encoding.iter().fold(request, |request, coding| request.header("content-encoding", *coding));
            client.call(request.body(body(bytes)).unwrap()).await
        })
    };
    let sent = async |how| gateway.metrics().await.sum("tollgate_merge_calls_total", &[("sent", how)]);
    let plain = || text.clone().into_bytes();
    let first = call(plain(), None, 0);
    eventually("a call under way", async || sent("alone").await == 1.0).await;
    // packed ones are merged as text, since the upstream reads no Brotli
    let others = [(plain(), None), (packed.clone(), Some("br")), (plain(), None), (packed, Some("br"))];
    let others = others.into_iter().enumerate().map(|(number, (bytes, encoding))| call(bytes, encoding, number));
    let large = (0..3).map(|number| call(large.clone().into_bytes(), None, number));
    for answer in join_all(others.chain(large).chain([first]).collect::<Vec<_>>()).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), data(&answer)), (200, wanted.clone()));
    }
    assert_eq!((sent("merged").await, sent("alone").await), (4.0, 4.0));
    // chunked
    let mut client = http1(gateway.address()).await;
    let (upload, chunked) = crate::harness::upload();
    let request = client.request("POST", PATH).header("content-type", "application/json").body(chunked).unwrap();
    let calling = tokio::spawn(async move { client.call(request).await });
    for piece in text.as_bytes().chunks(7) {
        upload.send(piece.to_vec()).await;
    }
    drop(upload);
    assert_eq!(data(&calling.await.unwrap()), wanted);
    gateway.idle().await;
}

#[tokio::test]
async fn an_input_that_the_upstream_refuses_fails_its_own_call_alone() {
    let (simulator, book) = (simulator("10ms"), Book::Sqlite(Folder::new()));
    let gateway = gateway().server(simulator).settings(&plugins(&[&usage_log(&book), MERGE])).start().await;
    // the simulator takes no more tokens in a call, and this is one text of more than it lets pass with others
    let call =
        |dimensions: u64| json!({ "model": "m", "input": format!("text {dimensions}"), "dimensions": dimensions });
    let calls = |wrong: bool| {
        (0..12).map(move |number| (number, if wrong { call(0) } else { call(3) }.to_string())).collect::<Vec<_>>()
    };
    for (wrong, status) in [(true, 400), (false, 200)] {
        let answers = join_all(calls(wrong).into_iter().map(|(_, text)| {
            let address = gateway.address();
            async move { http1(address).await.post(PATH, text).await }
        }));
        for answer in answers.await {
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        }
    }
    book.has_rows(24).await;
    let rows = book.sql("SELECT response_status, outcome, count(*) FROM api_requests GROUP BY 1, 2 ORDER BY 1");
    assert_eq!(rows, "200|completed|12\n400|completed|12");
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("tollgate_merge_calls_total", &[("sent", "again")]) >= 2.0);
    gateway.idle().await;
}

#[tokio::test]
async fn a_server_that_is_busy_or_gone_is_told_to_every_caller_in_its_row() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = gateway()
        .upstream(&origin)
        .upstream_settings("retry: { attempts: 1 }")
        .settings(&plugins(&[&usage_log(&book), MERGE]))
        .start()
        .await;
    let busy = answer(429).header("retry-after", "7").header("content-type", "application/json");
    let (hold, first) = held(&gateway, &origin, "k").await;
    origin.answers_next(busy.body(r#"{"error":{"type":"rate_limit"}}"#));
    let call = async |number: usize| embed(&mut http1(gateway.address()).await, &number.to_string()).await;
    for answer in join_all((0..3).map(call)).await {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("7")));
        assert_eq!(answer.text(), r#"{"error":{"type":"rate_limit"}}"#);
    }
    origin.answers(Script::closing());
    for answer in join_all((0..3).map(call)).await {
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (502, &json!("bad_gateway")));
    }
    hold.open();
    assert_eq!(first.await.unwrap().status, 200);
    book.has_rows(7).await;
    let columns = "response_status, outcome, coalesce(error_type, '-'), upstream, attempts, count(*)";
    let rows = book.sql(&format!("SELECT {columns} FROM api_requests GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"));
    assert!(rows.starts_with("200|completed|-|origin|1|1\n429|completed|"), "{rows}");
    assert!(rows.contains("502|upstream_failed|") && rows.ends_with("|origin|1|3"), "{rows}");
    assert_eq!(origin.count(), 3, "one for all of them, each time");
    gateway.idle().await;
}

#[tokio::test]
async fn what_a_merged_call_cost_that_was_of_no_use_is_in_the_rows_of_its_callers() {
    let (origin, book) = (origin().await, Book::Sqlite(Folder::new()));
    let gateway = gateway().upstream(&origin).settings(&plugins(&[&usage_log(&book), MERGE])).start().await;
    let (hold, first) = held(&gateway, &origin, "k").await;
    let of = |answer: String| answer.replace("\"m-1\"", "\"text-embedding-3-small\"");
    let json = |answer: String| self::answer(200).header("content-type", "application/json").body(of(answer));
    // no index, as some servers answer, and then each call by itself
    origin.answers_next(json(pretty(2, 9).replace("\"index\"", "\"place\"")));
    origin.answers_next(json(pretty(1, 4)));
    origin.answers_next(json(pretty(1, 4)));
    let call = async |input: &str| embed(&mut http1(gateway.address()).await, input).await;
    for answer in join_all([call("aaaa"), call("bbbb")]).await {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, of(pretty(1, 4))));
    }
    hold.open();
    first.await.unwrap();
    book.has_rows(3).await;
    // nine tokens are five and four beside the callers' own, and each is paid for
    let columns = "input_tokens, usage_source, outcome, cost_usd > 0 AND input_tokens * 0.00000002 - cost_usd < 1e-12";
    let rows = format!("SELECT {columns} FROM api_requests WHERE response_bytes > 0 AND input_tokens > 1 ORDER BY 1");
    assert_eq!(book.sql(&rows), "8|reported|completed|1\n9|reported|completed|1");
    assert_eq!(gateway.metrics().await.sum("tollgate_merge_discarded_tokens_total", &[]), 9.0);
    gateway.idle().await;
}

#[tokio::test]
async fn the_call_upstream_ends_with_its_last_caller_and_not_before() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugins(&[MERGE])).start().await;
    let (hold, first) = held(&gateway, &origin, "k").await;
    let never = gate();
    origin.answers_next(answer(200).body(pretty(2, 2)).after(&never));
    let mut leaving = Vec::new();
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let call = tokio::spawn(async move { embed(&mut client, "a").await });
        leaving.push(call);
    }
    origin.request(1).await;
    let in_flight = async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]);
    leaving.remove(0).abort();
    eventually("the end of one caller", async || in_flight().await == 2.0).await;
    assert!(origin.request(1).await.abandoned.is_none());
    leaving.remove(0).abort();
    origin.abandoned(1).await;
    hold.open();
    first.await.unwrap();
    gateway.idle().await;
}

#[tokio::test]
async fn limits_keys_and_the_cache_work_for_each_caller_as_ever() {
    let simulator = simulator("30ms");
    let all = [
        "api_keys: { keys: [{ name: alice, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90, tenant: t }, { name: bob, sha256: 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9, tenant: t, limits: { requests: 2/h } }] }",
        "rate_limit: {}",
        "response_cache: {}",
        MERGE,
    ];
    let gateway = gateway().server(simulator).settings(&plugins(&all)).start().await;
    let call = async |key: &str, text: &str| {
        // over HTTP/2 a call that others may join runs on a task of its own
        let address = gateway.address();
        let mut client = if key.ends_with("bob") { h2c(address).await } else { http1(address).await };
        let request =
            client.request("POST", PATH).header("content-type", "application/json").header("authorization", key);
        let text = json!({ "model": "m", "input": text, "dimensions": 3 }).to_string();
        client.call(request.body(body(text)).unwrap()).await
    };
    let bob = "Bearer bob";
    let calls = [("Bearer alice", "a"), ("Bearer alice", "b"), (bob, "c"), (bob, "d"), (bob, "e")];
    let answers = join_all(calls.map(|(key, text)| call(key, text))).await;
    let status = |key: &str| -> Vec<u16> {
        let of_key = answers.iter().zip(calls).filter(|(_, (own, _))| *own == key);
        of_key.map(|(answer, _)| answer.status.as_u16()).collect()
    };
    assert_eq!(status("Bearer alice"), [200, 200]);
    let mut of_bob = status(bob);
    of_bob.sort_unstable();
    assert_eq!(of_bob, [200, 200, 429]);
    // each is stored by itself
    let again = call("Bearer alice", "b").await;
    assert_eq!((again.status.as_u16(), again.header("x-cache")), (200, Some("HIT")));
    assert_eq!(again.json()["data"], answers[1].json()["data"]);
    let merged = gateway.metrics().await.sum("tollgate_merge_calls_total", &[("sent", "merged")]);
    assert!(merged >= 2.0, "{merged}");
    gateway.idle().await;
}

/// Asks again and again on one connection until it breaks: the paths whose answers came whole.
async fn ask(address: SocketAddr, path: String) -> Vec<String> {
    let mut received = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return received };
    for number in 0.. {
        let (path, body) = (format!("{path}/{number}{PATH}"), r#"{"model":"m","input":"a","dimensions":2}"#);
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (mut came, mut bytes) = (Vec::new(), [0; 4096]);
        if stream.write_all(request.as_bytes()).await.is_err() {
            break;
        }
        while !came.ends_with(b"}}") {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return received,
                Ok(length) => came.extend_from_slice(&bytes[..length]),
            }
        }
        received.push(path);
    }
    received
}

#[tokio::test]
async fn no_kill_at_any_moment_loses_or_doubles_the_row_of_a_merged_call() {
    const CLIENTS: usize = 30;
    let (simulator, book, mut received) = (simulator("2ms"), Book::Sqlite(Folder::new()), Vec::new());
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ sim: {{ servers: [{{ address: \"{simulator}\" }}] }} }}\n{}\
         routes:\n  - {{ paths: [\"~ ^/[^/]+/[^/]+/[^/]+(/v1/embeddings)$\"], rewrite: \"$1\", upstream: sim }}\n",
        plugins(&[&usage_log(&book), "merge_embeddings: { window: 2ms }"])
    );
    for round in 0..8 {
        let gateway = gateway().yaml(&yaml).start().await;
        let asking = (0..CLIENTS).map(|client| tokio::spawn(ask(gateway.address(), format!("/k/{round}x{client}"))));
        let asking: Vec<_> = asking.collect();
        let merged = async || gateway.metrics().await.sum("tollgate_merge_calls_total", &[("sent", "merged")]);
        eventually("merged calls for all", async || merged().await >= 3.0 * CLIENTS as f64).await;
        // a moment that no test chose
        tokio::time::sleep(Duration::from_micros(200 * u64::from(plugin_api::Uuid::now_v7().as_bytes()[15]))).await;
        gateway.signal(Signal::SIGKILL);
        for paths in join_all(asking).await {
            received.extend(paths.unwrap());
        }
    }
    let gateway = gateway().yaml(&yaml).start().await;
    eventually("an empty journal", async || gateway.metrics().await.sum("tollgate_ledger_queue_rows", &[]) == 0.0)
        .await;
    let rows = book.sql("SELECT path FROM api_requests");
    let unique: HashSet<&str> = rows.lines().collect();
    assert_eq!(unique.len(), rows.lines().count(), "a row stands twice");
    let missing: Vec<_> = received.iter().filter(|path| !unique.contains(path.as_str())).collect();
    assert!(missing.is_empty(), "{} of {} rows are missing: {missing:?}", missing.len(), received.len());
    assert!(received.len() > CLIENTS * 20, "{} answers are too few to tell", received.len());
    assert_eq!(book.sql("SELECT count(*) FROM api_requests WHERE usage_source <> 'reported'"), "0");
    book.sums_agree();
}

#[tokio::test]
async fn a_stop_and_a_reload_let_merged_calls_end() {
    let origin = origin().await;
    let mut gateway = gateway().upstream(&origin).settings(&plugins(&[MERGE])).start().await;
    let (hold, first) = held(&gateway, &origin, "k").await;
    let later = gate();
    origin.answers_next(answer(200).header("content-type", "application/json").body(pretty(2, 2)).after(&later));
    let calls: Vec<_> = join_all((0..2).map(|_| http1(gateway.address())))
        .await
        .into_iter()
        .map(|mut client| tokio::spawn(async move { embed(&mut client, "aaaa").await }))
        .collect();
    origin.request(1).await;
    gateway.reload(std::fs::read_to_string(gateway.file()).unwrap().replace("20ms", "30ms")).await;
    gateway.signal(Signal::SIGTERM);
    gateway.says("stopping").await;
    hold.open();
    later.open();
    first.await.unwrap();
    for answer in join_all(calls).await {
        let answer: Value = answer.unwrap().json();
        assert_eq!(answer["usage"]["total_tokens"], 1);
    }
    let exit = gateway.wait_exit(Duration::from_secs(20)).await;
    assert!(exit.status.success() && exit.stderr.contains("every request had its end"), "{}", exit.stderr);
}
