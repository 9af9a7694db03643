//! What budgets show of themselves, for `/metrics`: made at a scrape, for a bounded number of spenders.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use plugin_api::constant_metric;
use plugin_api::prometheus::core::{Collector, Desc};
use plugin_api::prometheus::proto::MetricFamily;
use plugin_api::prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, Opts};

use crate::amounts::{Share, word};
use crate::by;
use crate::shared::Shared;

/// So many spenders of each budget have a series: those that spent most of it.
const MOST_SUBJECTS: usize = 100;
/// Picodollars in a dollar.
const DOLLAR: f64 = 1e12;

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Figures {
    alerts: IntCounterVec,
    answered: Mutex<Option<Instant>>,
}

impl Default for Figures {
    fn default() -> Self {
        let alerts = Opts::new("tollgate_budget_alerts_total", "Alerts raised at shares of budgets");
        Self { alerts: constant_metric(IntCounterVec::new(alerts, &["limit", "share"])), answered: Mutex::default() }
    }
}

impl Figures {
    /// A budget has alerts at this share: its first one will be an increase.
    pub(crate) fn begin(&self, limit: &str, share: Share) {
        self.alerts.with_label_values(&[limit, &share.to_string()]);
    }

    /// An alert is raised.
    pub(crate) fn alerted(&self, limit: &str, share: Share) {
        self.alerts.with_label_values(&[limit, &share.to_string()]).inc();
    }

    /// A database has answered.
    pub(crate) fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The metrics, with what budgets hold at the moment.
pub(crate) struct BudgetCollector {
    shared: Weak<Shared>,
    alerts: IntCounterVec,
    used: GaugeVec,
    reserved: GaugeVec,
    drift: Gauge,
    waiting: IntGauge,
    age: Gauge,
}

impl BudgetCollector {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let used = Opts::new("tollgate_budget_used_ratio", "What is spent of a budget, as a part of it");
        let reserved = Opts::new("tollgate_budget_reserved_usd", "What is reserved of a budget for calls in progress");
        let drift = "How far the ledger's sums are from what was counted; anything but 0 is an error";
        let age = "Seconds since the ledger's database said last what was spent";
        Self {
            shared: Arc::downgrade(shared),
            alerts: shared.figures.alerts.clone(),
            used: constant_metric(GaugeVec::new(used, &["limit", "subject"])),
            reserved: constant_metric(GaugeVec::new(reserved, &["limit"])),
            drift: constant_metric(Gauge::new("tollgate_budget_drift_usd", drift)),
            waiting: constant_metric(IntGauge::new("tollgate_budget_alerts_waiting", "Alerts that wait to be posted")),
            age: constant_metric(Gauge::new("tollgate_budget_refresh_age_seconds", age)),
        }
    }

    fn all(&self) -> [&dyn Collector; 6] {
        [&self.alerts, &self.used, &self.reserved, &self.drift, &self.waiting, &self.age]
    }

    fn read(&self, shared: &Shared) {
        let (now, mut drift) = (shared.now(), 0_i64);
        self.used.reset();
        self.reserved.reset();
        let budgets = shared.budgets();
        for budget in &budgets {
            // those of several spans of time may have one name
            let is_shared = budgets.iter().filter(|other| other.of.name == budget.of.name).count() > 1;
            let name = if is_shared {
                format!("{}/{}", budget.of.name, word(budget.of.unit))
            } else {
                budget.of.name.to_string()
            };
            let (limit, name) = (budget.terms().limit, &*name);
            drift = drift.saturating_add(budget.drift());
            let accounts = budget.accounts();
            let held: u64 = accounts.iter().map(|account| account.meter.held()).fold(0, u64::saturating_add);
            self.reserved.with_label_values(&[name]).set(held as f64 / DOLLAR);
            let mut used: Vec<_> = accounts.iter().map(|account| (account.meter.used(&limit, now), account)).collect();
            used.retain(|(picos, _)| *picos > 0);
            used.sort_unstable_by_key(|(picos, _)| std::cmp::Reverse(*picos));
            for (picos, account) in used.into_iter().take(MOST_SUBJECTS) {
                let ratio = picos as f64 / limit.capacity().max(1) as f64;
                self.used.with_label_values(&[name, &by::label(&account.texts)]).set(ratio);
            }
        }
        self.drift.set(drift as f64 / DOLLAR);
        self.waiting.set(i64::try_from(shared.alerts.waiting()).unwrap_or(i64::MAX));
        let answered = *shared.figures.answered.lock().unwrap_or_else(PoisonError::into_inner);
        self.age.set(answered.map_or(0.0, |at| at.elapsed().as_secs_f64()));
    }
}

impl Collector for BudgetCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    /// Nothing, where there is no budget.
    fn collect(&self) -> Vec<MetricFamily> {
        let Some(shared) = self.shared.upgrade().filter(|shared| !shared.budgets().is_empty()) else {
            return Vec::new();
        };
        self.read(&shared);
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

impl fmt::Debug for BudgetCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BudgetCollector")
    }
}
