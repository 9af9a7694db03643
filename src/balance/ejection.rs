//! Passive ejection: when a failing server stops taking requests and when it returns. nginx's accounting of failures, with
//! exponential backoff. Pure: knows neither servers nor the clock.

use std::time::{Duration, Instant};

use super::{FailureClass, ServerFailure};

/// The settings that govern ejection.
#[derive(Clone, Copy, Debug)]
pub(super) struct EjectionPolicy {
    /// Failures that eject a server; 0: it is never ejected.
    pub max_fails: u32,
    /// The window in which failures add up, and the duration of the first ejection.
    pub fail_timeout: Duration,
    /// The longest ejection.
    pub max_time: Duration,
}

/// The failure history of a server.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    // nginx: `fails`, `accessed`, `checked`
    fails: u32,
    failed: Option<Instant>,
    checked: Option<Instant>,
    in_a_row: u32,
    last: Option<FailureClass>,
    out: Option<Out>,
    /// Ejections so far.
    ejections: u64,
    /// The duration of the last ejection.
    back_off: Duration,
    returned: Option<Instant>,
}

/// The current ejection.
#[derive(Clone, Copy, Debug)]
struct Out {
    /// Its number. Results of requests that began under an earlier one do not count for this one.
    number: u64,
    until: Instant,
    probing: bool,
}

/// Whether a server is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EjectionState {
    /// It is not.
    NotEjected,
    /// Its time is over: one request may probe it.
    ProbeDue,
    /// That request is in flight. The ejection ended at this time.
    Probing(Instant),
    /// It is, until this time.
    Ejected(Instant),
}

/// The role in which a server was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It was not ejected.
    Ordinary,
    /// As a probe, in the ejection of this number.
    Probe(u64),
    /// Because no other server was left, in the ejection of this number.
    LastResort(u64),
}

impl Ejection {
    /// Whether the server is ejected now.
    pub fn state(&self, now: Instant) -> EjectionState {
        match self.out {
            None => EjectionState::NotEjected,
            Some(out) if out.probing => EjectionState::Probing(out.until),
            Some(out) if out.until <= now => EjectionState::ProbeDue,
            Some(out) => EjectionState::Ejected(out.until),
        }
    }

    /// Records that the server was selected, and returns in which role.
    pub fn chosen(&mut self, now: Instant, policy: EjectionPolicy) -> Role {
        let ejection = self.state(now);
        match &mut self.out {
            None => {
                // nginx: a success clears failures only in the next window
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

    /// Records a failed attempt. Returns the duration of the ejection if the failure ejects the server; `spare` forbids a
    /// first ejection.
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
            // the attempt began earlier, or as a last resort: the backoff does not grow
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
        // a failure soon after its return means that it has not recovered
        let again = self.returned.is_none_or(|at| now.saturating_duration_since(at) < self.back_off);
        let grown = if again { self.back_off.saturating_mul(2) } else { Duration::ZERO };
        self.back_off = grown.max(policy.fail_timeout).min(policy.max_time.max(policy.fail_timeout));
        let lasts = self.back_off.max(asked);
        self.out = Some(Out { number: self.ejections, until: now + lasts, probing: false });
        self.returned = None;
        Some(lasts)
    }

    /// Records a successful attempt; `true` if it ends the ejection.
    pub fn succeeded(&mut self, now: Instant, role: Role) -> bool {
        let Some(out) = self.out else {
            self.in_a_row = 0;
            if self.failed < self.checked {
                self.forget();
            }
            return false;
        };
        if role != Role::Probe(out.number) && role != Role::LastResort(out.number) {
            return false; // the attempt began before the ejection
        }
        self.out = None;
        self.in_a_row = 0;
        self.returned = Some(now);
        self.forget();
        true
    }

    /// Records that an attempt ended without a result, as when its client disconnects. Another probe may follow.
    pub fn ended_without_result(&mut self, role: Role) {
        if let Some(out) = &mut self.out
            && role == Role::Probe(out.number)
        {
            out.probing = false;
        }
    }

    /// Whether there is nothing on record: the server is not ejected, and a success changes nothing.
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
