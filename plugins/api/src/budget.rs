//! A budget of bytes for what is held in memory on behalf of requests, and the charges against it. Counts; holds nothing.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

/// The process's budget for bodies: what is read of requests, what is unpacked of it, and what is kept of answers.
pub static BODIES: Budget = Budget::new();

/// A charge up to this size may use the last eighth of a budget, so that large ones cannot starve small ones.
const SMALL: usize = 256 << 10;
/// The share of a budget that is left for small charges.
const RESERVED: usize = 8;

/// A number of bytes that may be held at once. It outlives configurations; only its limit is theirs.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
    refused: AtomicU64,
}

/// Bytes charged to a budget; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Charge {
    budget: &'static Budget,
    bytes: usize,
}

/// Why a charge was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Others hold too much at the moment.
    Full,
    /// It is more than the budget ever allows.
    Never,
}

impl Budget {
    /// A budget without a limit.
    #[must_use]
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), limit: AtomicUsize::new(usize::MAX), refused: AtomicU64::new(0) }
    }

    /// Sets the limit, in bytes. Charges above it stay until they are dropped.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The bytes charged now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether a charge of so many bytes is possible at all, were there no other.
    #[must_use]
    pub fn could_hold(&self, bytes: usize) -> bool {
        bytes <= self.limit_for(bytes)
    }

    /// What may be charged in all, so that a charge may become so large.
    fn limit_for(&self, bytes: usize) -> usize {
        let limit = self.limit();
        if bytes > SMALL { limit - limit / RESERVED } else { limit }
    }

    /// A charge of nothing yet; it costs nothing until it grows.
    pub fn charge(&'static self) -> Charge {
        Charge { budget: self, bytes: 0 }
    }

    /// Takes `more` bytes for a charge that amounts to `total` then.
    fn take(&self, more: usize, total: usize) -> Result<(), Shortage> {
        let limit = self.limit_for(total);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|used| *used <= limit)
        });
        taken.map(drop).map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            if total > limit { Shortage::Never } else { Shortage::Full }
        })
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Charge {
    /// The bytes charged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to this many bytes in all, if it is smaller.
    ///
    /// # Errors
    /// That the budget does not allow it; nothing changes then.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Shortage> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes, bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Grows to this many bytes or a little more, in steps, so that small pieces one after another cost nothing.
    ///
    /// # Errors
    /// That the budget does not allow it; nothing changes then.
    pub fn cover(&mut self, bytes: usize, step: usize) -> Result<(), Shortage> {
        if bytes <= self.bytes { Ok(()) } else { self.grow_to(bytes.next_multiple_of(step.max(1))) }
    }

    /// Becomes this many bytes, whatever the budget says: for bytes that already are in the place of those charged.
    pub fn settle(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// The same bytes, which hold this charge until the last clone of them is dropped.
    #[must_use]
    pub fn on(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Charged { bytes, _charge: self }) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.settle(0);
        }
    }
}

/// Bytes and what they are charged with.
struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: usize) -> &'static Budget {
        let budget = Box::leak(Box::new(Budget::new()));
        budget.set_limit(limit);
        budget
    }

    #[test]
    fn what_is_charged_is_given_back_with_the_last_clone_of_the_bytes() {
        let budget = budget(100);
        let mut charge = budget.charge();
        charge.grow_to(60).unwrap();
        let bytes = charge.on(Bytes::from_static(b"body"));
        let (clone, slice) = (bytes.clone(), bytes.slice(1..2));
        assert_eq!((&bytes[..], budget.used()), (&b"body"[..], 60));
        drop((bytes, clone));
        assert_eq!(budget.used(), 60);
        drop(slice);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_refused_charge_changes_nothing_and_says_whether_waiting_helps() {
        let budget = budget(100);
        let (mut first, mut second) = (budget.charge(), budget.charge());
        first.grow_to(70).unwrap();
        assert_eq!(second.grow_to(31), Err(Shortage::Full));
        assert_eq!(second.grow_to(101), Err(Shortage::Never));
        assert_eq!((budget.used(), second.bytes(), budget.refused()), (70, 0, 2));
        drop(first);
        assert_eq!(second.grow_to(100), Ok(()));
        second.settle(5);
        assert_eq!(budget.used(), 5);
    }

    #[test]
    fn large_charges_leave_room_for_small_ones() {
        let budget = budget(8 << 20);
        let mut large = budget.charge();
        assert_eq!(large.grow_to(8 << 20), Err(Shortage::Never));
        large.grow_to(7 << 20).unwrap();
        let mut small = budget.charge();
        small.grow_to(SMALL).unwrap();
        assert_eq!(small.grow_to(SMALL + 1), Err(Shortage::Full));
    }

    #[test]
    fn a_lower_limit_lets_what_is_there_go_first() {
        let budget = budget(100);
        let (mut first, mut second) = (budget.charge(), budget.charge());
        first.grow_to(90).unwrap();
        budget.set_limit(50);
        assert_eq!(second.grow_to(1), Err(Shortage::Full));
        drop(first);
        second.cover(1, 16).unwrap();
        assert_eq!(second.bytes(), 16);
    }

    #[test]
    fn charges_of_many_threads_never_pass_the_limit_and_all_come_back() {
        let budget = budget(1000);
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    for step in 1..2000 {
                        let mut charge = budget.charge();
                        let _ = charge.grow_to((number + step) % 400);
                        assert!(budget.used() <= 1000);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
