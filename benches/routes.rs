//! What finding a route costs, by hosts, by prefixes and by expressions, among few routes and among many. Run by
//! `cargo bench --bench routes`; prints nanoseconds, measures nothing else.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

use std::hint::black_box;
use std::time::Instant;

use plugin_api::ConnectionInfo;
use plugin_api::http::{HeaderMap, Method};
use serde_json::{Value, json};
use tollgate::routes::{RouteRequest, RouteSettings, Router};

const ROUNDS: u32 = 1_000;
/// Of so many runs the best counts: what else runs on the machine only makes it slower.
const RUNS: u32 = 20;

/// Up to 16 routes are looked at one by one; beyond, an index leads to those that may match.
const COUNTS: [usize; 6] = [1, 4, 16, 17, 1_000, 10_000];
/// Expressions cannot be told apart by an index.
const MOST_EXPRESSIONS: usize = 1_000;

fn main() {
    println!("{:<14}{}   ns to find the last of so many routes", "routes", row(&COUNTS, |count| count.to_string()));
    let hosts =
        |at| (json!({ "hosts": [format!("h{at}.test")], "upstream": "x" }), format!("h{at}.test"), "/a".to_owned());
    let prefixes =
        |at| (json!({ "paths": [format!("/p{at:05}/")], "upstream": "x" }), "a".to_owned(), format!("/p{at:05}/x"));
    let expressions = |at| {
        let path = format!("~ ^/p{at:05}/([^/]+)$");
        (json!({ "paths": [path], "upstream": "x" }), "a".to_owned(), format!("/p{at:05}/x"))
    };
    println!("{:<14}{}", "hosts", row(&COUNTS, |count| cost(count, hosts)));
    println!("{:<14}{}", "prefixes", row(&COUNTS, |count| cost(count, prefixes)));
    let few = COUNTS.map(|count| count.min(MOST_EXPRESSIONS));
    println!("{:<14}{}   (the last: 1,000)", "expressions", row(&few, |count| cost(count, expressions)));
}

fn row(counts: &[usize], cell: impl Fn(usize) -> String) -> String {
    counts.iter().map(|count| format!("{:>10}", cell(*count))).collect()
}

/// What it costs to find the last of so many routes. `route` gives the one at a place, and the host and path of a request for it.
fn cost(count: usize, route: impl Fn(usize) -> (Value, String, String)) -> String {
    let list: Vec<Value> = (0..count).map(|at| route(at).0).collect();
    let settings: Vec<RouteSettings> = serde_json::from_value(Value::Array(list)).expect("the settings are right");
    let router = Router::new(settings.iter());
    let (_, host, path) = route(count - 1);
    let headers = HeaderMap::new();
    let request = RouteRequest {
        host: &host,
        path: &path,
        method: &Method::GET,
        headers: &headers,
        query: None,
        connection: &ConnectionInfo::UNKNOWN,
    };
    assert_eq!(router.find(&request).map(|found| found.index), Some(count - 1), "the last one takes it");
    let run = || {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            black_box(router.find(black_box(&request)));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    let best = (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
    format!("{best:.0}")
}
