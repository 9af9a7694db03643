//! The same routes in nginx's words and in ours: the same statuses, addresses, bodies and paths upstream.

use std::net::SocketAddr;

use super::named;
use crate::harness::{Origin, RawAnswer, connect, nginx};

const ROUTES: &str = "  - { paths: [\"= /health\"], answer: { body: \"ok\\n\" } }\n  - { paths: [\"= /none\"], answer: { status: 204 } }\n  \
     - { paths: [/old/], redirect: \"https://new.test$request_uri\" }\n  - { paths: [/moved], redirect: \"https://new.test/x?$args\", status: 308 }\n  \
     - { paths: [\"~ ^/user/(?<name>[a-z]+)$\"], answer: { body: \"$name $uri $arg_q\" } }\n  \
     - { paths: [\"~ ^/img/([^/]+)$\"], rewrite: \"/i/$1\", upstream: one }\n  \
     - { paths: [\"~* \\\\.PHP$\"], answer: { status: 404, body: gone } }\n  \
     - { paths: [/openai/], strip: /openai, upstream: one }\n  - { paths: [/small/], max_body: 10, upstream: one }\n  - { upstream: one }\n";

fn locations(server: &str) -> String {
    format!(
        "location = /health {{ return 200 \"ok\\n\"; }} location = /none {{ return 204; }}
         location /old/ {{ return 301 https://new.test$request_uri; }} location /moved {{ return 308 https://new.test/x?$args; }}
         location ~ ^/user/(?<name>[a-z]+)$ {{ return 200 \"$name $uri $arg_q\"; }}
         location ~ ^/img/([^/]+)$ {{ rewrite ^/img/([^/]+)$ /i/$1 break; proxy_pass http://{server}; }}
         location ~* \\.PHP$ {{ return 404 gone; }}
         location /openai/ {{ proxy_pass http://{server}/; }}
         location /small/ {{ client_max_body_size 10; proxy_pass http://{server}; }}
         location / {{ proxy_pass http://{server}; }}"
    )
}

/// What a client and the server see of a request.
async fn seen(
    proxy: SocketAddr,
    origin: &Origin,
    method: &str,
    target: &str,
    body: &str,
) -> (RawAnswer, Option<String>) {
    let number = origin.count();
    let mut client = connect(proxy).await;
    client
        .send(format!("{method} {target} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        .await;
    let answer = client.answer_to(method).await;
    let sent = if origin.count() > number { Some(origin.request(number).await.target) } else { None };
    (answer, sent)
}

#[tokio::test]
async fn targets_conditions_and_paths_are_those_of_nginx() {
    let (origins, gateway) = named(&["one"], ROUTES, "").await;
    let origin = &origins[0];
    let nginx = nginx("", &locations(&origin.server())).await;
    for (method, target, body) in [
        ("GET", "/health", ""),
        ("HEAD", "/health", ""),
        ("POST", "/health", "0123456789"),
        ("GET", "/none", ""),
        ("GET", "/old/a%20b?x=%2F&y", ""),
        ("POST", "/old/", "abc"),
        ("GET", "/moved?a=b%20c", ""),
        ("GET", "/user/alice?q=1", ""),
        ("GET", "/user//%61lice?q=%20", ""),
        ("GET", "/user/Alice", ""),
        ("GET", "/img/a", ""),
        ("GET", "/img/a?x=1&y", ""),
        ("GET", "/img/a%20b", ""),
        ("GET", "/img/a%25b%3Fc", ""),
        ("GET", "/img/a/b", ""),
        ("GET", "/x/y.php", ""),
        ("GET", "/openai/v1/models?x=%20", ""),
        ("GET", "/openai/", ""),
        ("GET", "/openai//v1", ""),
        ("GET", "/a/../openai/v1", ""),
        ("POST", "/small/x", "0123456789"),
        ("POST", "/small/x", "01234567890"),
        ("GET", "/other", ""),
    ] {
        let (ours, ours_sent) = seen(gateway.address(), origin, method, target, body).await;
        let (theirs, theirs_sent) = seen(nginx.address(), origin, method, target, body).await;
        let told = |answer: &RawAnswer| {
            let has_page = answer.text().contains("<html>") || answer.status == 413;
            let text = if has_page || (300..400).contains(&answer.status) { String::new() } else { answer.text() };
            (answer.status, answer.header("location").map(str::to_owned), text)
        };
        assert_eq!(told(&ours), told(&theirs), "{method} {target}");
        assert_eq!(ours_sent, theirs_sent, "{method} {target}");
    }
}
