//! What outlives reloads: the budgets that are in force, what is reserved, and what the ledgers report of spending.

use std::cell::LazyCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plugin_api::prometheus::core::Collector;
use plugin_api::{
    BudgetReader, Common, DatabaseId, DeferredCost, HeldCost, JournalIn, LedgerId, LogLimit, OpenLedger, RecordNumber,
    SecretUrl, Spender, SpendingQuery, SpendingReader, Spent, SpentBy, StoredCounts, StoredSum, Uuid,
};
use quota::{Clock, Estimates, Now};

use crate::account::{Change, Place, StoredUpTo};
use crate::alerts::{Alert, SharedAlerts};
use crate::budget::{Budget, BudgetOf, Due, Terms, Texts};
use crate::checkpoint::Checkpoint;
use crate::delivery;
use crate::figures::{BudgetCollector, Figures};
use crate::in_flight::InFlight;
use crate::old_records::OldRecords;

/// Writing checkpoints of more bytes takes no more than this part of the time.
const LARGE: usize = 256 << 10;
const PAUSE: u32 = 20;

/// What budgets keep across reloads.
#[derive(Debug)]
pub struct Shared {
    clock: Clock,
    budgets: RwLock<Vec<Weak<Budget>>>,
    pub(crate) in_flight: InFlight,
    pub(crate) estimates: Estimates,
    pub(crate) figures: Figures,
    pub(crate) alerts: SharedAlerts,
    common: OnceLock<Arc<Common>>,
    ledgers: Mutex<Vec<LedgerFiles>>,
    delivery: Once,
}

/// Where the checkpoint of a ledger is written.
#[derive(Debug)]
struct LedgerFiles {
    ledger: LedgerId,
    folder: PathBuf,
    /// The database that it writes to.
    database: DatabaseId,
    /// What the file had when this run began, until all that waited then is reported.
    before: Checkpoint,
    old: OldRecords,
    /// Up to this place, records are in the file that this run began with.
    saved: Place,
    /// The last record that is stored and has a number.
    last: Option<RecordNumber>,
    /// Not before this time, so that a large one takes little of all time.
    next: Option<Instant>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            budgets: RwLock::default(),
            in_flight: InFlight::default(),
            estimates: Estimates::default(),
            figures: Figures::default(),
            alerts: SharedAlerts::default(),
            common: OnceLock::new(),
            ledgers: Mutex::default(),
            delivery: Once::new(),
        }
    }
}

impl BudgetReader for Shared {
    fn highest_share(&self, spender: &Spender<'_>) -> Option<f64> {
        let now = self.now();
        let is_of = |budget: &Arc<Budget>| spender.model.is_some() || !budget.of.by.parts().contains(&SpentBy::Model);
        self.budgets().iter().filter(|budget| is_of(budget)).map(|budget| budget.share(spender, now)).reduce(f64::max)
    }

    fn hold(&self, cost: &DeferredCost) -> Box<dyn HeldCost> {
        Box::new(self.hold_deferred(cost))
    }
}

impl plugin_api::Shared for Shared {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        vec![Box::new(BudgetCollector::new(self))]
    }

    fn finish(&self, _: Instant) {
        self.alerts.save(unix_now());
    }
}

/// Seconds since 1970, UTC.
pub(crate) fn unix_now() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    i64::try_from(unix).unwrap_or(i64::MAX)
}

impl Shared {
    /// The time.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Reads what the ledgers report, from now on.
    pub(crate) fn subscribe(self: &Arc<Self>, common: &Arc<Common>) {
        let common = self.common.get_or_init(|| common.clone());
        let reader: Weak<Self> = Arc::downgrade(self);
        common.spending.subscribe(reader);
        let reader: Arc<dyn BudgetReader> = self.clone();
        common.budget_use.set(&reader);
    }

