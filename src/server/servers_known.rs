//! When the gateway becomes ready: the names of its servers are resolved, and the first health checks done that servers
//! wait for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use log::warn;

use crate::admin::Readiness;
use crate::engine::{PersistentState, Snapshot};

/// How long unknown servers may delay readiness. A lookup without an answer ends before.
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether every server name has been looked up and every server that waits for a first health check has had it.
pub(super) fn are_servers_known(persistent: &PersistentState, snapshot: &Snapshot) -> bool {
    persistent.resolver.first_lookups_done() && persistent.checks.first_checks_done(&snapshot.check_targets())
}

/// What is not known yet, in words.
pub(super) fn what_is_unknown(persistent: &PersistentState, snapshot: &Snapshot) -> Vec<String> {
    let names = persistent.resolver.first_lookups_to_do().into_iter().map(|name| format!("the lookup of {name}"));
    let checks = persistent.checks.first_checks_to_do(&snapshot.check_targets());
    names.chain(checks.into_iter().map(|server| format!("the first health check of {server}"))).collect()
}

/// Makes the gateway ready once its servers are known, at the latest after a timeout.
pub(super) async fn set_ready_when_known(
    persistent: Arc<PersistentState>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    readiness: Arc<Readiness>,
) {
    wait_until_known(&persistent, &snapshot).await;
    readiness.set_ready();
}

/// Waits until the servers are known, at the latest for a timeout.
pub(super) async fn wait_until_known(persistent: &PersistentState, snapshot: &ArcSwap<Snapshot>) {
    let (mut lookups, mut checks) = (persistent.resolver.subscribe(), persistent.checks.subscribe());
    let known = async {
        while !are_servers_known(persistent, &snapshot.load()) {
            tokio::select! {
                _ = lookups.changed() => {}
                _ = checks.changed() => {}
            }
        }
    };
    if tokio::time::timeout(READY_TIMEOUT, known).await.is_err() {
        let unknown = what_is_unknown(persistent, &snapshot.load()).join(", ");
        warn!(unknown; "not every server is known yet; the gateway is ready without them");
    }
}
