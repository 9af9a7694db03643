//! What a gateway grants itself while the shared count does not answer.

use crate::limit::{Limit, Now, SECOND};

/// What a gateway does beyond its lease while the shared count does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnSilence {
    /// It goes on with its part of what was left when it last heard of it, or of the whole limit.
    Local,
    /// It admits everything.
    Allow,
    /// It admits nothing.
    Refuse,
}

/// More than any limit.
const BOUNDLESS: u64 = u64::MAX / 4;

/// What a gateway grants itself.
#[derive(Debug)]
pub(super) struct Share {
    /// What may be used beyond the lease.
    pub(super) extra: u64,
    /// What that grows to where nothing is used of it.
    most: u64,
    on_silence: OnSilence,
    /// How many share the limit.
    gateways: u64,
    /// When it was last brought up to date, in nanoseconds.
    at: u64,
    /// What has drained beyond whole units.
    carry: u128,
}

impl Share {
    /// The share of a limit of which so much was free, if that is known.
    pub(super) fn new(limit: &Limit, on_silence: OnSilence, free: Option<u64>, gateways: u64, now: Now) -> Self {
        let capacity = limit.capacity();
        let (extra, most) = match on_silence {
            OnSilence::Local => {
                (capacity.min(free.unwrap_or(capacity)).div_ceil(gateways), capacity.div_ceil(gateways))
            }
            OnSilence::Allow => (BOUNDLESS, BOUNDLESS),
            OnSilence::Refuse => (0, 0),
        };
        Self { extra, most, on_silence, gateways, at: now.nanos, carry: 0 }
    }

    /// The share of a window that begins.
    pub(super) fn anew(self, amount: u64) -> Self {
        let extra = if self.on_silence == OnSilence::Local { amount.div_ceil(self.gateways) } else { self.extra };
        Self { extra, ..self }
    }

    /// Drains the share of a bucket; what of `used` has drained.
    pub(super) fn drain(&mut self, used: u64, amount: u64, period: u64, now: Now) -> u64 {
        let elapsed = now.nanos.saturating_sub(self.at);
        self.at = self.at.max(now.nanos);
        if self.on_silence != OnSilence::Local {
            return 0;
        }
        let period = u128::from(period) * u128::from(self.gateways);
        let parts = u128::from(elapsed) * u128::from(amount) + self.carry;
        let units = u64::try_from(parts / period).unwrap_or(u64::MAX);
        self.carry = parts % period;
        let drained = units.min(used);
        // what was used by others before the silence drains once nothing of its own is left
        self.extra = self.extra.saturating_add(units - drained).min(self.most.max(self.extra));
        drained
    }

    /// Nanoseconds until so much has drained.
    pub(super) fn time_to_drain(&self, units: u64, amount: u64, period: u64) -> u64 {
        if self.on_silence != OnSilence::Local {
            return SECOND;
        }
        let parts = u128::from(units) * u128::from(period) * u128::from(self.gateways);
        u64::try_from(parts.saturating_sub(self.carry).div_ceil(u128::from(amount))).unwrap_or(u64::MAX).max(1)
    }
}
