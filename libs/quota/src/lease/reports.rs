//! What a meter of a shared limit asks the shared count, and what it does with the answer, or without one.

use super::LEASE_TTL;
use super::flow::Flow;
use super::message::{Draw, Grant};
use super::share::{OnSilence, Share};
use crate::limit::{Limit, Now, SECOND};
use crate::meter::{Meter, Standing, State};

/// A lease is used no longer than this after it was asked for, so that it ends here before it ends there.
const VALID: u64 = LEASE_TTL / 5 * 4;
/// A lease is renewed when it is so old.
const RENEW_AFTER: u64 = LEASE_TTL / 5 * 2;
/// A lease that nothing was taken of for so long is given back, but for what calls in progress hold.
const IDLE_AFTER: u64 = 2 * SECOND;
/// So long the shared count remembers whose lease has lapsed: after that there is no need to tell it anything.
const FORGOTTEN_AFTER: u64 = 60 * SECOND;

/// What is to be done about a lease that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// A report, which renews it or gives it back.
    Report,
    /// Nothing is left of it: it need not be looked at.
    Closed,
}

/// Whether a claim fits into a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Fits,
    /// The shared count has to be asked.
    Ask,
    /// It does not fit into the gateway's share either.
    Silent,
    /// The shared count has just refused as much.
    Refused {
        /// How long the claim has to wait, in nanoseconds.
        wait_nanos: u64,
        /// Where the limit stands.
        standing: Standing,
    },
}

impl Meter {
    /// A meter of a limit that is shared: it counts what this gateway was granted of it.
    #[must_use]
    pub fn leased() -> Self {
        let meter = Self::default();
        meter.lock().lease = Some(Box::default());
        meter
    }

    /// Whether an amount fits into the lease, at this moment.
    #[must_use]
    pub fn fit(&self, limit: &Limit, amount: u64, now: Now) -> Fit {
        let mut state = self.lock();
        state.advance(limit, now);
        if state.wait(limit, amount, now) == 0 {
            return Fit::Fits;
        }
        let Some(lease) = &state.lease else { return Fit::Fits };
        match lease.refused {
            Some((until, refused, wait_nanos, standing)) if now.nanos < until && amount >= refused => {
                Fit::Refused { wait_nanos, standing }
            }
            _ if lease.share.is_some() => Fit::Silent,
            _ => Fit::Ask,
        }
    }

    /// What to ask the shared count for: room for an amount, for what other calls wait for, and some in advance. Also reports what was
    /// used. With an amount of 0, it renews the lease, and gives back what is not needed.
    ///
    /// One draw of a meter may be under way at a time. It ends with [`granted`](Self::granted) or [`unanswered`](Self::unanswered).
    pub fn draw(&self, limit: &Limit, amount: u64, waiting: u64, now: Now) -> Option<Draw> {
        let mut state = self.lock();
        state.advance(limit, now);
        let State { used, held, drained, window, lease, .. } = &mut *state;
        let lease = lease.as_deref_mut()?;
        let spent = std::mem::take(used);
        if matches!(limit, Limit::Rate { .. }) {
            // from here on it drains in the shared count, and cannot be given back
            *drained = drained.saturating_add(spent);
        }
        let net = i64::try_from(spent).unwrap_or(i64::MAX);
        let refund = i64::try_from(std::mem::take(&mut lease.refund)).unwrap_or(i64::MAX);
        lease.pending = lease.pending.saturating_add(net).saturating_sub(refund);
        let is_valid = now.nanos < lease.expires;
        let free = if is_valid { lease.granted.saturating_sub(lease.taken(0, *held)) } else { 0 };
        let is_idle = amount == 0 && lease.flow.idle(now.nanos) >= IDLE_AFTER;
        let advance = match limit {
            _ if is_idle || lease.is_scarce => 0,
            Limit::Concurrent { .. } => lease.flow.peak.saturating_sub(*held) + *held / 4,
            _ => lease.flow.advance(now.nanos),
        };
        lease.flow.peak = *held;
        // what is kept is this gateway's already; what it does without is out of use before the shared count hears of it
        let keep = held.saturating_add(if amount == 0 { free.min(advance) } else { free });
        lease.granted = lease.granted.min(lease.pending().saturating_add(keep));
        lease.seq += 1;
        lease.is_open = true;
        Some(Draw {
            seq: lease.seq,
            total: lease.acked.saturating_add(lease.pending),
            acked: lease.acked,
            keep,
            need: keep.max(held.saturating_add(amount)),
            waiting,
            advance: advance.saturating_sub(free),
            window: *window,
            sent: now.nanos,
        })
    }

