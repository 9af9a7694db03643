//! The same errors on routes whose calls run on their own (`response_cache`, `on_client_disconnect: drain`): every client gets
//! them whole, and the row says what it got.

use super::*;
use crate::harness::{Authority, Origin, Streaming, h2, https1, sse};

/// What may make a call of a route run on its own: nothing, a cache, the route itself.
const ROUTES: [(&str, &str); 3] = [
    ("", ""),
    ("plugins: [{ max_tokens: { limit: 4000 } }, { response_cache: {} }]", ""),
    ("", "on_client_disconnect: drain"),
];

/// A gateway that speaks plain text first and TLS second.
async fn speaking_both(authority: &Authority, upstreams: &str, (settings, route): (&str, &str)) -> Gateway {
    let issued = authority.issue(&["gateway.test"]);
    let yaml = format!(
        "listeners:\n  - address: \"127.0.0.1:0\"\n  - address: \"127.0.0.1:0\"\n    tls: {{ certificates: \
         [{{ certificate: a.crt, private_key: a.key }}] }}\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n{upstreams}\
         routes:\n  - upstream: origin\n    {route}\n{settings}\n"
    );
    gateway().yaml(yaml).file("a.crt", issued.certificate).file("a.key", issued.key).start().await
}

/// Clients of all kinds.
async fn clients(gateway: &Gateway, authority: &Authority) -> [Client; 4] {
    let [plain, tls] = gateway.addresses() else { panic!("two listeners") };
    [
        http1(*plain).await,
        h2c(*plain).await,
        https1(*tls, authority, "gateway.test").await,
        h2(*tls, authority, "gateway.test").await,
    ]
}

/// The row of an exchange, which must say of the answer what the client saw of it.
async fn row(gateway: &Gateway, answer: &Answer) -> serde_json::Value {
    let id = answer.header("x-request-id").unwrap().to_owned();
    let row = gateway.logged(|row| row["id"] == id.as_str()).await;
    let seen = (u64::from(answer.status.as_u16()), answer.body.len() as u64);
    assert_eq!((row["status"].as_u64(), row["response_bytes"].as_u64()), (Some(seen.0), Some(seen.1)), "{row}");
    row
}

/// Asks for an error in every way, and looks at the row of each.
async fn everywhere(upstreams: &str, status: u16, error: &str) {
    let authority = Authority::new();
    for route in ROUTES {
        let gateway = speaking_both(&authority, upstreams, route).await;
        for (number, mut client) in clients(&gateway, &authority).await.into_iter().enumerate() {
            let answer = client.post("/v1/messages", call(300 + number, 10)).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
            let row = row(&gateway, &answer).await;
            assert_eq!(
                (row["outcome"].as_str(), row["error"].as_str()),
                (Some("upstream_failed"), Some(error)),
                "{row}"
            );
        }
        gateway.idle().await;
        assert_eq!(gateway.access_log().len(), 4);
    }
}

fn upstream(name: &str, server: impl std::fmt::Display, settings: &str) -> String {
    format!("  {name}:\n    servers: [{{ address: \"{server}\", max_conns: 1 }}]\n    {settings}\n")
}

#[tokio::test]
async fn a_dead_server_is_502_for_every_client_of_every_route() {
    let nobody = refusing();
    everywhere(&upstream("origin", nobody.address(), ""), 502, "connect").await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_502_for_every_client_of_every_route() {
    let origin = origin().await;
    origin.answers(Script::closing());
    everywhere(&upstream("origin", origin.server(), ""), 502, "no_answer").await;
}

#[tokio::test]
async fn a_fallback_that_fails_too_is_502_for_every_client_of_every_route() {
    let (nobody, no_other) = (refusing(), refusing());
    let upstreams = upstream("origin", nobody.address(), "fallback: { upstream: other, model: gpt }")
        + &upstream("other", no_other.address(), "");
    everywhere(&upstreams, 502, "connect").await;
}

#[tokio::test]
async fn a_silent_server_is_504_for_every_client_of_every_route() {
    let origin = origin().await;
    origin.answers(Script::silent());
    let silent = |timeouts: &str| upstream("origin", origin.server(), timeouts);
    everywhere(&silent("timeouts: { first_byte: 100ms }"), 504, "first_byte_timeout").await;
    everywhere(&silent("timeouts: { total: 200ms }"), 504, "total_timeout").await;
}

/// Takes the only place of the origin, and keeps it.
async fn occupied(origin: &Origin, gateway: &Gateway) -> (Client, Streaming) {
    origin.answers_next(sse().event("one").silence());
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body(call(200, 10))).unwrap();
    let streaming = client.send(request).await.unwrap();
    (client, streaming)
}

