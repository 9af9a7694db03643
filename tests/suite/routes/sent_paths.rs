//! `strip` and `rewrite`: what goes upstream, and that a call is the same to limits whatever stands in front of it.

use http::StatusCode;

use super::named;
use crate::harness::{Alpn, Authority, Gateway, Origin, answer, body, gateway, h2c, http1, origin, tls_origin};
use crate::payloads::call;

const ROUTES: &str = "  - { paths: [/openai/], strip: /openai, upstream: one }\n  \
     - { paths: [\"~ ^/img/([^/]+)/(?<size>[0-9]+)$\"], rewrite: \"/i/$1?size=$size\", upstream: one }\n  \
     - { paths: [\"~ ^/any/(.*)$\"], rewrite: \"/x/$1\", upstream: one }\n  \
     - { paths: [\"~ ^/dots(.*)$\"], rewrite: \"/x/$1\", upstream: one }\n  \
     - { paths: [\"= /chat\"], rewrite: /v1/chat/completions, upstream: one }\n  - { upstream: one }\n";

#[tokio::test]
async fn a_prefix_is_taken_off_and_a_path_written_anew() {
    let (origins, gateway) = named(&["one"], ROUTES, "").await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        for (target, sent) in [
            ("/openai/v1/models?a=%20&b", "/v1/models?a=%20&b"),
            ("/openai/", "/"),
            ("/openai/a%2Fb//c/./%7Ed", "/a%2Fb//c/./%7Ed"),
            ("//openai//v1", "/v1"),
            ("/%6fpenai/x/../v1", "/x/../v1"),
            ("/openai%2fv1", "/v1"),
            ("/img/a%20b/50?q=1", "/i/a%20b?size=50"),
            ("/any/a%3Fb/c?q=1", "/x/a%3Fb/c?q=1"),
            ("/any/", "/x/"),
            ("/chat?x", "/v1/chat/completions?x"),
            ("/openaiX", "/openaiX"),
        ] {
            let number = origins[0].count();
            assert_eq!(client.get(target).await.status, StatusCode::OK, "{target}");
            assert_eq!(origins[0].request(number).await.target, sent, "{target}");
            let path = target.split('?').next().unwrap();
            gateway.logged(|line| line["path"] == path).await;
        }
        assert_eq!(client.get("/dots..").await.status, StatusCode::BAD_REQUEST, "it would lead out of /x/");
        assert_eq!(client.get("/openai/../x").await.text(), "one", "another route's");
    }
}

#[tokio::test]
async fn a_call_has_its_limits_whatever_stands_in_front_of_its_path() {
    let plugins = "plugins: [{ max_tokens: { limit: 10 } }, { model_list: { models: [m-1] } }]\n";
    let (origins, gateway) = named(&["one"], ROUTES, plugins).await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        for (path, sent) in [
            ("/openai/v1/messages", "/v1/messages"),
            ("/openai//v1/messages", "/v1/messages"),
            ("/x/..//openai/v1/mess%61ges", "/v1/mess%61ges"),
            ("/openai/v1/x/../messages", "/v1/x/../messages"),
            ("/chat", "/v1/chat/completions"),
            ("/any/v1/models", "/x/v1/models"),
        ] {
            let is_call = !path.starts_with("/any/");
            let refused = client.post(path, call(100, 11)).await;
            assert_eq!(refused.status == StatusCode::BAD_REQUEST, is_call, "{path}: {}", refused.text());
            let number = origins[0].count();
            assert_eq!(client.post(path, call(100, 10)).await.status, StatusCode::OK, "{path}");
            assert_eq!(origins[0].request(number).await.target, sent);
            let line = gateway.logged(|line| line["path"] == path && line["status"] == 200).await;
            assert_eq!(line["endpoint"].is_string(), is_call, "{line}");
        }
        let models = client.get("/openai/v1/models").await;
        assert!(models.text().contains("m-1"), "{}", models.text());
        // an error is in the dialect of the call that it is
        let request = client.request("POST", "/openai/v1/messages").header("content-type", "application/json");
        let refused = client.call(request.body(body(call(100, 11))).unwrap()).await;
        assert_eq!(refused.json()["type"], "error", "{}", refused.text());
    }
}

/// Before a TLS origin that speaks HTTP/2, on a route that takes a prefix off.
async fn before_h2() -> (Origin, Gateway) {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["localhost"], Alpn::H2).await;
    let gateway = gateway().upstream(&origin).route_settings("paths: [/p/]\nstrip: /p").start().await;
    (origin, gateway)
}

#[tokio::test]
async fn the_changed_path_goes_over_http_2_too() {
    let (origin, gateway) = before_h2().await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let number = origin.count();
        assert_eq!(client.get("/p//v1/%61?q").await.status, StatusCode::OK);
        let seen = origin.request(number).await;
        assert_eq!((&*seen.target, seen.host().is_some()), ("/v1/%61?q", true));
    }
}

#[tokio::test]
async fn a_redirect_of_the_server_leads_back_through_the_prefix() {
    let origin = origin().await;
    let location = format!("http://{}/v1/there?x", origin.address());
    origin.answers(answer(302).header("location", location).body(""));
    let builder = gateway().upstream(&origin).upstream_settings("redirects: own");
    let gateway = builder.route_settings("paths: [/p/]\nstrip: /p").start().await;
    let answer = http1(gateway.address()).await.get("/p/v1/here").await;
    let own = format!("http://{}/p/v1/there?x", gateway.address());
    assert_eq!(answer.header("location").map(without_host), Some(without_host(&own)));
}

/// An address without the host, which a client names as it likes.
fn without_host(address: &str) -> String {
    address.splitn(4, '/').nth(3).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn two_calls_with_one_path_and_two_rewrites_do_not_share_a_cached_answer() {
    let routes = "  - { headers: { x-a: \"1\" }, rewrite: /v1/messages, upstream: one }\n  \
                  - { rewrite: \"/v1/messages?beta=true\", upstream: one }\n";
    let plugins = "plugins: [{ response_cache: { ttl: 1m } }]\n";
    let (origins, gateway) = named(&["one"], routes, plugins).await;
    let whole = r#"{"type":"message","id":"1","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    origins[0].answers(answer(200).header("content-type", "application/json").body(whole));
    let mut client = http1(gateway.address()).await;
    let mut ask = async |value: &str| {
        let request = client.request("POST", "/ask").header("x-api-key", "k").header("x-a", value);
        let answer = client.call(request.body(body(r#"{"model":"m","max_tokens":1,"messages":[]}"#)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
    };
    for (value, count) in [("1", 1), ("1", 1), ("2", 2), ("2", 2), ("1", 2)] {
        ask(value).await;
        assert_eq!(origins[0].count(), count, "x-a: {value}");
    }
}
