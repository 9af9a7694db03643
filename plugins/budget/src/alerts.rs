//! Alerts at shares of budgets: which were raised, and which are still to be posted. Both are in a file before anything is posted,
//! so that each is delivered at least once, and none again after every restart.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::{JournalIn, LedgerId, LogLimit, OpenLedger};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::account::Raised;
use crate::amounts::{dollars, word};
use crate::budget::{BudgetOf, Texts};
use crate::checkpoint::{read_json, write_json};

const NAME: &str = "budget_alerts.json";
/// So many alerts wait to be posted. Of more, the oldest are dropped.
const MOST_WAITING: usize = 10_000;
/// So many are remembered as raised.
const MOST_RAISED: usize = 200_000;

/// The alerts of all budgets.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    state: Mutex<State>,
    /// Held while the file is written, which nobody who raises an alert waits for.
    writing: Mutex<()>,
    /// Something is to be written or posted.
    pub(crate) work: Notify,
}

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    /// The ledger beside whose journal the file is.
    file: Option<(LedgerId, PathBuf)>,
    is_dirty: bool,
    /// Another process has the file, or may have it, and posts what is to be posted.
    is_given: bool,
}

/// What is in the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// By id, each with the end of its span of time.
    raised: BTreeMap<String, i64>,
    waiting: VecDeque<Alert>,
}

/// An alert, as it is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// The same on every gateway and for every repetition.
    pub(crate) id: String,
    /// The name of the budget.
    pub(crate) limit: String,
    /// What callers are told apart by.
    by: Vec<String>,
    /// The texts of the caller, in the same order.
    subject: Texts,
    /// `50%`.
    share: String,
    spent_usd: String,
    limit_usd: String,
    /// `day`, `week` or `month`.
    span: String,
    /// The first second of the span of time, and the first behind it, since 1970, UTC.
    since: i64,
    until: i64,
}

impl Alert {
    pub(crate) fn new(of: &BudgetOf, texts: &[Option<Box<str>>], raised: Raised, amount: u64) -> Self {
        let (since, until) = raised.window;
        let (share, span) = (raised.share.to_string(), word(of.unit));
        // as JSON, in which no two lists of texts are alike
        let subject = serde_json::to_string(texts).unwrap_or_default();
        Self {
            id: format!("{}/{subject}/{span}/{since}/{share}", of.name),
            limit: of.name.to_string(),
            by: of.by.clone().into(),
            subject: texts.to_vec(),
            share,
            spent_usd: dollars(raised.spent).trim_start_matches('$').to_owned(),
            limit_usd: dollars(amount).trim_start_matches('$').to_owned(),
            span: span.to_owned(),
            since,
            until,
        }
    }
}

impl Alerts {
    /// Goes on with the file in the folder of the first ledger.
    pub(crate) fn open(&self, open: &OpenLedger) {
        let mut state = self.state();
        if state.file.is_none() {
            let file = open.folder.join(NAME);
            let kept: Kept = read_json(&file).unwrap_or_default();
            state.kept.raised.extend(kept.raised);
            state.kept.waiting.extend(kept.waiting);
            state.file = Some((open.ledger, file));
            state.is_given = open.journal == JournalIn::Draining;
        }
        self.work.notify_one();
    }

    /// Raises an alert, unless it was raised before; whether it was not. `post` says whether it is to be posted.
    pub(crate) fn raise(&self, alert: Alert, post: bool, now: i64) -> bool {
        let mut state = self.state();
        if state.kept.raised.contains_key(&alert.id) {
            return false;
        }
        if state.kept.raised.len() >= MOST_RAISED {
            state.kept.raised.retain(|_, until| *until > now);
        }
        if state.kept.raised.len() < MOST_RAISED {
            state.kept.raised.insert(alert.id.clone(), alert.until);
        }
        if post {
            if state.kept.waiting.len() >= MOST_WAITING {
                state.kept.waiting.pop_front();
                static DROPPED: LogLimit = LogLimit::new();
                if let Some(suppressed) = DROPPED.pass(()) {
                    log::error!(suppressed; "too many alerts of budgets wait for their webhook; the oldest are dropped");
                }
            }
            state.kept.waiting.push_back(alert);
        }
        state.is_dirty = true;
        drop(state);
        self.work.notify_one();
        true
    }

    /// The alert to be posted next.
    pub(crate) fn next(&self) -> Option<Alert> {
        let state = self.state();
        state.kept.waiting.front().filter(|_| !state.is_given).cloned()
    }

    /// How many are to be posted.
    pub(crate) fn waiting(&self) -> usize {
        self.state().kept.waiting.len()
    }

    /// An alert is delivered, or there is no place to post it to.
    pub(crate) fn done(&self, alert: &Alert) {
        let mut state = self.state();
        state.kept.waiting.retain(|waiting| waiting.id != alert.id);
        state.is_dirty = true;
    }

    /// Writes the file, where something changed. What is over is forgotten with that.
    pub(crate) fn save(&self, now: i64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let Some((_, file)) = state.file.clone().filter(|_| state.is_dirty && !state.is_given) else { return };
        state.kept.raised.retain(|_, until| *until > now);
        state.is_dirty = false;
        let kept = state.kept.clone();
        drop(state);
        write_json(&file, &kept);
    }

    /// A ledger keeps its records elsewhere from now on: the process that has its folder has the file there, too. What is raised here
    /// meanwhile that one raises itself, once it counts what this one still served.
    pub(crate) fn goes_on(&self, ledger: LedgerId, journal: JournalIn, now: i64) {
        if self.state().file.as_ref().is_none_or(|(of, _)| *of != ledger) {
            return;
        }
        if journal == JournalIn::Draining {
            self.save(now);
        }
        self.state().is_given = journal == JournalIn::Draining;
        self.work.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Alerts that several budgets share.
pub(crate) type SharedAlerts = Arc<Alerts>;
