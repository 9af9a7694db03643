//! The servers of an upstream, as benches choose among them.

use tollgate::balance::{Pool, UpstreamRegistry};
use tollgate::dns::Resolver;

/// So many servers of weights 1 to 3, by this rule.
pub fn pool(balance: &serde_json::Value, servers: usize) -> Pool {
    let servers: Vec<_> = (0..servers)
        .map(|at| serde_json::json!({ "address": format!("10.0.{}.{}:80", at / 250, at % 250 + 1), "weight": at % 3 + 1 }))
        .collect();
    let settings = serde_json::json!({ "balance": balance, "servers": servers });
    let settings = serde_json::from_value(settings).expect("the settings are right");
    Pool::new("bench", &settings, &UpstreamRegistry::default(), &Resolver::default())
}
