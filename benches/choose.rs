//! What a choice costs: a lease taken and given back, among 3 to 10,000 servers, by every rule. Run by
//! `cargo bench --bench choose`; prints nanoseconds, measures nothing else.
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin need not go on")]

#[path = "sample/pool.rs"]
mod sample;

use std::hint::black_box;
use std::time::{Duration, Instant};

use tollgate::balance::{Pool, SelectParams};

use sample::pool;

const SERVERS: [usize; 5] = [3, 10, 100, 1_000, 10_000];
const WARM_UP: u32 = 2_000;
const ROUNDS: u32 = 100;
/// Of the runs in this time the best counts: what else happens on the machine only makes it slower.
const TIME: Duration = Duration::from_millis(300);
/// The most leases that are held in all.
const HELD: usize = 20_000;

fn main() {
    let rules = [
        ("least_conn", serde_json::json!("least_conn")),
        ("round_robin", serde_json::json!("round_robin")),
        ("least_tokens", serde_json::json!("least_tokens")),
        ("peak_ewma", serde_json::json!("peak_ewma")),
        ("hash", serde_json::json!({ "hash": { "key": "client_ip" } })),
    ];
    println!("{:<14}{}   ns per choice, given back at once", "servers", row(|servers| servers as f64));
    for (name, balance) in &rules {
        println!("{name:<14}{}", row(|servers| measure(&pool(balance, servers))));
    }
    println!(
        "{:<14}{}   with up to 50 requests held on each",
        "least_conn",
        row(|servers| loaded(&rules[0].1, servers))
    );
}

fn row(cell: impl Fn(usize) -> f64) -> String {
    SERVERS.iter().map(|servers| format!("{:>10.0}", cell(*servers))).collect()
}

fn loaded(balance: &serde_json::Value, servers: usize) -> f64 {
    let pool = pool(balance, servers);
    let held = (servers * 50).min(HELD);
    let _held: Vec<_> = (0..held).map(|_| pool.lease(&SelectParams::at(Instant::now())).expect("a server")).collect();
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
    let began = Instant::now();
    std::iter::repeat_with(|| run(ROUNDS)).take_while(|_| began.elapsed() < TIME).fold(f64::INFINITY, f64::min)
}
