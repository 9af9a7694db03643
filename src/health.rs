//! Active health checks: one background task per server asks whether it can take requests and reports to the balancer.
//! A task survives a reload that keeps its server. Selects no server itself.

mod check;
mod probe;
mod verdict;

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::debug;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::balance::{Health, Server};

use verdict::Verdict;

pub use check::Check;

/// The running checks.
#[derive(Default)]
pub struct Checks {
    /// By server id.
    running: Mutex<HashMap<u64, RunningCheck>>,
    refresh: Notify,
    /// Signals that a server had its first check, or that the set of servers changed.
    events: Arc<watch::Sender<()>>,
}

/// A server in use.
pub struct CheckTarget {
    /// The server.
    pub server: Arc<Server>,
    /// Index of its entry in the upstream's `servers`.
    pub server_index: usize,
    /// How it is checked; `None`: not at all.
    pub check: Option<Arc<Check>>,
}

/// The result of a server's last check.
#[derive(Clone, Debug)]
pub struct LastCheck {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The status of the response; `None` for checks without a request, or without a response.
    pub status: Option<u16>,
    /// Why the check failed; `None` if it passed.
    pub error: Option<String>,
}

impl Checks {
    /// Checks the targets until the future is dropped. Asks for the targets again whenever `addresses` signals a change or
    /// [`refresh`](Self::refresh) is called.
    pub async fn run(&self, mut addresses: watch::Receiver<()>, targets: impl Fn() -> Vec<CheckTarget>) {
        loop {
            addresses.mark_unchanged();
            self.set(targets());
            tokio::select! {
                Ok(()) = addresses.changed() => {}
                () = self.refresh.notified() => {}
            }
        }
    }

    /// Makes [`run`](Self::run) ask for the targets again, as after a reload.
    pub fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// Signals every first check of a server and every change of the set of checked servers.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.events.subscribe()
    }

    /// The result of a server's last check; `None` before the first one.
    #[must_use]
    pub fn last(&self, server: &Server) -> Option<LastCheck> {
        let running = self.running();
        running.get(&server.id())?.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every server that takes no requests before its first check has had that check.
    #[must_use]
    pub fn first_checks_done(&self, targets: &[CheckTarget]) -> bool {
        !targets.iter().any(|target| self.waits_for_first(target))
    }

    /// The servers that wait for theirs, by their addresses.
    #[must_use]
    pub fn first_checks_to_do(&self, targets: &[CheckTarget]) -> Vec<String> {
        let waiting = targets.iter().filter(|target| self.waits_for_first(target));
        waiting.map(|target| format!("{} of {}", target.server.address(), target.server.upstream())).collect()
    }

    fn waits_for_first(&self, target: &CheckTarget) -> bool {
        let waits = target.check.is_some() && target.server.health() == Health::Unhealthy;
        waits && self.last(&target.server).is_none()
    }

    /// Starts checks of new targets and stops those of servers that are no longer among them.
    fn set(&self, targets: Vec<CheckTarget>) {
        let mut running = self.running();
        let mut before = std::mem::take(&mut *running);
        for CheckTarget { server, server_index, check } in targets {
            let Some(check) = check else {
                // it may wait for a first check that never started
                server.set_health(Health::Unknown, "");
                continue;
            };
            // a server that the YAML names twice is checked once
            let Entry::Vacant(place) = running.entry(server.id()) else { continue };
            let assignment = Assignment { check, server_index };
            place.insert(match before.remove(&server.id()) {
                Some(kept) => kept.with(assignment),
                None => RunningCheck::start(server, assignment, self.events.clone()),
            });
        }
        drop((running, before));
        self.events.send_replace(());
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, RunningCheck>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a server is checked from now on.
#[derive(Clone)]
struct Assignment {
    check: Arc<Check>,
    server_index: usize,
}

/// The check of one server. Dropping it stops the check and resets the server's health to unknown.
struct RunningCheck {
    server: Arc<Server>,
    assignment: watch::Sender<Assignment>,
    last: Arc<Mutex<Option<LastCheck>>>,
    task: AbortHandle,
}

impl RunningCheck {
    fn start(server: Arc<Server>, assignment: Assignment, events: Arc<watch::Sender<()>>) -> Self {
        let (assignment, assignments) = watch::channel(assignment);
        let last = Arc::default();
        let task = tokio::spawn(keep_checking(server.clone(), assignments, Arc::clone(&last), events)).abort_handle();
        Self { server, assignment, last, task }
    }

    /// The same check under another configuration. One that is equal does not wake the task.
    fn with(self, assignment: Assignment) -> Self {
        self.assignment.send_if_modified(|known| {
            let is_new = !Arc::ptr_eq(&known.check, &assignment.check);
            *known = assignment;
            is_new
        });
        self
    }
}

impl Drop for RunningCheck {
    fn drop(&mut self) {
        self.task.abort();
        self.server.set_health(Health::Unknown, "");
    }
}

/// Checks a server repeatedly, one check at a time.
async fn keep_checking(
    server: Arc<Server>,
    mut assignments: watch::Receiver<Assignment>,
    last: Arc<Mutex<Option<LastCheck>>>,
    events: Arc<watch::Sender<()>>,
) {
    let mut verdict = Verdict::new(server.health());
    let wait = assignments.borrow().check.delay(random());
    sleep(wait).await;
    loop {
        let Assignment { check, server_index } = assignments.borrow_and_update().clone();
        let began = Instant::now();
        let result = check.run(server_index, server.socket()).await;
        let at = Instant::now();
        verdict = verdict.after(result.is_ok(), check.thresholds);
        let (status, error) = match &result {
            Ok(status) => (*status, None),
            Err(error) => (error.status(), Some(format!("{error}; {}", error.hint()))),
        };
        if let Some(error) = &error {
            let (upstream, name) = (server.upstream(), server.address());
            debug!(upstream, server = name, address:% = server.socket(), error; "health check failed");
        }
        let reason = error.clone().unwrap_or_default();
        let result = LastCheck { at, took: at - began, status, error };
        let is_first = last.lock().unwrap_or_else(PoisonError::into_inner).replace(result).is_none();
        server.set_health(verdict.health(), &reason);
        if is_first {
            events.send_replace(());
        }
        // a reload may change the interval
        let random = random();
        loop {
            let next = began + assignments.borrow().check.pause(random);
            tokio::select! {
                () = sleep_until(next) => break,
                changed = assignments.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// A random number, good enough to keep gateways out of step.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests;
