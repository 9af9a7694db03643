//! Active health checks: asks servers in the background whether they can take requests, and tells the balancer. One task
//! for each server; it outlives a reload that leaves the server in place. Chooses no server itself.

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

/// How often servers are looked for that came or went with the DNS.
const REFRESH: Duration = Duration::from_secs(1);

/// The checks under way.
#[derive(Default)]
pub struct Checks {
    // by the server's own number
    running: Mutex<HashMap<u64, RunningCheck>>,
    changed: Notify,
}

/// A server in use.
pub struct CheckTarget {
    /// The server.
    pub server: Arc<Server>,
    /// Its place among its upstream's servers in the YAML.
    pub server_index: usize,
    /// How they are checked, if they are.
    pub check: Option<Arc<Check>>,
}

/// What a server's last check has shown.
#[derive(Clone, Debug)]
pub struct LastCheck {
    /// When it ended.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The status that it was answered with; none where it asks for none, or got none.
    pub status: Option<u16>,
    /// Why it was not passed; none if it was.
    pub error: Option<String>,
}

impl Checks {
    /// Checks what is to be checked, for as long as the future is polled.
    pub async fn run(&self, targets: impl Fn() -> Vec<CheckTarget>) {
        loop {
            self.set(targets());
            tokio::select! {
                () = sleep(REFRESH) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Other servers are to be checked, or in other ways: soon looks which.
    pub fn refresh(&self) {
        self.changed.notify_one();
    }

    /// What the last check of a server has shown; `None` if there was none.
    #[must_use]
    pub fn last(&self, server: &Server) -> Option<LastCheck> {
        let running = self.running();
        running.get(&server.id())?.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every server that takes no request before its first check has had one.
    #[must_use]
    pub fn first_checks_done(&self, targets: &[CheckTarget]) -> bool {
        let waits = |target: &CheckTarget| target.check.is_some() && target.server.health() == Health::Unhealthy;
        targets.iter().all(|target| !waits(target) || self.last(&target.server).is_some())
    }

    /// Begins to check the servers that are new here, and no longer checks those that are gone.
    fn set(&self, targets: Vec<CheckTarget>) {
        let mut running = self.running();
        let mut before = std::mem::take(&mut *running);
        for CheckTarget { server, server_index, check } in targets {
            let Some(check) = check else {
                // it may wait for a check that was never begun
                server.set_health(Health::Unknown, "");
                continue;
            };
            // one that the YAML names twice is checked once
            let Entry::Vacant(place) = running.entry(server.id()) else { continue };
            place.insert(match before.remove(&server.id()) {
                Some(kept) => kept.with(Assignment { check, server_index }),
                None => RunningCheck::start(server, Assignment { check, server_index }),
            });
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, RunningCheck>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a server is to be checked from now on.
#[derive(Clone)]
struct Assignment {
    check: Arc<Check>,
    server_index: usize,
}

/// A server that is being checked. Dropped, it is no longer, and nobody knows how it is.
struct RunningCheck {
    server: Arc<Server>,
    assignment: watch::Sender<Assignment>,
    last: Arc<Mutex<Option<LastCheck>>>,
    task: AbortHandle,
}

impl RunningCheck {
    fn start(server: Arc<Server>, assignment: Assignment) -> Self {
        let (assignment, assignments) = watch::channel(assignment);
        let last = Arc::default();
        let task = tokio::spawn(keep_checking(server.clone(), assignments, Arc::clone(&last))).abort_handle();
        Self { server, assignment, last, task }
    }

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

/// Checks a server again and again, one check after the other.
async fn keep_checking(
    server: Arc<Server>,
    mut assignments: watch::Receiver<Assignment>,
    last: Arc<Mutex<Option<LastCheck>>>,
) {
    let mut verdict = Verdict::new(server.health());
    let wait = assignments.borrow().check.delay(random());
    sleep(wait).await;
    loop {
        let Assignment { check, server_index } = assignments.borrow_and_update().clone();
        let began = Instant::now();
        let found = check.run(server_index, server.socket()).await;
        let at = Instant::now();
        verdict = verdict.after(found.is_ok(), check.thresholds);
        let (status, error) = match &found {
            Ok(status) => (*status, None),
            Err(error) => (error.status(), Some(format!("{error}; {}", error.hint()))),
        };
        if let Some(error) = &error {
            let (upstream, name) = (server.upstream(), server.address());
            debug!(upstream, server = name, address:% = server.socket(), error; "health check failed");
        }
        let found = error.clone().unwrap_or_default();
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastCheck { at, took: at - began, status, error });
        server.set_health(verdict.health(), &found);
        // a reload may change how long to wait
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