    /// The budget of this kind: the one there is, as long as some configuration has it.
    pub(crate) fn budget(&self, of: &BudgetOf, terms: &Terms) -> Arc<Budget> {
        let mut budgets = self.budgets.write().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|budget| budget.strong_count() > 0);
        if let Some(budget) = budgets.iter().filter_map(Weak::upgrade).find(|budget| budget.of == *of) {
            return budget;
        }
        let budget = Arc::new(Budget::new(of.clone(), terms.clone()));
        budgets.push(Arc::downgrade(&budget));
        budget
    }

    /// All budgets.
    pub(crate) fn budgets(&self) -> Vec<Arc<Budget>> {
        self.budgets.read().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// A configuration is in force: alerts can be posted from now on.
    pub(crate) fn activate(self: &Arc<Self>) {
        self.delivery.call_once(|| {
            if let Err(error) = delivery::start(self) {
                log::error!(error:%; "alerts of budgets cannot be posted: their thread cannot be started");
            }
        });
    }

    /// Where alerts of a budget of this name are posted.
    pub(crate) fn webhook(&self, name: &str) -> Option<SecretUrl> {
        let mut budgets = self.budgets().into_iter().filter(|budget| *budget.of.name == *name);
        budgets.find_map(|budget| budget.terms().webhook.clone())
    }

    /// A spender by the names that budgets know it by: all spellings of a model that have one price are one model, and so are those
    /// that differ in letter case alone.
    pub(crate) fn canonical_model(&self, model: Option<&str>) -> Option<String> {
        let model = model?;
        let known = self.common.get().and_then(|common| common.spending.priced_name(model));
        Some(known.unwrap_or_else(|| model.to_ascii_lowercase()))
    }

    fn alert(&self, budget: &Budget, terms: &Terms, due: Option<Due>, now: Now) {
        let Some((account, raised)) = due else { return };
        let alert = Alert::new(&budget.of, &account.texts, raised, terms.limit.capacity());
        if self.alerts.raise(alert, terms.webhook.is_some(), now.unix) {
            self.figures.alerted(&budget.of.name, raised.share);
        }
    }

    /// Takes note of a ledger's database, which a reload may have changed.
    fn note_database(&self, ledger: LedgerId, database: DatabaseId) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = ledgers.iter_mut().find(|files| files.ledger == ledger) else { return };
        let before = std::mem::replace(&mut files.database, database);
        if before == database || ledgers.iter().any(|files| files.database == before) {
            return;
        }
        for budget in self.budgets() {
            budget.accounts().iter().for_each(|account| account.moved(before, database));
        }
    }

    /// A record of an earlier run was read from the journal. Returns its place; `None` where it and all before it are in the
    /// checkpoint.
    fn replayed(&self, spent: &Spent<'_>) -> Option<Place> {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let files = ledgers.iter_mut().find(|files| files.ledger == spent.ledger)?;
        let place = Place::Old(files.old.report(spent.number));
        if files.before.mark() != Some(spent.number) {
            return Some(place);
        }
        // the end came after the file was written and before the journal forgot
        files.saved = place;
        drop(ledgers);
        let now = self.now();
        for budget in self.budgets() {
            let limit = budget.terms().limit;
            budget.accounts().iter().for_each(|account| account.mark_saved(spent.ledger, place, &limit, now));
        }
        None
    }

    fn save(&self, ledger: LedgerId, place: Place) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = ledgers.iter().find(|files| files.ledger == ledger).map(|files| files.database) else {
            return;
        };
        let beside: Vec<_> =
            ledgers.iter().filter(|files| files.database == database).map(|files| files.ledger).collect();
        let Some(files) = ledgers.iter_mut().find(|files| files.ledger == ledger) else { return };
        let began = Instant::now();
        if files.next.is_some_and(|next| began < next) {
            return;
        }
        let budgets = self.budgets();
        // what is not known must not take the place of what is in the file
        if budgets.is_empty() || !budgets.iter().all(|budget| budget.is_known()) {
            return;
        }
        let point = StoredUpTo { ledger, place, database, beside: &beside };
        let checkpoint = Checkpoint::of(budgets.iter().map(|budget| &**budget), point, files.last, self.now());
        let is_large = checkpoint.write(&files.folder) > LARGE;
        files.next = is_large.then(|| Instant::now() + began.elapsed() * PAUSE);
    }
}

/// A call that no budget held has an answer without a price: one of another route, or a result of a batch.
fn log_unpriced(budget: &Budget) {
    static UNPRICED: LogLimit = LogLimit::new();
    if let Some(suppressed) = UNPRICED.pass(()) {
        log::warn!(
            budget = &*budget.of.name, suppressed;
            "an answer of unknown cost to a call that no budget held counts nothing; give its model a price in usage_log"
        );
    }
}

