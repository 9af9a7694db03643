//! Which route takes a request: by examples, and against a model that looks at every route.

use std::net::SocketAddr;

use plugin_api::TlsInfo;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn routes(routes: &Value) -> Vec<RouteSettings> {
    serde_json::from_value(routes.clone()).unwrap()
}

fn router(list: Value) -> Router {
    Router::new(routes(&list).iter())
}

/// A request by a GET in plain text.
fn get<'a>(host: &'a str, path: &'a str, headers: &'a HeaderMap) -> RouteRequest<'a> {
    const UNKNOWN: &ConnectionInfo = &ConnectionInfo::UNKNOWN;
    RouteRequest { host, path, method: &Method::GET, headers, query: None, connection: UNKNOWN }
}

fn found(router: &Router, host: &str, path: &str) -> Option<RouteMatch> {
    router.find(&get(host, path, &HeaderMap::new()))
}

#[test]
fn the_first_route_that_matches_wins() {
    let router = router(json!([
        { "hosts": ["a.example"], "paths": ["/v1/messages"], "upstream": "x" },
        { "hosts": ["a.example", "*.b.example"], "upstream": "x" },
        { "paths": ["/health"], "upstream": "x" },
    ]));
    for (host, path, index, domain) in [
        ("a.example", "/v1/messages", 0, "a.example"),
        ("A.Example", "/v1/messages/batches", 0, "a.example"),
        ("a.example", "/v1/models", 1, "a.example"),
        ("x.y.b.example", "/", 1, "*.b.example"),
        ("elsewhere", "/health", 2, "other"),
    ] {
        let found = found(&router, host, path).unwrap();
        assert_eq!((found.index, &*found.domain), (index, domain), "{host}{path}");
    }
    for (host, path) in [("b.example", "/"), ("evilb.example", "/"), ("", "/"), ("a.example.evil", "/v1/")] {
        assert_eq!(found(&router, host, path), None, "{host}{path}");
    }
}

#[test]
fn a_path_is_taken_as_it_is_with_all_that_begins_so_or_by_an_expression() {
    let router = router(json!([
        { "paths": ["= /health"], "upstream": "x" },
        { "paths": ["~ ^/img/([^/]+)$", "~* \\.PNG$"], "upstream": "x" },
        { "paths": ["/v1/messages"], "upstream": "x" },
        { "paths": ["/below/"], "upstream": "x" },
    ]));
    for (path, index) in [
        ("/health", Some(0)),
        ("/health/", None),
        ("/healthy", None),
        ("/img/a", Some(1)),
        ("/img/a/b", None),
        ("/IMG/a", None),
        ("/below/a.png", Some(1)),
        ("/v1/messages", Some(2)),
        ("/v1/messages/", Some(2)),
        ("/v1/messagesX", Some(2)),
        ("/below", None),
        ("/below/", Some(3)),
        ("/below/x", Some(3)),
        ("/V1/messages", None),
    ] {
        assert_eq!(found(&router, "", path).map(|found| found.index), index, "{path}");
    }
    assert_eq!(&router.groups(1, "/img/a").unwrap()[1], b"a");
    assert!(router.groups(0, "/health").is_none());
}

#[test]
fn every_condition_of_a_route_must_hold() {
    let router = router(json!([
        { "methods": ["POST", "PUT"], "upstream": "x" },
        { "headers": { "x-canary": "1", "x-user": "~ ^a" }, "upstream": "x" },
        { "query": { "beta": "*" }, "upstream": "x" },
        { "scheme": "https", "upstream": "x" },
        { "listeners": ["127.0.0.1:80"], "upstream": "x" },
    ]));
    let none = HeaderMap::new();
    let index = |request: RouteRequest<'_>| router.find(&request).map(|found| found.index);
    let request = get("", "/", &none);
    assert_eq!(index(request), None);
    assert_eq!(index(RouteRequest { method: &Method::PUT, ..request }), Some(0));
    assert_eq!(index(RouteRequest { method: &Method::HEAD, ..request }), None);
    let mut headers = HeaderMap::new();
    headers.append("x-canary", "0".parse().unwrap());
    headers.append("x-canary", "1".parse().unwrap());
    assert_eq!(index(RouteRequest { headers: &headers, ..request }), None, "one of two");
    headers.append("X-User", "alice".parse().unwrap());
    assert_eq!(index(RouteRequest { headers: &headers, ..request }), Some(1));
    assert_eq!(index(RouteRequest { query: Some("a&b%65ta=1"), ..request }), Some(2));
    let tls = Some(TlsInfo { protocol: "TLSv1.3", cipher: None, server_name: None, client: None });
    let tls = ConnectionInfo { tls, ..ConnectionInfo::UNKNOWN };
    assert_eq!(index(RouteRequest { connection: &tls, ..request }), Some(3));
    let listener: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let listener = ConnectionInfo { listener: Some(listener), ..ConnectionInfo::UNKNOWN };
    assert_eq!(index(RouteRequest { connection: &listener, ..request }), Some(4));
}