    /// The shared count has answered.
    pub fn granted(&self, limit: &Limit, draw: &Draw, grant: &Grant, now: Now) {
        let mut state = self.lock();
        state.advance(limit, now);
        let State { held, window, lease, .. } = &mut *state;
        let Some(lease) = lease.as_deref_mut().filter(|lease| lease.seq == draw.seq && *window == draw.window) else {
            return;
        };
        (lease.acked, lease.pending) = (draw.total, 0);
        (lease.granted, lease.expires, lease.synced) = (grant.amount, draw.sent.saturating_add(VALID), draw.sent);
        lease.slice = grant.amount.saturating_sub(*held);
        (lease.free, lease.gateways) = (Some(grant.free), grant.gateways);
        lease.is_scarce = grant.free.saturating_mul(10) < limit.capacity();
        lease.is_open = grant.amount > 0;
        (lease.share, lease.renewing, lease.refused) = (None, false, None);
    }

    /// Whoever asked for this amount has been refused by the shared count: how long it has to wait, in nanoseconds, and where the limit
    /// stands. Calls within `memory` nanoseconds are refused without asking again.
    pub fn refused(&self, limit: &Limit, amount: u64, grant: &Grant, memory: u64, now: Now) -> (u64, Standing) {
        let mut state = self.lock();
        let all = State::of(grant.used, grant.leased, state.window);
        let (wait, standing) = (all.wait(limit, amount, now).max(1), all.standing(limit, now));
        if let Some(lease) = &mut state.lease {
            lease.refused = Some((now.nanos.saturating_add(wait.min(memory)), amount, wait, standing));
        }
        (wait, standing)
    }

    /// The shared count has not answered: from now on the gateway goes on with its lease and what `on_silence` says, until a grant comes.
    /// `gateways` share the limit, as far as is known where no answer ever came.
    pub fn unanswered(&self, limit: &Limit, on_silence: OnSilence, gateways: u64, now: Now) {
        let mut state = self.lock();
        state.advance(limit, now);
        let Some(lease) = state.lease.as_deref_mut() else { return };
        lease.renewing = false;
        if lease.share.is_none() {
            let gateways = if lease.free.is_some() { lease.gateways } else { gateways };
            lease.share = Some(Share::new(limit, on_silence, lease.free, gateways.max(1), now));
        }
    }

    /// The clock by which the window was chosen is wrong: the next operation chooses it anew.
    pub fn forget_window(&self) {
        let mut state = self.lock();
        if let Some(lease) = &mut state.lease {
            lease.renewing = false;
            state.window = None;
        }
    }

    /// Nothing more will be taken of it: the next report gives back all that no call in progress holds.
    pub fn close(&self) {
        if let Some(lease) = &mut self.lock().lease {
            lease.flow = Flow::default();
            lease.is_scarce = true;
        }
    }

    /// What is to be done about its lease.
    #[must_use]
    pub fn due(&self, limit: &Limit, now: Now) -> Due {
        let mut state = self.lock();
        state.advance(limit, now);
        let State { used, held, lease, .. } = &*state;
        let Some(lease) = lease.as_deref() else { return Due::Closed };
        let is_empty = *used == 0 && *held == 0 && lease.pending == 0 && lease.refund == 0;
        let free = lease.granted.saturating_sub(lease.taken(*used, *held));
        let idle = lease.flow.idle(now.nanos);
        let is_idle = idle >= IDLE_AFTER;
        let age = now.nanos.saturating_sub(lease.synced);
        if is_empty && lease.granted == 0 && (!lease.is_open || idle >= FORGOTTEN_AFTER) {
            return Due::Closed;
        }
        let gives_back = free > 0 && (is_idle || lease.is_scarce);
        let reports = is_idle && (*used > 0 || lease.refund > 0 || lease.pending != 0);
        if lease.share.is_some() || gives_back || reports || age >= RENEW_AFTER { Due::Report } else { Due::Nothing }
    }
}
