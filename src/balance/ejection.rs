//! When a failing server is left out and when it comes back: nginx's accounting of failures, with a back-off that grows.
//! Pure: knows neither server nor clock.

use std::time::{Duration, Instant};

use super::{FailureClass, ServerFailure};

/// What the settings say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EjectionPolicy {
    /// Failures that eject; 0: none do.
    pub max_fails: u32,
    /// Within what time they add up, and how long the first ejection lasts.
    pub fail_timeout: Duration,
    /// How long longest lasts.
    pub max_time: Duration,
}

/// What is remembered of a server's failures.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    /// Failures that add up (nginx: `fails`, `accessed`, `checked`).
    fails: u32,
    failed: Option<Instant>,
    checked: Option<Instant>,
    in_a_row: u32,
    last: Option<FailureClass>,
    out: Option<Out>,
    /// How often it was ejected while it took part.
    ejections: u64,
    /// How long the last ejection lasts or lasted.
    back_off: Duration,
    returned: Option<Instant>,
}

/// An ejection. What belongs to it ends with it, whoever ends it.
#[derive(Clone, Copy, Debug)]
struct Out {
    /// Which one it is: what was begun under an earlier one tells nothing of it.
    number: u64,
    until: Instant,
    probing: bool,
}

/// Whether it may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EjectionState {
    /// As any other.
    NotEjected,
    /// It may be chosen once, to see whether it answers again.
    ProbeDue,
    /// That one request is under way; it was due then.
    Probing(Instant),
    /// It is left out until then.
    Ejected(Instant),
}

/// As what a server was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// As one in good standing.
    Ordinary,
    /// To see whether it answers again, in the ejection of this number.
    Probe(u64),
    /// In the ejection of this number, because nobody else was left.
    LastResort(u64),
}

impl Ejection {
    /// Whether it may be chosen now.
    pub fn state(&self, now: Instant) -> EjectionState {
        match self.out {
            None => EjectionState::NotEjected,
            Some(out) if out.probing => EjectionState::Probing(out.until),
            Some(out) if out.until <= now => EjectionState::ProbeDue,
            Some(out) => EjectionState::Ejected(out.until),
        }
    }

    /// It was chosen.
    pub fn chosen(&mut self, now: Instant, policy: EjectionPolicy) -> Role {
        let ejection = self.state(now);
        match &mut self.out {
            None => {
                // nginx: failures are forgotten by a success only in the next window
                if self.checked.is_some_and(|checked| now.saturating_duration_since(checked) > policy.fail_timeout) {
                    self.checked = Some(now);
                }
                Role::Ordinary
            }
            Some(out) if ejection == EjectionState::ProbeDue => {
                out.probing = true;
                Role::Probe(out.number)
            }
            Some(out) => Role::LastResort(out.number),
        }
    }

    /// An attempt failed. How long it is left out from now on, if this is what ejects it; `spare` forbids that.
    pub fn failed(
        &mut self,
        now: Instant,
        policy: EjectionPolicy,
        failure: ServerFailure,
        role: Role,
        spare: bool,
    ) -> Option<Duration> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(failure.class);
        let asked = failure.retry_after.unwrap_or_default().min(policy.max_time);
        if let Some(out) = &mut self.out
            && role != Role::Probe(out.number)
        {
            // it was begun before, or for want of another: no reason for a longer back-off
            out.until = out.until.max(now + asked);
            return None;
        }
        if policy.max_fails == 0 {
            self.out = None;
            self.forget();
            return None;
        }
        self.fails = self.fails.saturating_add(1);
        (self.failed, self.checked) = (Some(now), Some(now));
        if self.out.is_none() {
            if self.fails < policy.max_fails || spare {
                return None;
            }
            self.ejections += 1;
        }
        // one that failed again soon after it returned has not recovered
        let again = self.returned.is_none_or(|at| now.saturating_duration_since(at) < self.back_off);
        let grown = if again { self.back_off.saturating_mul(2) } else { Duration::ZERO };
        self.back_off = grown.max(policy.fail_timeout).min(policy.max_time.max(policy.fail_timeout));
        let lasts = self.back_off.max(asked);
        self.out = Some(Out { number: self.ejections, until: now + lasts, probing: false });
        self.returned = None;
        Some(lasts)
    }

    /// An attempt was answered well; `true` if that brings the server back.
    pub fn succeeded(&mut self, now: Instant, role: Role) -> bool {
        let Some(out) = self.out else {
            self.in_a_row = 0;
            if self.failed < self.checked {
                self.forget();
            }
            return false;
        };
        if role != Role::Probe(out.number) && role != Role::LastResort(out.number) {
            return false; // it was begun before
        }
        self.out = None;
        self.in_a_row = 0;
        self.returned = Some(now);
        self.forget();
        true
    }

    /// What was chosen in this role ended without telling anything, as by its client leaving.
    pub fn ended_without_result(&mut self, role: Role) {
        if let Some(out) = &mut self.out
            && role == Role::Probe(out.number)
        {
            out.probing = false;
        }
    }

    /// Whether there is nothing to be asked about: it stands as any other, and a success changes nothing.
    pub fn is_clear(&self) -> bool {
        self.out.is_none() && self.fails == 0 && self.in_a_row == 0
    }

    pub fn until(&self) -> Option<Instant> {
        self.out.map(|out| out.until)
    }

    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    pub fn last(&self) -> Option<FailureClass> {
        self.last
    }

    fn forget(&mut self) {
        (self.fails, self.failed, self.checked) = (0, None, None);
    }
}
