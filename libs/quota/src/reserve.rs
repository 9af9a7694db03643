//! Takes from several limits at once, or from none; gives back by `Drop`, or settles by what was really used.

use std::sync::Arc;

use crate::limit::{Limit, Now};
use crate::meter::{Meter, Standing, State};

/// What a call wants of one limit.
#[derive(Clone, Debug)]
pub struct Claim {
    meter: Arc<Meter>,
    limit: Limit,
    amount: u64,
    is_spent: bool,
    /// Its place in the list of claims.
    place: usize,
    at_grant: AtGrant,
}

/// How its meter stood when a claim was granted.
#[derive(Clone, Copy, Debug, Default)]
struct AtGrant {
    /// What had drained of it before.
    drained: u64,
    /// The window in which it was taken: its first second, and the first behind it.
    window: Option<(i64, i64)>,
    is_low: bool,
}

/// What a call has of one limit.
///
/// Dropped without having been [settled](Self::settle), it gives back what it holds; what was spent stays spent.
#[derive(Debug)]
pub struct Reservation(Claim);

/// Why nothing was reserved: the claim that has to wait longest; of equal waits, the first in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the list of claims.
    pub claim: usize,
    /// How long it has to wait, in nanoseconds. Where calls in progress hold what it needs, nobody knows; then it is the
    /// shortest time that makes sense.
    pub wait_nanos: u64,
    /// Where its limit stands.
    pub standing: Standing,
}

impl Claim {
    /// A claim on an amount that is held while the call is in progress, and used in the end as far as it was needed.
    #[must_use]
    pub fn hold(meter: Arc<Meter>, limit: Limit, amount: u64) -> Self {
        Self { meter, limit, amount, is_spent: false, place: 0, at_grant: AtGrant::default() }
    }

    /// A claim on an amount that is used at once.
    #[must_use]
    pub fn spend(meter: Arc<Meter>, limit: Limit, amount: u64) -> Self {
        Self { meter, limit, amount, is_spent: true, place: 0, at_grant: AtGrant::default() }
    }

    /// The meter that it is on.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The limit that it is held to.
    #[must_use]
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// How much it is, at most all that the limit allows.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount.min(self.limit.capacity())
    }
}

/// Reserves all of these claims, or none of them. The reservations stand in the order of the claims.
///
/// Each claim is on another meter: all meters are locked at once, and a second lock of one would wait for the first for ever. Who makes
/// the claims sees to it, by having one meter for each limit and subject.
///
/// A claim for more than its limit allows waits until nothing else is used or held, and then passes: no estimate makes a call
/// impossible.
///
/// # Errors
/// The claim that has to wait longest; of equal waits, the first in the list.
pub fn reserve(mut claims: Vec<Claim>, now: Now) -> Result<Vec<Reservation>, Refused> {
    match take_all(&mut claims, false, now) {
        Some(refused) => Err(refused),
        // the same room holds them
        None => Ok(claims.into_iter().map(Reservation).collect()),
    }
}

/// Reserves all of these claims however little room there is, for what will be used in any case.
#[must_use]
pub fn reserve_in_any_case(mut claims: Vec<Claim>, now: Now) -> Vec<Reservation> {
    // nothing waits
    let _none = take_all(&mut claims, true, now);
    claims.into_iter().map(Reservation).collect()
}

/// Takes all claims or none, and leaves them in their order.
fn take_all(claims: &mut [Claim], in_any_case: bool, now: Now) -> Option<Refused> {
    claims.iter_mut().enumerate().for_each(|(place, claim)| claim.place = place);
    // meters are locked in the order of their ids, so that no two calls wait for each other; mostly they were made in that of the claims
    let is_in_order = claims.is_sorted_by_key(|claim| claim.meter.id);
    if !is_in_order {
        claims.sort_unstable_by_key(|claim| claim.meter.id);
    }
    debug_assert!(
        claims.is_sorted_by(|claim, next| claim.meter.id < next.meter.id),
        "two claims of one call are on one meter"
    );
    let refused = take(claims, None, in_any_case, now);
    if !is_in_order {
        claims.sort_unstable_by_key(|claim| claim.place);
    }
    refused
}

