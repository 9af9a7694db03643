//! Counts of days and months over restarts and reloads: each record in the ledger's journal says what it added to them, and a file beside
//! the journal has the sums of what is stored. Does not count itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use plugin_api::{LedgerId, OpenLedger, Spent, StoredCounts, Uuid};
use quota::{Limit, Meters, Now, Subject};

use crate::count_file::CountFile;
use crate::sums::{Key, Sums};

/// How often old sums are dropped, in seconds.
const SWEEP_INTERVAL: i64 = 3600;

/// What is known of the counts of days and months.
#[derive(Debug, Default)]
pub(crate) struct SavedCounts {
    registry: Mutex<Registry>,
    /// What each ledger has kept and not stored yet. Requests add to it: it is never locked while a file is written.
    waiting: Mutex<HashMap<LedgerId, Sums>>,
}

#[derive(Debug, Default)]
struct Registry {
    limits: Limits,
    ledgers: Vec<LedgerCounts>,
}

/// The limits by their names.
type Limits = HashMap<Subject, WindowLimit>;

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
    /// Its runs in this process.
    runs: Vec<Uuid>,
    file: CountFile,
    replay: Replay,
    /// The journal still has the last record of the file: up to it, records that are stored are in the file already.
    skips: bool,
    /// When sums of days and months that ended long ago were last dropped, in seconds since 1970, UTC.
    swept: i64,
}

/// What is known of records of earlier runs that are not stored yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    /// They are being reported.
    Running,
    /// They have been.
    Done,
    /// Nothing: the ledger began before there were limits. They count once they are stored.
    Missed,
}

impl SavedCounts {
    /// There is a limit by day or month. One that is new goes on with what was counted for it.
    pub(crate) fn register(&self, name: Subject, meters: &Arc<Meters>, limit: Limit, max: usize, now: Now) {
        let mut registry = lock(&self.registry);
        let Registry { limits, ledgers } = &mut *registry;
        let is_known = limits.get(&name).is_some_and(|known| known.meters.as_ptr() == Arc::as_ptr(meters));
        limits.retain(|_, known| known.meters.strong_count() > 0);
        limits.insert(name, WindowLimit { meters: Arc::downgrade(meters), limit, max });
        if is_known {
            return;
        }
        let name = name.to_bytes();
        let mut sums = Sums::default();
        // the others' are counted once they have caught up
        for ledger in ledgers.iter().filter(|ledger| ledger.replay != Replay::Running) {
            self.add_counts(ledger, &mut sums, |(limit, ..)| *limit == name);
        }
        restore(limits, &sums, now);
    }

    /// A ledger begins, or was there before limits were.
    pub(crate) fn opened(&self, open: &OpenLedger, begins: bool) {
        let replay = if begins { Replay::Running } else { Replay::Missed };
        let file = CountFile::open(&open.folder);
        let (ledger, runs) = (open.ledger, open.runs.clone());
        let counts = LedgerCounts { ledger, runs, file, replay, skips: false, swept: 0 };
        lock(&self.registry).ledgers.push(counts);
    }

    /// A ledger goes on as another run.
    pub(crate) fn goes_on(&self, ledger: LedgerId, run: Uuid) {
        let mut registry = lock(&self.registry);
        if let Some(counts) = registry.ledgers.iter_mut().find(|counts| counts.ledger == ledger) {
            counts.runs.push(run);
        }
    }

    /// A record of this process is kept.
    pub(crate) fn spent(&self, spent: &Spent<'_>) {
        if !spent.counts.is_empty() {
            lock(&self.waiting).entry(spent.ledger).or_default().add_all(spent.counts, 1);
        }
    }

    /// A record of another process is kept, which this one took over from. The limits here have not counted it.
    pub(crate) fn adopted(&self, spent: &Spent<'_>, now: Now) {
        self.spent(spent);
        let mut sums = Sums::default();
        sums.add_all(spent.counts, 1);
        restore(&lock(&self.registry).limits, &sums, now);
    }

