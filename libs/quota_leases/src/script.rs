//! The one script that Redis runs: what goes in, and what comes out. What it does stands in `draw.lua`.

use std::sync::LazyLock;

use quota::{Draw, Grant, LEASE_TTL, Limit};
use redis_link::Connections;
use redis_link::redis::{RedisResult, Script};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("draw.lua")));

/// What Redis answers to a [`Draw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// What it says.
    pub outcome: Outcome,
    /// Its clock, in microseconds since 1970.
    pub time: i64,
}

/// What Redis says to a [`Draw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The report was counted.
    Counted(Grant),
    /// Nothing was counted: by its clock, the window of the report is not the present one.
    OtherWindow,
    /// Nothing was counted: a later report came before.
    Late,
}

/// Reports to the count at `key` what `holder` has used, and asks for a lease.
///
/// # Errors
/// Those of Redis and of the connection. The report may have been counted nevertheless.
pub async fn draw(redis: &Connections, key: &str, holder: &str, draw: &Draw, limit: &Limit) -> RedisResult<Drawn> {
    draw_for(redis, key, holder, draw, limit, LEASE_TTL / 1000).await
}

/// The same, with another time to live, in microseconds.
pub(crate) async fn draw_for(
    redis: &Connections,
    key: &str,
    holder: &str,
    draw: &Draw,
    limit: &Limit,
    ttl: u64,
) -> RedisResult<Drawn> {
    let (kind, first, second) = match *limit {
        Limit::Rate { amount, period, .. } => ("r", i64::try_from(amount).unwrap_or(i64::MAX), period as f64 / 1000.0),
        Limit::Window { .. } => {
            let (first, end) = draw.window.unwrap_or_default();
            ("w", first, end as f64)
        }
        Limit::Concurrent { .. } => ("c", 0, 0.0),
    };
    let mut script = SCRIPT.key(key);
    script.arg(holder).arg(draw.seq).arg(draw.total).arg(draw.acked);
    script.arg(draw.keep).arg(draw.need).arg(draw.waiting).arg(draw.advance).arg(ttl);
    script.arg(kind).arg(limit.capacity()).arg(first).arg(second);
    let (outcome, amount, free, used, leased, gateways, time) = redis.script(&script).await?;
    let outcome = match outcome {
        0 | 1 => Outcome::Counted(Grant { is_granted: outcome == 1, amount, free, used, leased, gateways }),
        2 => Outcome::OtherWindow,
        _ => Outcome::Late,
    };
    Ok(Drawn { outcome, time })
}