#[tokio::test]
async fn a_full_server_and_a_full_queue_are_503_for_every_client_of_every_route() {
    let (authority, origin) = (Authority::new(), origin().await);
    for settings in ["", "queue: { size: 1, timeout: 100ms }"] {
        for route in ROUTES {
            let gateway = speaking_both(&authority, &upstream("origin", origin.server(), settings), route).await;
            let _kept = occupied(&origin, &gateway).await;
            for (number, mut client) in clients(&gateway, &authority).await.into_iter().enumerate() {
                let answer = client.post("/v1/messages", call(300 + number, 10)).await;
                assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")), "{route:?}");
                assert_eq!(row(&gateway, &answer).await["error"], "full");
            }
        }
    }
}

#[tokio::test]
async fn a_plugins_refusal_is_400_for_every_client_of_every_route() {
    let (authority, origin) = (Authority::new(), origin().await);
    let plugins = "plugins: [{ response_cache: {} }, { max_tokens: { limit: 1 } }]";
    for route in ["", "on_client_disconnect: drain"] {
        let upstreams = upstream("origin", origin.server(), "");
        let gateway = speaking_both(&authority, &upstreams, (plugins, route)).await;
        for mut client in clients(&gateway, &authority).await {
            let answer = client.post("/v1/messages", call(300, 10)).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert_eq!(row(&gateway, &answer).await["outcome"], "refused");
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_error_to_head_ends_in_both_protocols() {
    let (authority, nobody) = (Authority::new(), refusing());
    for route in ROUTES {
        let gateway = speaking_both(&authority, &upstream("origin", nobody.address(), ""), route).await;
        for mut client in clients(&gateway, &authority).await {
            let request = client.request("HEAD", "/v1/models").body(body("")).unwrap();
            let answer = client.send(request).await.unwrap().whole().await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (502, 0), "{route:?}");
        }
    }
}

#[tokio::test]
async fn answers_without_a_body_and_interim_answers_pass_on_every_route() {
    let (authority, origin) = (Authority::new(), origin().await);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    for route in ROUTES {
        let gateway = speaking_both(&authority, &upstream("origin", origin.server(), ""), route).await;
        let mut asked = 0;
        for mut client in clients(&gateway, &authority).await {
            for (script, status, text) in [
                (answer(204).empty(), 204, ""),
                (answer(304).header("etag", "\"a\"").empty(), 304, ""),
                (answer(200).body(""), 200, ""),
                (answer(200).chunked().end(), 200, ""),
                (Script::raw(interim), 200, "hello"),
            ] {
                origin.answers(script);
                let answer = client.post("/v1/messages", call(300, 10)).await;
                assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, text), "{route:?}");
                // until then its server has no room for another
                asked += 1;
                eventually("a row for each", async || gateway.access_log().len() == asked).await;
            }
        }
        assert!(gateway.access_log().iter().all(|row| row["outcome"] == "completed"), "{:?}", gateway.access_log());
    }
}

#[tokio::test]
async fn a_call_of_http_2_with_more_headers_than_http_1_takes_passes_on_every_route() {
    let (authority, origin) = (Authority::new(), origin().await);
    for route in ROUTES {
        let gateway = speaking_both(&authority, &upstream("origin", origin.server(), ""), route).await;
        for mut client in [h2c(gateway.address()).await, h2(gateway.addresses()[1], &authority, "gateway.test").await] {
            let number = origin.count();
            let mut request = client.request("POST", "/v1/messages?beta=true");
            for header in 0..300 {
                request = request.header(format!("x-{header}"), "1");
            }
            let sent = call(300 + number, 10);
            let answer = client.call(request.body(body(sent.clone())).unwrap()).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"), "{route:?}");
            let seen = origin.request(number).await;
            assert_eq!((&*seen.target, &seen.body, seen.header("x-299")), ("/v1/messages?beta=true", &sent, Some("1")));
        }
    }
}