    /// A record of an earlier run was read from the journal.
    pub(crate) fn replayed(&self, spent: &Spent<'_>) {
        let mut registry = lock(&self.registry);
        let Some(counts) = registry.ledgers.iter_mut().find(|counts| counts.ledger == spent.ledger) else { return };
        if counts.runs.contains(&spent.number.instance) {
            // a call was quicker than the ledger's start
            return;
        }
        let mut waiting = lock(&self.waiting);
        let waiting = waiting.entry(spent.ledger).or_default();
        if counts.file.mark() == Some(spent.number) {
            // the end came after the file was written and before the journal forgot: all so far is in the file
            waiting.clear();
            counts.skips = true;
        } else {
            waiting.add_all(spent.counts, 1);
        }
    }

    /// All that earlier runs counted is known.
    pub(crate) fn caught_up(&self, ledger: LedgerId, now: Now) {
        let mut registry = lock(&self.registry);
        let Registry { limits, ledgers } = &mut *registry;
        let Some(counts) = ledgers.iter_mut().find(|counts| counts.ledger == ledger) else { return };
        counts.replay = Replay::Done;
        let mut sums = Sums::default();
        self.add_counts(counts, &mut sums, |_| true);
        restore(limits, &sums, now);
    }

    /// Records are stored.
    pub(crate) fn stored(&self, ledger: LedgerId, mut records: &[StoredCounts<'_>], now: Now) {
        let mut registry = lock(&self.registry);
        let Registry { limits, ledgers } = &mut *registry;
        let Some(counts) = ledgers.iter_mut().find(|counts| counts.ledger == ledger) else { return };
        match records.iter().position(|record| Some(record.number) == counts.file.mark()) {
            Some(mark) => (counts.skips, records) = (false, &records[mark + 1..]),
            None if counts.skips => return,
            None => {}
        }
        let is_missed = counts.replay == Replay::Missed;
        let mut missed = Sums::default();
        let mut waiting = lock(&self.waiting);
        let sums = waiting.entry(ledger).or_default();
        for record in records {
            if is_missed && !counts.runs.contains(&record.number.instance) {
                missed.add_all(record.counts, 1);
            } else {
                sums.add_all(record.counts, -1);
            }
        }
        if now.unix.saturating_sub(counts.swept) >= SWEEP_INTERVAL {
            counts.swept = now.unix;
            sums.forget_old(now.unix);
            counts.file.forget_old(now.unix);
        }
        drop(waiting);
        counts.file.add(records, now.unix);
        restore(limits, &missed, now);
    }

    /// Nothing is being stored: what the disk did not take is written again.
    pub(crate) fn idle(&self, ledger: LedgerId, now: i64) {
        let mut registry = lock(&self.registry);
        if let Some(counts) = registry.ledgers.iter_mut().find(|counts| counts.ledger == ledger) {
            counts.file.write_again(now);
        }
    }

    /// Adds what a ledger has stored, and what it has yet to store.
    fn add_counts(&self, ledger: &LedgerCounts, sums: &mut Sums, is_wanted: impl Fn(&Key) -> bool) {
        let waiting = lock(&self.waiting);
        let waiting = waiting.get(&ledger.ledger).into_iter().flat_map(Sums::iter);
        let all = ledger.file.sums().iter().chain(waiting);
        all.filter(|(key, _)| is_wanted(key)).for_each(|(key, sum)| sums.add(key, sum));
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what was counted before.
fn restore(limits: &Limits, sums: &Sums, now: Now) {
    for ((limit, subject, until), sum) in sums.iter() {
        let Some(WindowLimit { meters, limit, max }) = limits.get(&Subject::from_bytes(limit)) else { continue };
        let (Some(meters), Ok(amount)) = (meters.upgrade(), u64::try_from(sum)) else { continue };
        if until <= now.unix {
            continue;
        }
        let subject = Subject::from_bytes(subject);
        if subject == Subject::OTHERS {
            meters.of_others().add_used(amount, until, limit, now);
        } else {
            meters.get(subject, *max, limit, now).meter.add_used(amount, until, limit, now);
        }
    }
}

#[cfg(test)]
mod tests;
