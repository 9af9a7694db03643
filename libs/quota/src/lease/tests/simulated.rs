//! The shared count as Redis keeps it, step by step as its script does, with a clock of the test's own.

use std::collections::BTreeMap;

use quota::{Draw, Grant, LEASE_TTL, Limit};

/// What lapsed longer ago is forgotten, in microseconds.
const REMEMBERED: u64 = 60_000_000;

#[derive(Debug)]
pub(crate) struct SharedCount {
    used: f64,
    at: u64,
    window: i64,
    holders: BTreeMap<usize, Holder>,
    pub(crate) draws: u64,
    /// How long a lease holds, in microseconds.
    ttl: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    lease: u64,
    until: u64,
    total: i64,
    lapsed: u64,
    seq: u64,
}

impl Default for SharedCount {
    fn default() -> Self {
        Self::new(LEASE_TTL / 1000)
    }
}

impl SharedCount {
    /// One whose leases hold so long, in microseconds.
    pub(crate) fn new(ttl: u64) -> Self {
        Self { used: 0.0, at: 0, window: 0, holders: BTreeMap::new(), draws: 0, ttl }
    }

    /// Answers a draw at this time, in microseconds; `None` if it is late, or of another window.
    pub(crate) fn draw(&mut self, holder: usize, draw: &Draw, limit: &Limit, now: u64) -> Option<Grant> {
        self.draws += 1;
        let is_concurrent = matches!(limit, Limit::Concurrent { .. });
        if let (Limit::Window { .. }, Some((first, end))) = (limit, draw.window) {
            if now < first as u64 * 1_000_000 || now >= end as u64 * 1_000_000 {
                return None;
            }
            if self.window != first {
                *self = Self { window: first, draws: self.draws, ..Self::new(self.ttl) };
            }
        }
        let unknown = Holder { total: draw.acked, ..Holder::default() };
        // a late one changes nothing: what has lapsed meanwhile is counted by the next
        if draw.seq <= self.holders.get(&holder).unwrap_or(&unknown).seq {
            return None;
        }
        if let Limit::Rate { amount, period, .. } = limit {
            let drained = now.saturating_sub(self.at) as f64 * *amount as f64 / (*period as f64 / 1000.0);
            self.used = (self.used - drained).max(0.0);
            self.at = self.at.max(now);
        }
        let (mut leased, mut holders) = (0, 0);
        for (name, other) in &mut self.holders {
            if other.until <= now {
                if !is_concurrent {
                    self.used += other.lease as f64;
                    other.lapsed += other.lease;
                }
                other.lease = 0;
            } else if *name != holder && other.lease > 0 {
                (leased, holders) = (leased + other.lease, holders + 1);
            }
        }
        self.holders.retain(|name, other| *name == holder || other.until + REMEMBERED > now);
        let mine = self.holders.get(&holder).copied().unwrap_or(unknown);
        let used = (draw.total - mine.total) as f64 - mine.lapsed as f64;
        match limit {
            Limit::Window { .. } => self.used = (self.used + used).max(0.0),
            Limit::Rate { .. } => self.used += used.max(0.0),
            Limit::Concurrent { .. } => {}
        }
        let capacity = limit.capacity() as f64;
        let mut free = capacity - self.used - leased as f64 - draw.keep as f64;
        let needs = draw.need - draw.keep;
        let is_granted = needs as f64 <= free;
        let mut lease = draw.keep;
        if is_granted {
            let mut more = needs;
            more += draw.waiting.min((free - more as f64) as u64);
            more += draw.advance.min((free - more as f64) as u64 / (4 * (holders + 1)));
            lease += more;
            free -= more as f64;
        }
        let entry = Holder { lease, until: now + self.ttl, total: draw.total, lapsed: 0, seq: draw.seq };
        self.holders.insert(holder, entry);
        Some(Grant {
            is_granted,
            amount: lease,
            free: free.max(0.0) as u64,
            used: self.used.ceil() as u64,
            leased: leased + lease,
            gateways: holders + 1,
        })
    }

    /// What is leased at this time, in microseconds.
    pub(crate) fn leased(&self, now: u64) -> u64 {
        self.holders.values().map(|holder| if holder.until > now { holder.lease } else { 0 }).sum()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.ceil() as u64
    }
}
