//! The part of a shared limit that one gateway may use without asking: what was granted to it, what it has not reported yet, and
//! its share while nobody answers. The shared count itself is kept elsewhere; a [`Draw`] is what is asked of it.

mod flow;
mod message;
mod reports;
mod share;

pub use message::{Draw, Grant};
pub use reports::{Due, Fit};
pub use share::OnSilence;

use crate::limit::{Limit, Now, SECOND};
use crate::meter::{Standing, State};

use flow::Flow;
use share::Share;

/// How long the shared count holds a lease that is not renewed, in nanoseconds.
pub const LEASE_TTL: u64 = 10 * SECOND;

/// What a gateway knows of a limit that it shares.
///
/// `used` of the [`State`] is what was used since the last report, and `held` what calls in progress hold.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// What may be used and held until the next report.
    granted: u64,
    /// Until when, in nanoseconds.
    expires: u64,
    /// Net use that the shared count has acknowledged.
    acked: i64,
    /// Net use that was reported and not acknowledged: the shared count may have it.
    pending: i64,
    /// To be taken back from what was reported.
    refund: u64,
    /// The number of the last report.
    seq: u64,
    /// Whether the shared count may hold a lease for it.
    is_open: bool,
    /// When the last report that was acknowledged was made, in nanoseconds.
    synced: u64,
    /// Free here after the last grant; with less than half of it, it is time for the next.
    slice: u64,
    /// A renewal was asked for and has not ended.
    renewing: bool,
    flow: Flow,
    /// What nobody had at the last report.
    free: Option<u64>,
    /// Gateways that had a lease of it then.
    gateways: u64,
    /// So little was free then that nothing is taken in advance.
    is_scarce: bool,
    /// The last refusal: until when it holds, in nanoseconds, and for what amount.
    refused: Option<(u64, u64, u64, Standing)>,
    /// While nobody answers: what the gateway grants itself.
    share: Option<Share>,
}

impl Lease {
    /// Net use that the shared count may not have, apart from what was used since.
    fn pending(&self) -> u64 {
        u64::try_from(self.pending).unwrap_or(0)
    }

    /// What may be used and held, with what is pending.
    fn allowed(&self, now: Now) -> u64 {
        match &self.share {
            Some(share) => self.granted.saturating_add(share.extra),
            None if now.nanos < self.expires => self.granted,
            None => 0,
        }
    }

    fn taken(&self, used: u64, held: u64) -> u64 {
        self.pending().saturating_add(used).saturating_add(held)
    }
}

impl State {
    /// Brings a lease up to a time: a new window begins with nothing; a share drains as its part of the limit.
    pub(crate) fn advance_lease(&mut self, limit: &Limit, now: Now) {
        let State { used, held, drained, window, lease, .. } = self;
        let Some(lease) = lease.as_deref_mut() else { return };
        match *limit {
            Limit::Rate { amount, period, .. } => {
                let pending = lease.pending();
                if let Some(share) = &mut lease.share {
                    let mut free = share.drain(used.saturating_add(pending), amount, period, now);
                    *drained = drained.saturating_add(free);
                    free -= std::mem::replace(used, used.saturating_sub(free)).min(free);
                    // what the shared count may have drains there, too
                    lease.pending -= i64::try_from(free).unwrap_or(0);
                }
            }
            Limit::Window { amount, unit, calendar } => {
                if window.is_none_or(|(_, end)| now.unix >= end) {
                    *window = Some(calendar.window(unit, now.unix));
                    (*used, *held) = (0, 0);
                    let share = lease.share.take().map(|share| share.anew(amount));
                    let flow = std::mem::take(&mut lease.flow);
                    let (gateways, seq) = (lease.gateways, lease.seq);
                    *lease = Lease { share, flow, gateways, seq, ..Lease::default() };
                }
            }
            Limit::Concurrent { .. } => {}
        }
    }

    /// How long a claim on a lease has to wait; where only the shared count knows, a nanosecond.
    pub(crate) fn wait_for_lease(&self, lease: &Lease, limit: &Limit, amount: u64, now: Now) -> u64 {
        let taken = lease.taken(self.used, self.held).saturating_add(amount.min(limit.capacity()));
        let excess = taken.saturating_sub(lease.allowed(now));
        match (&lease.share, limit) {
            _ if excess == 0 => 0,
            (None, _) => 1,
            (Some(share), Limit::Rate { amount, period, .. })
                if excess <= self.used.saturating_add(lease.pending()) =>
            {
                share.time_to_drain(excess, *amount, *period)
            }
            (Some(_), Limit::Window { .. }) if excess > self.held => self.rest(now),
            (Some(_), _) => SECOND,
        }
    }

    /// Something was taken of a lease. Whether so little is left that it should be renewed now.
    pub(crate) fn took(&mut self, amount: u64, now: Now) -> bool {
        let State { used, held, lease, .. } = self;
        let Some(lease) = lease.as_deref_mut() else { return false };
        lease.flow.take(amount, *held, now.nanos);
        let free = lease.allowed(now).saturating_sub(lease.taken(*used, *held));
        let is_low = lease.share.is_none() && !lease.is_scarce && free < lease.slice.div_ceil(2);
        is_low && !std::mem::replace(&mut lease.renewing, true)
    }

    /// Takes back what was reported already.
    pub(crate) fn refund(&mut self, amount: u64) {
        if let Some(lease) = &mut self.lease {
            lease.refund = lease.refund.saturating_add(amount);
        }
    }

    /// Whether a call that has ended leaves something that others may need.
    pub(crate) fn should_give_back(&mut self) -> bool {
        let State { used, held, lease, .. } = self;
        let Some(lease) = lease.as_deref_mut() else { return false };
        let is_free = lease.granted > lease.taken(*used, *held);
        lease.is_scarce && is_free && lease.share.is_none() && !std::mem::replace(&mut lease.renewing, true)
    }

    /// Whether nothing would be lost with a lease.
    pub(crate) fn is_lease_idle(&self) -> bool {
        let closed = |lease: &Lease| lease.granted == 0 && lease.pending == 0 && lease.refund == 0;
        self.used == 0 && self.held == 0 && self.lease.as_deref().is_none_or(closed)
    }
}

#[cfg(test)]
mod tests;