#[test]
fn the_host_is_the_authority_without_its_port() {
    for (authority, host) in [("a:1", "a"), ("a", "a"), ("a.:80", "a"), ("[::1]:80", "[::1]"), ("", "")] {
        assert_eq!(host_of(authority), host);
    }
}

const HOSTS: [&str; 6] = ["a.test", "b.test", "*.test", "*.b.test", "x.b.test", "*.x.b.test"];
const PATHS: [&str; 12] =
    ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "= /a", "= /a/b", "~ ^/a/(.*)$", "~ b$", "~* ^/AB", "/b"];

fn route() -> impl Strategy<Value = Value> {
    let hosts = prop::collection::vec(prop::sample::select(&HOSTS[..]), 0..3);
    let paths = prop::collection::vec(prop::sample::select(&PATHS[..]), 0..3);
    let methods = prop::sample::select(vec![json!([]), json!([]), json!(["GET"]), json!(["POST", "PUT"])]);
    let headers = prop::sample::select(vec![json!({}), json!({}), json!({ "x-a": "1" }), json!({ "x-a": "*" })]);
    (hosts, paths, methods, headers).prop_map(|(hosts, paths, methods, headers)| {
        json!({ "hosts": hosts, "paths": paths, "methods": methods, "headers": headers, "upstream": "x" })
    })
}

/// A request: host, path, method, and the value of `x-a`.
fn request() -> impl Strategy<Value = (String, String, Method, Option<&'static str>)> {
    let host = prop::sample::select(vec!["a.test", "B.test", "x.b.test", "y.x.b.test", "test", "other", ""]);
    let path = prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/Ab", "/c", "*"]);
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::HEAD]);
    let header = prop::sample::select(vec![None, Some("1"), Some("2")]);
    (host, path, method, header).prop_map(|(host, path, method, header)| (host.into(), path.into(), method, header))
}

/// Whether a route takes a request, as its settings say it.
fn naive(route: &Value, (host, path, method, header): &(String, String, Method, Option<&str>)) -> bool {
    let list = |key: &str| route[key].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>();
    let host = host.to_lowercase();
    let takes_host = |pattern: &str| match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        None => host == pattern,
    };
    let takes_path = |pattern: &str| match pattern.split_once(' ') {
        Some(("=", exact)) => path == exact,
        Some(("~", regex)) => ::regex::Regex::new(regex).unwrap().is_match(path),
        Some((_, regex)) => ::regex::Regex::new(&format!("(?i){regex}")).unwrap().is_match(path),
        None => path.starts_with(pattern),
    };
    let (hosts, paths, methods) = (list("hosts"), list("paths"), list("methods"));
    (hosts.is_empty() || hosts.into_iter().any(takes_host))
        && (paths.is_empty() || paths.into_iter().any(takes_path))
        && (methods.is_empty() || methods.contains(&method.as_str()))
        && match route["headers"].get("x-a").and_then(Value::as_str) {
            None => true,
            Some("*") => header.is_some(),
            value => *header == value,
        }
}

fn find(router: &Router, (host, path, method, header): &(String, String, Method, Option<&str>)) -> Option<usize> {
    let headers: HeaderMap =
        header.map(|value| (http::HeaderName::from_static("x-a"), value.parse().unwrap())).into_iter().collect();
    router.find(&RouteRequest { method, ..get(host, path, &headers) }).map(|found| found.index)
}

proptest! {
    /// With few routes, which are looked at one by one, and with many, which are found by the index.
    #[test]
    fn a_request_is_taken_by_the_first_route_that_a_naive_model_takes(
        list in prop::collection::vec(route(), 0..60),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let router = router(Value::Array(list.clone()));
        prop_assert_eq!(router.index.is_some(), list.len() > FEW);
        for request in &requests {
            let wanted = list.iter().position(|route| naive(route, request));
            prop_assert_eq!(find(&router, request), wanted, "{:?}", request);
        }
    }

    /// No request reaches what is said to be out of reach. (`OPTIONS *`, which has no path, is left aside there.)
    #[test]
    fn a_route_that_is_shadowed_is_never_found(
        list in prop::collection::vec(route(), 0..12),
        requests in prop::collection::vec(request(), 1..40),
    ) {
        let settings = routes(&Value::Array(list));
        let router = Router::new(settings.iter());
        let shadowed = shadowed(&settings.iter().collect::<Vec<_>>());
        for request in requests.iter().filter(|(_, path, ..)| path != "*") {
            let Some(index) = find(&router, request) else { continue };
            let is_shadowed = |entry: &&Shadowed| entry.route == index && entry.is_whole();
            prop_assert!(shadowed.iter().find(is_shadowed).is_none(), "{:?}", request);
        }
    }
}
