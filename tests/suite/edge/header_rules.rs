//! The plugin `headers`, on its own and beside nginx's directives.

use crate::harness::{Gateway, Origin, RawAnswer, Received, answer, connect, gateway, h2c, nginx, origin};

async fn ask(proxy: std::net::SocketAddr, request: &str) -> RawAnswer {
    let mut client = connect(proxy).await;
    client.send(format!("{request}\r\n\r\n")).await;
    client.answer().await
}

/// What the origin received of a GET with these header lines.
async fn received(gateway: &Gateway, origin: &Origin, target: &str, headers: &str) -> Received {
    let number = origin.count();
    assert_eq!(
        ask(gateway.address(), &format!("GET {target} HTTP/1.1\r\nhost: LLM.example:81{headers}")).await.status,
        200
    );
    origin.request(number).await
}

const VARIABLES: &str = "$host|$http_host|$remote_addr|$scheme|$server_protocol|$request_method|$request_uri|$uri|$args|$is_args\
    |$arg_b|$cookie_session|$http_x_own|$content_type|$proxy_add_x_forwarded_for|$request|$https|$server_addr|$http_absent|";

#[tokio::test]
async fn a_request_gets_the_values_that_nginx_would_give_it() {
    let (ours, theirs) = (origin().await, origin().await);
    let plugin = format!("plugins: [{{ headers: {{ request: {{ set: {{ X-All: \"{VARIABLES}\" }} }} }} }}]");
    let gateway = gateway().upstream(&ours).settings(&plugin).start().await;
    let location =
        format!("location / {{ proxy_pass http://{}; proxy_set_header X-All \"{VARIABLES}\"; }}", theirs.server());
    let nginx = nginx("", &location).await;
    for (number, (target, headers)) in [
        ("/", ""),
        ("/a%20b/./c?b=1%202&c", "\r\nx-own: mine\r\ncookie: a=1; Session=xyz"),
        ("/a?B=upper&b=second", "\r\ncontent-type: application/json\r\ncookie: session="),
        ("/a//b/../c?", "\r\nX-Own:  two  words "),
        ("/?b", "\r\ncookie: other=1"),
    ]
    .into_iter()
    .enumerate()
    {
        for proxy in [gateway.address(), nginx.address()] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: LLM.example:81{headers}\r\nconnection: close");
            assert_eq!(ask(proxy, &request).await.status, 200);
        }
        let (here, there) = (ours.request(number).await, theirs.request(number).await);
        assert_eq!(here.header("x-all"), there.header("x-all"), "{target}");
    }
}

#[tokio::test]
async fn a_server_is_called_by_the_first_of_its_names_as_in_nginx() {
    let (ours, theirs) = (origin().await, origin().await);
    let plugin = "plugins: [{ headers: { request: { set: { X-All: \"<$server_name|$host>\" } } } }]";
    for (number, (route, name, request, wanted)) in [
        ("hosts: [a.test, b.test]", "server_name a.test b.test;", "GET / HTTP/1.1\r\nhost: B.test", "<a.test|b.test>"),
        ("hosts: [\"*.test\"]", "server_name *.test;", "GET / HTTP/1.1\r\nhost: b.test", "<*.test|b.test>"),
        ("", "", "GET / HTTP/1.1\r\nhost: b.test", "<|b.test>"),
        ("", "", "GET / HTTP/1.0", "<|>"),
    ]
    .into_iter()
    .enumerate()
    {
        let gateway = gateway().upstream(&ours).route_settings(route).settings(plugin).start().await;
        let location = format!(
            "{name} location / {{ proxy_pass http://{}; proxy_set_header X-All \"<$server_name|$host>\"; }}",
            theirs.server()
        );
        let nginx = nginx("", &location).await;
        for proxy in [gateway.address(), nginx.address()] {
            assert_eq!(ask(proxy, &format!("{request}\r\nconnection: close")).await.status, 200);
        }
        let (here, there) = (ours.request(number).await, theirs.request(number).await);
        assert_eq!((here.header("x-all"), there.header("x-all")), (Some(wanted), Some(wanted)), "{route} {request}");
    }
}

