//! What a route asks of a request besides host and path, where it leads, and what it changes on the way.

mod answers;
mod included;
mod limits;
mod nginx;
mod sent_paths;

use crate::harness::{Gateway, Origin, answer, body, gateway, h2c, http1, origin};

/// Origins that answer with their names, as upstreams of a configuration with these routes, and further sections.
async fn named(names: &[&str], routes: &str, sections: &str) -> (Vec<Origin>, Gateway) {
    let mut origins = Vec::new();
    for name in names {
        let origin = origin().await;
        origin.answers(answer(200).body(name));
        origins.push(origin);
    }
    let yaml = yaml(names, &origins, routes, sections);
    (origins, gateway().yaml(yaml).start().await)
}

fn yaml(names: &[&str], origins: &[Origin], routes: &str, sections: &str) -> String {
    let upstreams = names.iter().zip(origins);
    let upstreams: String = upstreams
        .map(|(name, origin)| format!("  {name}: {{ servers: [{{ address: \"{}\" }}] }}\n", origin.server()))
        .collect();
    format!(
        "listeners: [{{ address: 127.0.0.1:0 }}, {{ address: 127.0.0.2:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\n\
         upstreams:\n{upstreams}routes:\n{routes}{sections}"
    )
}

#[tokio::test]
async fn the_first_route_whose_conditions_all_hold_takes_the_request() {
    let routes = "  - { listeners: [127.0.0.2:0], paths: [/internal/], upstream: internal }\n  \
                  - { paths: [/v1/], methods: [POST], headers: { x-canary: \"1\" }, upstream: canary }\n  \
                  - { paths: [/v1/], query: { beta: \"~ ^(1|true)$\" }, upstream: beta }\n  \
                  - { paths: [\"~ ^/img/([^/]+)$\", \"~* \\\\.PNG$\"], upstream: images }\n  \
                  - { scheme: https, upstream: beta }\n  - { hosts: [a.test], methods: [GET, POST], upstream: rest }\n";
    let (_origins, gateway) = named(&["internal", "canary", "beta", "images", "rest"], routes, "").await;
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let canary = ("x-canary", "1");
        for (method, target, headers, wanted) in [
            ("POST", "/v1/messages", &[canary][..], "canary"),
            ("GET", "/v1/messages", &[canary], "rest"),
            ("POST", "/v1/messages", &[("x-canary", "2")], "rest"),
            ("POST", "/v1/messages", &[("x-canary", "0"), canary], "canary"),
            ("GET", "/v1/messages?a&bet%61=true", &[], "beta"),
            ("GET", "/v1/messages?beta=truely", &[], "rest"),
            ("GET", "/img/a", &[], "images"),
            ("GET", "/img//%61", &[], "images"),
            ("GET", "/img/a/b", &[], "rest"),
            ("GET", "/img/a%2Fb", &[], "rest"),
            ("GET", "/x/a.pnG", &[], "images"),
            ("GET", "/internal/x", &[], "rest"),
            ("DELETE", "/internal/x", &[], ""),
        ] {
            let mut request = client.request(method, target);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(own) = request.headers_mut().and_then(|headers| headers.get_mut("host")) {
                *own = "a.test".parse().unwrap();
            }
            let request = request.body(body("")).unwrap();
            let answer = client.call(with_authority(request)).await;
            let wanted = if wanted.is_empty() { (404, None) } else { (200, Some(wanted.to_owned())) };
            let text = (answer.status == 200).then(|| answer.text());
            assert_eq!((answer.status.as_u16(), text), wanted, "{method} {target} {headers:?}");
        }
    }
    let mut other = http1(gateway.addresses()[1]).await;
    assert_eq!(other.get("/internal/x").await.text(), "internal");
}

/// The same request, on HTTP/2 for the host `a.test`.
fn with_authority<B>(mut request: hyper::Request<B>) -> hyper::Request<B> {
    if request.uri().authority().is_some() {
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some("a.test".parse().unwrap());
        *request.uri_mut() = hyper::Uri::from_parts(parts).unwrap();
    }
    request
}