impl SpendingReader for Shared {
    fn opened(&self, open: &OpenLedger, begins: bool) {
        let OpenLedger { ledger, ref folder, database, .. } = *open;
        // where it does not begin, what the file says is older than records that were stored since
        let before = if begins { Checkpoint::read(folder) } else { Checkpoint::default() };
        let (last, old, saved) = (before.mark(), OldRecords::default(), Place::Old(0));
        let files = LedgerFiles { ledger, folder: folder.clone(), database, before, old, saved, last, next: None };
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner).push(files);
        self.alerts.open(open);
    }

    fn caught_up(&self, ledger: LedgerId) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = ledgers.iter_mut().find(|files| files.ledger == ledger) else { return };
        let (checkpoint, database, now) = (std::mem::take(&mut files.before), files.database, self.now());
        drop(ledgers);
        for budget in self.budgets() {
            let Some(saved) = checkpoint.find(&budget.of) else { continue };
            let terms = budget.terms();
            for spent in &saved.spent {
                let account = budget.account_of(spent.by.clone());
                let raised = account.restore(database, saved.since, spent.picos, &terms.limit, &terms.alerts, now);
                self.alert(&budget, &terms, raised.map(|raised| (account, raised)), now);
            }
            budget.set_known();
        }
    }

    fn goes_on(&self, ledger: LedgerId, _: Uuid, journal: JournalIn) {
        self.alerts.goes_on(ledger, journal, unix_now());
    }

    fn spent(&self, spent: &Spent<'_>) {
        let place = if spent.is_old { self.replayed(spent) } else { Some(Place::Own(spent.place)) };
        // what no budget settles is given back at the end
        let mut held = self.in_flight.take(spent.id);
        let Some(place) = place.filter(|_| spent.picos != 0 || spent.unpriced != 0) else { return };
        let now = self.now();
        let model = LazyCell::new(|| self.canonical_model(spent.spender.model));
        let budgets = self.budgets.read().unwrap_or_else(PoisonError::into_inner);
        for budget in budgets.iter().filter_map(Weak::upgrade) {
            let by = &budget.of.by;
            let model = if by.parts().contains(&SpentBy::Model) { model.as_deref() } else { None };
            let spender = Spender { model, ..spent.spender };
            // mostly it is known whose account that is
            let (account, reserved) = match held.take(budget.number, by.texts_of(&spender)) {
                Some((account, reservation)) => (account, Some(reservation)),
                None => (budget.account(&spender), None),
            };
            let terms = budget.read_terms();
            if spent.unpriced > 0 && terms.refuses_unpriced {
                log_unpriced(&budget);
            }
            let picos = spent.picos.saturating_add(terms.unpriced.saturating_mul(spent.unpriced));
            let is_request = !spent.id.is_nil() && !spent.is_adopted;
            let change = Change { ledger: spent.ledger, place, is_request, began: spent.began, picos };
            let raised = account.spend(change, reserved, &terms.limit, &terms.alerts, now);
            self.alert(&budget, &terms, raised.map(|raised| (account, raised)), now);
        }
    }

    fn stored(&self, ledger: LedgerId, place: Option<u64>, records: &[StoredCounts<'_>]) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = ledgers.iter_mut().find(|files| files.ledger == ledger) else { return };
        let place = place.map_or_else(|| Place::Old(files.old.store(records)), Place::Own);
        if place > files.saved {
            let last = records.iter().rev().map(|record| record.number).find(|number| number.sequence > 0);
            files.last = last.or(files.last);
        }
        drop(ledgers);
        self.save(ledger, place);
    }

    fn queries(&self) -> Vec<SpendingQuery> {
        let now = self.now();
        self.budgets().iter().map(|budget| budget.query(now)).collect()
    }

    fn interval(&self) -> Option<Duration> {
        self.budgets().iter().map(|budget| budget.terms().refresh).min()
    }

    fn answered(&self, ledger: LedgerId, database: DatabaseId, query: &SpendingQuery, sums: &[StoredSum], place: u64) {
        let now = self.now();
        self.note_database(ledger, database);
        for budget in self.budgets().into_iter().filter(|budget| budget.query(now) == *query) {
            let model_at = query.by.iter().position(|by| *by == SpentBy::Model);
            let texts = |sum: &StoredSum| {
                let mut texts: Texts = sum.spender.iter().map(|text| text.as_deref().map(Box::from)).collect();
                if let Some(model) = model_at.and_then(|at| texts.get_mut(at)) {
                    *model = self.canonical_model(model.as_deref()).map(String::into_boxed_str);
                }
                texts
            };
            for due in budget.answered((ledger, database), query.since, place, sums, texts, now) {
                self.alert(&budget, &budget.terms(), Some(due), now);
            }
        }
        self.figures.answered();
        self.save(ledger, Place::Own(place));
    }
}