#[tokio::test]
async fn headers_are_removed_set_and_added_both_ways() {
    let origin = origin().await;
    let settings = "plugins:
  - headers:
      request:
        set: { X-Real-IP: $remote_addr, X-Forwarded-Prefix: /llm, Host: \"inner.example\", x-gone: $http_absent }
        add: { X-Tag: [one, \"$request_id\"] }
        remove: [X-Debug, X-Forwarded-Host]
      response:
        set: { Strict-Transport-Security: max-age=63072000, X-Served: \"$status $upstream_addr $sent_http_server\" }
        add: { Vary: Accept-Language }
        remove: [X-Powered-By]
";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let theirs =
        answer(200).header("server", "theirs").header("vary", "Origin").header("x-powered-by", "x").body("hello");
    origin.answers(theirs);
    let seen =
        received(&gateway, &origin, "/", "\r\nx-debug: 1\r\nx-tag: zero\r\nx-gone: 1\r\nx-real-ip: 6.6.6.6").await;
    assert_eq!(seen.all("x-real-ip"), [b"127.0.0.1"]);
    assert_eq!(seen.all("host"), [b"inner.example"]);
    assert_eq!(seen.header("x-forwarded-prefix"), Some("/llm"));
    let tags = seen.all("x-tag");
    let id = seen.header("x-request-id").unwrap();
    assert_eq!(tags, [&b"zero"[..], b"one", id.as_bytes()]);
    for name in ["x-debug", "x-gone", "x-forwarded-host"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let answer = ask(gateway.address(), "GET / HTTP/1.1\r\nhost: a").await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"));
    assert_eq!(answer.header("x-served"), Some(&*format!("200 {} theirs", origin.address())));
    assert_eq!(answer.all("vary"), [&b"Origin"[..], b"Accept-Language"]);
    assert_eq!((answer.header("x-powered-by"), &*answer.text()), (None, "hello"));
    let answer = h2c(gateway.address()).await.get("/").await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"));
}

/// nginx needs `always` for this.
#[tokio::test]
async fn answers_of_the_gateway_and_errors_have_the_headers_of_the_route_too() {
    let origin = origin().await;
    let settings = "plugins:
  - headers: { response: { set: { X-Served: \"$status\" } } }
  - api_keys: { keys: [{ name: a, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }] }
";
    let gateway = gateway().upstream(&origin).settings(settings).start().await;
    let refused = ask(gateway.address(), "GET / HTTP/1.1\r\nhost: a").await;
    assert_eq!((refused.status, refused.header("x-served")), (401, Some("401")));
    origin.answers(answer(503).body("busy"));
    let theirs = ask(gateway.address(), "GET / HTTP/1.1\r\nhost: a\r\nx-api-key: test").await;
    assert_eq!((theirs.status, theirs.header("x-served")), (503, Some("503")));
    origin.stop().await;
    let failed = ask(gateway.address(), "GET / HTTP/1.1\r\nhost: a\r\nx-api-key: test").await;
    assert_eq!((failed.status, failed.header("x-served")), (502, Some("502")));
}

#[tokio::test]
async fn a_routes_own_rules_take_the_place_of_the_global_ones() {
    let origin = origin().await;
    let settings = "plugins: [{ headers: { response: { set: { x-global: \"1\" } } } }]";
    let route = "plugins: [{ headers: { response: { set: { x-own: \"1\" } } } }]";
    let gateway = gateway().upstream(&origin).settings(settings).route_settings(route).start().await;
    let answer = ask(gateway.address(), "GET / HTTP/1.1\r\nhost: a").await;
    assert_eq!((answer.header("x-global"), answer.header("x-own")), (None, Some("1")));
}
