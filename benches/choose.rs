//! What a choice costs: a lease taken and given back, among 3, 10 and 100 servers, by every rule. Run by
//! `cargo bench --bench choose`; prints nanoseconds, measures nothing else.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

use std::hint::black_box;
use std::time::Instant;

use tollgate::balance::{Pool, SelectParams, UpstreamRegistry};
use tollgate::dns::Resolver;

const WARM_UP: u32 = 2_000;
const ROUNDS: u32 = 1_000;
/// Of so many runs the best counts: what else runs on the machine only makes it slower.
const RUNS: u32 = 500;

fn main() {
    let rules = [
        ("least_conn", serde_json::json!("least_conn")),
        ("round_robin", serde_json::json!("round_robin")),
        ("least_tokens", serde_json::json!("least_tokens")),
        ("peak_ewma", serde_json::json!("peak_ewma")),
        ("hash", serde_json::json!({ "hash": { "key": "client_ip" } })),
    ];
    println!("{:<14}{:>10}{:>10}{:>10}   ns per choice, given back at once", "servers", 3, 10, 100);
    for (name, balance) in &rules {
        let costs = [3, 10, 100].map(|servers| idle(balance, servers));
        println!("{name:<14}{:>10.0}{:>10.0}{:>10.0}", costs[0], costs[1], costs[2]);
    }
    let costs = [3, 10, 100].map(|servers| loaded(&rules[0].1, servers));
    println!(
        "{:<14}{:>10.0}{:>10.0}{:>10.0}   with 50 requests held on each",
        "least_conn", costs[0], costs[1], costs[2]
    );
}

fn pool(balance: &serde_json::Value, servers: usize) -> Pool {
    let servers: Vec<_> = (0..servers)
        .map(|at| serde_json::json!({ "address": format!("10.0.0.{}:80", at + 1), "weight": at % 3 + 1 }))
        .collect();
    let settings = serde_json::json!({ "balance": balance, "servers": servers });
    let settings = serde_json::from_value(settings).expect("the settings are right");
    Pool::new("bench", &settings, &UpstreamRegistry::default(), &Resolver::default())
}

fn idle(balance: &serde_json::Value, servers: usize) -> f64 {
    measure(&pool(balance, servers))
}

fn loaded(balance: &serde_json::Value, servers: usize) -> f64 {
    let pool = pool(balance, servers);
    let _held: Vec<_> =
        (0..servers * 50).map(|_| pool.lease(&SelectParams::at(Instant::now())).expect("a server")).collect();
    measure(&pool)
}

fn measure(pool: &Pool) -> f64 {
    let run = |rounds: u32| {
        let began = Instant::now();
        for key in 0..rounds {
            // as in the proxy, every choice has its own time
            let ask = SelectParams { key: Some(key.into()), tokens: 1000, ..SelectParams::at(Instant::now()) };
            drop(black_box(pool.lease(black_box(&ask))));
        }
        began.elapsed().as_nanos() as f64 / f64::from(rounds)
    };
    run(WARM_UP);
    (0..RUNS).map(|_| run(ROUNDS)).fold(f64::INFINITY, f64::min)
}
