//! One budget, over all configurations that name it: the accounts of its spenders, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashTable;
use plugin_api::{DatabaseId, LedgerId, SecretUrl, Spender, SpendingQuery, StoredSum};
use quota::{Calendar, Limit, Now, TimeZone, Unit};

use crate::account::{self, Account, Asked, Raised, Stored};
use crate::amounts::Share;
use crate::by::By;

/// Which budget it is: with the same of all of this, a configuration goes on with the sums of another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BudgetOf {
    pub(crate) name: Arc<str>,
    pub(crate) by: By,
    pub(crate) unit: Unit,
    pub(crate) time_zone: TimeZone,
}

/// What the configuration in force says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    pub(crate) limit: Limit,
    /// Ascending.
    pub(crate) alerts: Arc<[Share]>,
    /// What an answer of unknown cost counts, in picodollars.
    pub(crate) unpriced: i64,
    /// Whether a call without a price is refused, so that such an answer is not foreseen.
    pub(crate) refuses_unpriced: bool,
    pub(crate) max_accounts: usize,
    /// Where alerts are posted.
    pub(crate) webhook: Option<SecretUrl>,
    /// How often databases are asked.
    pub(crate) refresh: Duration,
}

/// A budget.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Which no other has.
    pub(crate) number: u64,
    pub(crate) of: BudgetOf,
    terms: RwLock<Arc<Terms>>,
    /// By the texts of their spenders.
    accounts: RwLock<HashTable<Arc<Account>>>,
    hasher: RandomState,
    /// The account of all for whom there is no room.
    shared: Arc<Account>,
    /// Whether it is known what was spent before this run.
    known: AtomicBool,
    /// The ledgers whose databases have answered.
    answered: Mutex<Vec<LedgerId>>,
    /// How far the last answer was from what was counted, in picodollars.
    drift: AtomicI64,
}

/// The texts that tell a spender apart, in the order of the budget's `by`.
pub(crate) type Texts = Vec<Option<Box<str>>>;

/// An alert that is due, and whose it is.
pub(crate) type Due = (Arc<Account>, Raised);

impl BudgetOf {
    /// A limit of so many picodollars.
    pub(crate) fn limit(&self, amount: u64) -> Limit {
        account::limit(amount, self.unit, Calendar(self.time_zone.0))
    }

    /// Its present span of time: the first second, and the first behind it.
    pub(crate) fn window(&self, now: Now) -> (i64, i64) {
        Calendar(self.time_zone.0).window(self.unit, now.unix)
    }
}

