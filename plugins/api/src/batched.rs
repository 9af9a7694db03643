//! What a plugin that sends calls in batches and one that records calls tell each other: which ledger a call belongs to, which batch
//! answered it, and the usage of answers for which no request is there to have it in its row.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::{Answer, AnswerState, BatchResult, DeferredCost, Record};

/// A call that may be answered by a batch. The plugin that batches calls puts it into the [`Context`](crate::Context).
#[derive(Default)]
pub struct Batched {
    ledger: OnceLock<Arc<str>>,
    answer: OnceLock<BatchedAnswer>,
    is_usage_elsewhere: AtomicBool,
    cost: OnceLock<DeferredCost>,
    outlives_request: AtomicBool,
    counts_nothing: AtomicBool,
    is_counted: AtomicBool,
    when_recorded: OnceLock<Listener>,
}

/// Hears that a row is kept, with what the row is of.
type Listener = Box<dyn Fn(&Record) + Send + Sync>;

/// The batch that answered a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchedAnswer {
    /// The provider's name for it.
    pub batch: String,
    /// From the moment at which the call was accepted to its answer.
    pub waited: Duration,
}

impl Batched {
    /// The name of the ledger that records the call; `None` where none does.
    #[must_use]
    pub fn ledger(&self) -> Option<&Arc<str>> {
        self.ledger.get()
    }

    /// A ledger of this name records the call. The first one is the one that counts.
    pub fn recorded_by(&self, ledger: &Arc<str>) {
        self.ledger.get_or_init(|| ledger.clone());
    }

    /// Has this called whenever a row of the call is kept: from then on a kill does not lose it.
    pub fn when_recorded(&self, listener: impl Fn(&Record) + Send + Sync + 'static) {
        self.when_recorded.get_or_init(|| Box::new(listener));
    }

    /// A row of the call is kept, which is of this record.
    pub fn recorded(&self, record: &Record) {
        if let Some(listener) = self.when_recorded.get() {
            listener(record);
        }
    }

    /// The batch that answered it; `None` where the upstream did, or nothing has yet.
    #[must_use]
    pub fn answer(&self) -> Option<&BatchedAnswer> {
        self.answer.get()
    }

    /// A batch has answered it: its usage is billed as that of batches.
    pub fn answered(&self, answer: BatchedAnswer) {
        self.answer.get_or_init(|| answer);
    }

    /// The usage of the answer that its client gets is in the ledger by another way: in the row of another client, or as that of a
    /// late result. The record of this request has none.
    pub fn usage_is_elsewhere(&self) {
        self.is_usage_elsewhere.store(true, Ordering::Release);
    }

    /// Whether its usage is in the ledger by another way.
    #[must_use]
    pub fn is_usage_elsewhere(&self) -> bool {
        self.is_usage_elsewhere.load(Ordering::Acquire)
    }

    /// Budgets have reserved this for the call. Whoever lets it go on without its request holds as much of them.
    pub fn reserved(&self, cost: DeferredCost) {
        self.cost.get_or_init(|| cost);
    }

    /// What budgets have reserved for it.
    #[must_use]
    pub fn cost(&self) -> Option<&DeferredCost> {
        self.cost.get()
    }

    /// Whether the call goes on when the request ends, as far as is known now: it is billed later.
    pub fn set_outlives_request(&self, outlives: bool) {
        self.outlives_request.store(outlives, Ordering::Release);
    }

    /// Whether the call goes on without this request, which is over: what it used is not known yet.
    #[must_use]
    pub fn outlives_request(&self) -> bool {
        self.outlives_request.load(Ordering::Acquire)
    }

    /// Whether this request counts nothing for limits and budgets, as far as is known now: it waits for a call that another request
    /// brought, or its batch has failed.
    pub fn set_counts_nothing(&self, counts_nothing: bool) {
        self.counts_nothing.store(counts_nothing, Ordering::Release);
    }

    /// Whether this request counts nothing: what its call used is counted with another request, or it used nothing.
    #[must_use]
    pub fn counts_nothing(&self) -> bool {
        self.counts_nothing.load(Ordering::Acquire)
    }

    /// Whether what the call costs is told by another record or by a late result, where this much of its answer went to this request.
    #[must_use]
    pub fn is_billed_elsewhere(&self, answer: Option<&Answer>) -> bool {
        let is_whole = answer.is_some_and(|answer| answer.state == AnswerState::Complete);
        let is_late = self.answer.get().is_some() && !is_whole;
        self.outlives_request() || self.counts_nothing() || self.is_usage_elsewhere() || is_late
    }

    /// Limits have counted the call with the request that it outlived.
    pub fn set_counted(&self) {
        self.is_counted.store(true, Ordering::Release);
    }

    /// Whether limits have counted the call with an earlier request.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Batched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched").field("ledger", &self.ledger).field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// The usage of an answer from a batch, which came when its client had gone.
#[derive(Clone, Debug)]
pub struct LateResult {
    /// The id of the request that asked for it.
    pub request: Uuid,
    /// When that began.
    pub began: SystemTime,
    /// The host that it asked for.
    pub domain: String,
    /// The upstream that answered.
    pub upstream: String,
    /// Who asked for it.
    pub tenant: Option<String>,
    /// The name of the API key.
    pub key_name: Option<String>,
    /// The fingerprint of the API key.
    pub api_key_hash: Option<String>,
    /// Its batch, its name there, and its usage.
    pub result: BatchResult,
}

/// A ledger that takes the usage of late answers.
pub trait LateBook: fmt::Debug + Send + Sync {
    /// Records a result. One that is there already, by its batch and its `custom_id`, is not counted again.
    fn book(&self, late: &LateResult);
}

/// The ledgers of the configurations in force, for late answers.
#[derive(Default)]
pub struct LateBooks(Mutex<Vec<Named>>);

/// A ledger by its name.
type Named = (Arc<str>, Weak<dyn LateBook>);

impl LateBooks {
    /// A ledger of this name is there, in the place of an earlier one of that name.
    pub fn open(&self, name: &Arc<str>, book: &Arc<dyn LateBook>) {
        let mut books = self.lock();
        books.retain(|(other, book)| other != name && book.strong_count() > 0);
        books.push((name.clone(), Arc::downgrade(book)));
    }

    /// The ledger of this name, or another where there is none any more.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<dyn LateBook>> {
        let books = self.lock();
        let named = books.iter().find(|(other, _)| **other == *name).and_then(|(_, book)| book.upgrade());
        named.or_else(|| books.iter().find_map(|(_, book)| book.upgrade()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LateBooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateBooks")
    }
}
