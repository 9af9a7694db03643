//! The plugin `cors`: what a browser is told, also where others refuse a call without a key.

use crate::harness::{Gateway, RawAnswer, answer, connect, gateway, origin};

const KEYS: &str =
    "api_keys: { keys: [{ name: a, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }] }";
const PREFLIGHT: &str = "OPTIONS /v1/messages HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\n\
    access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type";

async fn ask(gateway: &Gateway, request: &str) -> RawAnswer {
    let mut client = connect(gateway.address()).await;
    client.send(format!("{request}\r\n\r\n")).await;
    client.answer().await
}

#[tokio::test]
async fn a_preflight_is_answered_here_though_it_has_no_key() {
    let origin = origin().await;
    let cors = "cors: { origins: [\"https://app.example.com\"], methods: [POST], headers: [authorization, content-type], max_age: 10m }";
    // globally above the keys; and only on the route, below global keys in the file
    let global = gateway().upstream(&origin).settings(&format!("plugins:\n  - {cors}\n  - {KEYS}")).start().await;
    let keys = format!("plugins:\n  - {KEYS}");
    let route =
        gateway().upstream(&origin).settings(&keys).route_settings(&format!("plugins: [{{ {cors} }}]")).start().await;
    let cors = format!("plugins:\n  - {cors}");
    let keys_on_route =
        gateway().upstream(&origin).settings(&cors).route_settings(&format!("plugins: [{{ {KEYS} }}]")).start().await;
    for gateway in [&global, &route, &keys_on_route] {
        let answer = ask(gateway, PREFLIGHT).await;
        assert_eq!((answer.status, &*answer.text()), (204, ""));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        // the page may read why its call is refused
        let refused = ask(
            gateway,
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\ncontent-length: 0",
        )
        .await;
        assert_eq!(
            (refused.status, refused.header("access-control-allow-origin")),
            (401, Some("https://app.example.com"))
        );
        let evil = ask(gateway, &PREFLIGHT.replace("app.example.com", "evil.test")).await;
        assert_eq!((evil.status, evil.header("access-control-allow-origin")), (403, None));
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn an_answer_says_which_page_may_read_it_and_caches_are_told() {
    let origin = origin().await;
    let theirs = answer(200).header("access-control-allow-origin", "*").header("vary", "accept-encoding");
    origin.answers(theirs.body("hello"));
    let settings =
        "plugins: [{ cors: { origins: [\"https://*.example.com\"], credentials: true, expose: [x-request-id] } }]";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let answer = ask(&gateway, "GET / HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com").await;
    assert_eq!(answer.all("access-control-allow-origin"), [b"https://app.example.com"]);
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-request-id"));
    assert_eq!(answer.all("vary"), [&b"accept-encoding"[..], b"Origin"]);
    for other in ["", "\r\norigin: https://evil.test"] {
        let answer = ask(&gateway, &format!("GET / HTTP/1.1\r\nhost: a{other}")).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None), "{other}");
        assert_eq!(answer.all("vary"), [&b"accept-encoding"[..], b"Origin"]);
    }
    // an OPTIONS that is no preflight is the upstream's affair
    let number = origin.count();
    assert_eq!(ask(&gateway, "OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com").await.status, 200);
    assert_eq!(origin.request(number).await.method, "OPTIONS");
}