impl Budget {
    pub(crate) fn new(of: BudgetOf, terms: Terms) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            of,
            terms: RwLock::new(Arc::new(terms)),
            accounts: RwLock::default(),
            hasher: RandomState::new(),
            shared: Arc::new(Account::new(number, vec![Some("other".into())])),
            known: AtomicBool::new(false),
            answered: Mutex::default(),
            drift: AtomicI64::new(0),
        }
    }

    /// What the configuration in force says of it.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        self.read_terms().clone()
    }

    /// The same, without a copy of one's own: nobody who has it may ask again, nor for an account.
    pub(crate) fn read_terms(&self) -> RwLockReadGuard<'_, Arc<Terms>> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another configuration is in force.
    pub(crate) fn set_terms(&self, terms: &Terms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms.clone());
    }

    /// Whether it is known what was spent before this run.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// A checkpoint tells what was spent before.
    pub(crate) fn set_known(&self) {
        self.known.store(true, Ordering::Release);
    }

    /// How far the last answer was from what was counted, in picodollars.
    pub(crate) fn drift(&self) -> i64 {
        self.drift.load(Ordering::Relaxed)
    }

    /// What a spender has spent of it or holds; 1 is all of it.
    pub(crate) fn share(&self, spender: &Spender<'_>, now: Now) -> f64 {
        let limit = self.terms().limit;
        let Some(account) = self.find(self.of.by.texts_of(spender)) else { return 0.0 };
        let standing = account.meter.standing(&limit, now);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
        let of = |amount: u64| amount as f64;
        1.0 - of(standing.remaining) / of(standing.limit.max(1))
    }

    /// The account of a spender.
    pub(crate) fn account(&self, spender: &Spender<'_>) -> Arc<Account> {
        let by = &self.of.by;
        self.find(by.texts_of(spender)).unwrap_or_else(|| self.make(by.texts_of(spender).map(owned).collect()))
    }

    /// The account of the spender with these texts.
    pub(crate) fn account_of(&self, texts: Texts) -> Arc<Account> {
        self.find(borrowed(&texts)).unwrap_or_else(|| self.make(texts))
    }

    fn find<'a>(&self, texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Option<Arc<Account>> {
        let hash = self.hash(texts.clone());
        let is_it = |account: &Arc<Account>| borrowed(&account.texts).zip(texts.clone()).all(|(own, text)| own == text);
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).find(hash, is_it).cloned()
    }

    fn hash<'a>(&self, texts: impl Iterator<Item = Option<&'a str>>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        texts.for_each(|text| text.hash(&mut hasher));
        hasher.finish()
    }

    fn make(&self, texts: Texts) -> Arc<Account> {
        let most = self.read_terms().max_accounts;
        let hash = self.hash(borrowed(&texts));
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.find(hash, |account| account.texts == texts) {
            return account.clone();
        }
        if accounts.len() >= most {
            return self.shared.clone();
        }
        let account = Arc::new(Account::new(self.number, texts));
        accounts.insert_unique(hash, account.clone(), |account| self.hash(borrowed(&account.texts)));
        account
    }

    /// All accounts, in no order; the shared one is the last.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.iter().chain([&self.shared]).cloned().collect()
    }

    /// The query about its present span of time.
    pub(crate) fn query(&self, now: Now) -> SpendingQuery {
        let (since, until) = self.of.window(now);
        SpendingQuery { by: self.of.by.parts().to_vec(), since, until }
    }

    /// Takes over what a database has. `texts` are those of the spender of a sum. Returns the alerts that are due with it.
    pub(crate) fn answered(
        &self,
        (ledger, database): (LedgerId, DatabaseId),
        since: i64,
        place: u64,
        sums: &[StoredSum],
        texts: impl Fn(&StoredSum) -> Texts,
        now: Now,
    ) -> Vec<Due> {
        let terms = self.terms();
        let asked = Asked { ledger, database, since, place, is_first: self.is_first(ledger) };
        // names of a model are several spenders in the database, and one here
        let mut stored: HashMap<Texts, Stored> = HashMap::with_capacity(sums.len());
        for sum in sums {
            let of = |sum: &plugin_api::Sum| {
                let unpriced = terms.unpriced.saturating_mul(i64::try_from(sum.unpriced).unwrap_or(i64::MAX));
                sum.cost.picos().saturating_add(unpriced)
            };
            let all = stored.entry(texts(sum)).or_default();
            *all = all.with(Stored { own: of(&sum.own), rest: of(&sum.rest) });
        }
        let (mut due, mut drift) = (Vec::new(), 0_i64);
        let mut take_over = |account: &Arc<Account>, stored: Stored| {
            let (off, raised) = account.answered(asked, stored, &terms.limit, &terms.alerts, now);
            drift = drift.saturating_add(off.saturating_abs());
            due.extend(raised.map(|raised| (account.clone(), raised)));
        };
        let known: Vec<_> = self.accounts.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        for account in &known {
            take_over(account, stored.remove(&account.texts).unwrap_or_default());
        }
        // the largest come first, where there is no room for all
        let mut new: Vec<_> = stored.into_iter().filter(|(_, stored)| stored.all() > 0).collect();
        new.sort_unstable_by_key(|(_, stored)| std::cmp::Reverse(stored.all()));
        let mut others = Stored::default();
        for (texts, stored) in new {
            let account = self.account_of(texts);
            if Arc::ptr_eq(&account, &self.shared) {
                others = others.with(stored);
            } else {
                take_over(&account, stored);
            }
        }
        take_over(&self.shared, others);
        self.drift.store(drift, Ordering::Relaxed);
        self.set_known();
        drop(known);
        self.forget_idle(&terms.limit, now);
        due
    }

    fn is_first(&self, ledger: LedgerId) -> bool {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !answered.contains(&ledger);
        if is_first {
            answered.push(ledger);
        }
        is_first
    }

    fn forget_idle(&self, limit: &Limit, now: Now) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        // accounts are handed out under this lock alone, so nobody has one of which there is one reference
        accounts.retain(|account| {
            Arc::strong_count(account) > 1 || Arc::strong_count(&account.meter) > 1 || !account.is_idle(limit, now)
        });
    }
}

impl Stored {
    fn with(self, other: Self) -> Self {
        Self { own: self.own.saturating_add(other.own), rest: self.rest.saturating_add(other.rest) }
    }

    fn all(self) -> i64 {
        self.own.saturating_add(self.rest)
    }
}

fn borrowed(texts: &Texts) -> impl Iterator<Item = Option<&str>> + Clone {
    texts.iter().map(Option::as_deref)
}

fn owned(text: Option<&str>) -> Option<Box<str>> {
    text.map(Box::from)
}