/// Locks the meter of the first of these claims, behind the locks of those before it; changes all of them once the last has agreed.
fn take(claims: &mut [Claim], refused: Option<Refused>, in_any_case: bool, now: Now) -> Option<Refused> {
    let [claim, behind @ ..] = claims else { return refused };
    let (amount, limit) = (claim.amount(), &claim.limit);
    let mut state = claim.meter.lock();
    state.advance(limit, now);
    let wait_nanos = if in_any_case { 0 } else { state.wait(limit, amount, now) };
    // meters are locked in an order that differs from start to start: which claim is named goes by the list alone
    let is_told = refused.is_none_or(|other| (wait_nanos, other.claim) > (other.wait_nanos, claim.place));
    let refused = if wait_nanos > 0 && is_told {
        Some(Refused { claim: claim.place, wait_nanos, standing: state.standing(limit, now) })
    } else {
        refused
    };
    let refused = take(behind, refused, in_any_case, now);
    if refused.is_none() {
        claim.amount = amount;
        (claim.at_grant.drained, claim.at_grant.window) = (state.drained, state.window);
        let counted = if claim.is_spent { &mut state.used } else { &mut state.held };
        *counted = counted.saturating_add(amount);
        if !claim.is_spent {
            claim.meter.count_held(amount);
        }
        claim.at_grant.is_low = state.took(amount, now);
    }
    refused
}

impl Reservation {
    /// What was reserved.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.0.amount
    }

    /// Its meter's.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.0.meter
    }

    /// The limit that it is held to.
    #[must_use]
    pub fn limit(&self) -> &Limit {
        &self.0.limit
    }

    /// Whether it was used at once.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.0.is_spent
    }

    /// The window in which it was taken, of a limit that has windows: its first second, and the first behind it.
    #[must_use]
    pub fn window(&self) -> Option<(i64, i64)> {
        self.0.at_grant.window
    }

    /// Whether so little of a lease is left that it should be renewed. One of those who take of it is told.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.0.at_grant.is_low
    }

    /// Where its limit stands.
    #[must_use]
    pub fn standing(&self, now: Now) -> Standing {
        self.0.meter.standing(&self.0.limit, now)
    }

    /// Ends it: this much was used. More than was reserved is a debt; of less, the rest is given back.
    ///
    /// What was spent at once drains from then on, so only what is left of it can be given back. A reservation counts for the window
    /// in which it was taken: when that is over, nothing is counted.
    ///
    /// Whether a lease has something now that should be given back at once, since little is left for others. One of those who settle is
    /// told.
    #[expect(clippy::must_use_candidate, reason = "only who shares limits has to give something back")]
    pub fn settle(mut self, used: u64, now: Now) -> bool {
        let reserved = std::mem::take(&mut self.0.amount);
        let Claim { meter, limit, is_spent, at_grant, .. } = &self.0;
        if !is_spent {
            meter.count_released(reserved);
        }
        let mut state = meter.lock();
        state.advance(limit, now);
        if !state.is_in(at_grant.window) {
            return false;
        }
        if *is_spent {
            let drained = state.drained.saturating_sub(at_grant.drained);
            let left = reserved.saturating_sub(used).min(reserved.saturating_sub(drained));
            if let Some(reported) = left.checked_sub(state.used).filter(|reported| *reported > 0) {
                state.refund(reported);
            }
            state.used = state.used.saturating_sub(left).saturating_add(used.saturating_sub(reserved));
        } else {
            state.held = state.held.saturating_sub(reserved);
            state.used = state.used.saturating_add(used);
        }
        state.should_give_back()
    }

    /// Ends it where what was used is known from elsewhere: gives back what it holds, and at the same moment does what
    /// [`Meter::set_used`] does.
    pub fn settle_as(mut self, used: u64, window: i64, now: Now) {
        let mut state = self.0.meter.lock();
        state.advance(&self.0.limit, now);
        state.set_used(used, window);
        if !self.0.is_spent {
            self.release(&mut state);
        }
        drop(state);
        self.0.amount = 0;
    }

    /// Gives back what it holds.
    fn release(&self, state: &mut State) {
        let Claim { meter, amount, at_grant, .. } = &self.0;
        meter.count_released(*amount);
        if state.is_in(at_grant.window) {
            state.held = state.held.saturating_sub(*amount);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Claim { meter, amount, is_spent, .. } = &self.0;
        if *amount > 0 && !is_spent {
            self.release(&mut meter.lock());
        }
    }
}
