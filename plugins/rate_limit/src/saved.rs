//! Counts of days and months over restarts: each record in the ledger's journal says what it added to them, and a file beside the
//! journal has the sums of what the journal has forgotten. Does not count itself.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use plugin_api::{LedgerId, Spent, StoredCounts, WindowCount};
use quota::{Limit, Meters, Now, Subject};

use crate::count_file::CountFile;

/// What is known of the counts of days and months.
#[derive(Debug, Default)]
pub(crate) struct SavedCounts {
    /// By their names.
    limits: Mutex<HashMap<Subject, WindowLimit>>,
    ledgers: Mutex<Vec<LedgerCounts>>,
}

/// A limit by day or month that some configuration has.
#[derive(Debug)]
struct WindowLimit {
    meters: Weak<Meters>,
    limit: Limit,
    max: usize,
}

/// The counts in one ledger.
#[derive(Debug)]
struct LedgerCounts {
    ledger: LedgerId,
    file: CountFile,
    /// Of records of earlier runs that are not in the file.
    waiting: Vec<WindowCount>,
    /// The journal still has the last record of the file: up to it, records that are stored are in the file already.
    skips: bool,
}

impl SavedCounts {
    /// There is a limit by day or month. One that is new goes on with the counts that are saved.
    pub(crate) fn register(&self, name: Subject, meters: &Arc<Meters>, limit: Limit, max: usize, now: Now) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = limits.get(&name).is_some_and(|known| known.meters.as_ptr() == Arc::as_ptr(meters));
        limits.retain(|_, known| known.meters.strong_count() > 0);
        limits.insert(name, WindowLimit { meters: Arc::downgrade(meters), limit, max });
        if is_known {
            return;
        }
        let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name.to_bytes();
        let saved = ledgers.iter().flat_map(|ledger| ledger.file.sums()).filter(|count| count.limit == name);
        saved.for_each(|count| restore(&limits, &count, now));
    }

    /// A ledger begins, or was there before limits were.
    pub(crate) fn opened(&self, ledger: LedgerId, folder: &Path) {
        let counts = LedgerCounts { ledger, file: CountFile::open(folder), waiting: Vec::new(), skips: false };
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner).push(counts);
    }

    /// A record of an earlier run waits in the journal.
    pub(crate) fn waits(&self, spent: &Spent<'_>) {
        self.with(spent.ledger, |counts| {
            if counts.file.mark() == Some(spent.number) {
                // the end came after the file was written and before the journal forgot: all so far is in the file
                counts.waiting.clear();
                counts.skips = true;
            } else {
                counts.waiting.extend(spent.counts);
            }
        });
    }

    /// All that earlier runs counted is known.
    pub(crate) fn caught_up(&self, ledger: LedgerId, now: Now) {
        let mut sums: HashMap<_, i64> = HashMap::new();
        self.with(ledger, |counts| {
            for count in counts.file.sums().chain(std::mem::take(&mut counts.waiting)) {
                let sum = sums.entry((count.limit, count.subject, count.until)).or_insert(0);
                *sum = sum.saturating_add(count.amount);
            }
        });
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        for ((limit, subject, until), amount) in sums {
            restore(&limits, &WindowCount { limit, subject, until, amount }, now);
        }
    }

    /// Records are stored.
    pub(crate) fn stored(&self, ledger: LedgerId, mut records: &[StoredCounts<'_>], now: i64) {
        self.with(ledger, |counts| {
            if counts.skips {
                let Some(mark) = records.iter().position(|record| Some(record.number) == counts.file.mark()) else {
                    return;
                };
                (counts.skips, records) = (false, &records[mark + 1..]);
            }
            counts.file.add(records, now);
        });
    }

    fn with(&self, ledger: LedgerId, change: impl FnOnce(&mut LedgerCounts)) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = ledgers.iter_mut().find(|counts| counts.ledger == ledger) {
            change(counts);
        }
    }
}

/// Counts what was saved.
fn restore(limits: &HashMap<Subject, WindowLimit>, count: &WindowCount, now: Now) {
    let Some(WindowLimit { meters, limit, max }) = limits.get(&Subject::from_bytes(count.limit)) else { return };
    let (Some(meters), Ok(amount)) = (meters.upgrade(), u64::try_from(count.amount)) else { return };
    if count.until <= now.unix {
        return;
    }
    let subject = Subject::from_bytes(count.subject);
    if subject == Subject::OTHERS {
        meters.of_others().add_used(amount, count.until, limit, now);
    } else {
        meters.get(subject, *max, limit, now).meter.add_used(amount, count.until, limit, now);
    }
}

#[cfg(test)]
mod tests;
