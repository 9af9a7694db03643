//! What happens to leases without any call: they are renewed, reported, and given back, also at the stop.

use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quota::Meter;
use tokio::time::{MissedTickBehavior, interval};

use super::{BACKGROUND_TIMEOUTS, LeaseEvent, Leases};
use crate::active::Active;

/// How often Redis is probed.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How often leases are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Reports that are under way at once.
const AT_ONCE: usize = 64;

/// Looks after leases for as long as they are in use.
pub(super) async fn run(leases: Weak<Leases>) {
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(leases) = leases.upgrade() else { return };
        (leases.listener.0)(LeaseEvent::Failing(leases.is_failing()));
        let due = leases.active.due(leases.now());
        // what is not reported drains here meanwhile, and is reported later
        if !leases.is_failing() {
            leases.report_all(&due).await;
        }
    }
}

impl Leases {
    /// Renews a meter's lease soon, or gives back what it has too much.
    pub(super) fn renew(self: &Arc<Self>, meter: &Meter) {
        let (leases, active) = (self.clone(), self.active.get(meter));
        if let Some(active) = active {
            self.link.spawn(async move { leases.report_one(&active).await });
        }
    }

    /// Gives all leases back, as far as Redis answers until the deadline. Blocks.
    pub fn finish(self: &Arc<Self>, deadline: Instant) {
        if self.is_failing() {
            return;
        }
        let (done, finished) = mpsc::channel();
        let leases = self.clone();
        self.link.spawn(async move {
            let all = leases.active.all();
            all.iter().for_each(|active| active.meter.close());
            leases.report_all(&all).await;
            // nobody waits any more if this fails
            let _ = done.send(());
        });
        let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    async fn report_all(&self, due: &[Arc<Active>]) {
        for some in due.chunks(AT_ONCE) {
            join_all(some.iter().map(|active| self.report_one(active))).await;
        }
    }

    async fn report_one(&self, active: &Active) {
        let limit = self.config.timeout * BACKGROUND_TIMEOUTS;
        // nothing to do where it waits in vain: a call is drawing
        let Ok(_gate) = tokio::time::timeout(limit, active.gate.lock()).await else { return };
        self.draw(active, 0, limit).await;
    }
}
