//! What is counted after a restart or a reload: what was stored and what waits, each once, whenever the kill came.

use plugin_api::testing::TestFolder;
use plugin_api::{Common, DatabaseId, JournalIn, RecordNumber, Spender, SpendingFeed, Uuid, WindowCount};
use quota::{Calendar, Unit};

use super::*;

const LIMIT: Limit = Limit::Window { amount: 1_000_000, unit: Unit::Month, calendar: Calendar::UTC };
const NOW: Now = Now { nanos: 0, unix: 1_795_824_000 };
const ALICE: [u8; 16] = [7; 16];

/// A process with one limit.
struct Process {
    saved: SavedCounts,
    meters: Arc<Meters>,
    feed: SpendingFeed,
    folder: Arc<TestFolder>,
}

/// The run of each process: its records are of other runs.
const RUN: Uuid = Uuid::from_u128(2);

fn name() -> Subject {
    Subject::of(["a limit"])
}

fn used(meters: &Meters) -> u64 {
    meters.get(Subject::from_bytes(ALICE), 100, &LIMIT, NOW).meter.used(&LIMIT, NOW)
}

impl Process {
    fn start(folder: Arc<TestFolder>) -> Self {
        let process = Self::without_limits(folder);
        process.saved.register(name(), &process.meters, LIMIT, 100, NOW);
        process.opens(true);
        process
    }

    fn without_limits(folder: Arc<TestFolder>) -> Self {
        let (saved, meters) = (SavedCounts::default(), Arc::new(Meters::default()));
        Self { saved, meters, feed: Common::default().spending.feed(), folder }
    }

    fn opens(&self, begins: bool) {
        let (ledger, folder) = (self.feed.ledger(), self.folder.to_path_buf());
        let (runs, journal) = (vec![RUN], JournalIn::Folder);
        let open = OpenLedger { ledger, runs, folder, database: DatabaseId::of(&1), journal };
        self.saved.opened(&open, begins);
    }

    fn new() -> Self {
        Self::start(Arc::new(TestFolder::new().unwrap()))
    }

    /// It is killed, and started again while these records wait in the journal.
    fn killed(self, waiting: &[Kept]) -> Self {
        let next = Self::start(self.folder);
        waiting.iter().for_each(|kept| next.saved.replayed(&next.spent(kept, true)));
        next.saved.caught_up(next.feed.ledger(), NOW);
        next
    }

    fn spent<'a>(&self, kept: &'a Kept, is_old: bool) -> Spent<'a> {
        Spent {
            id: Uuid::nil(),
            number: kept.number,
            ledger: self.feed.ledger(),
            place: 0,
            is_old,
            is_adopted: false,
            began: 0,
            spender: Spender::default(),
            picos: 0,
            unpriced: 0,
            counts: &kept.counts,
        }
    }

    /// Calls end: their records are in the journal.
    fn keeps(&self, records: &[Kept]) {
        records.iter().for_each(|kept| self.saved.spent(&self.spent(kept, false)));
    }

    fn stored(&self, records: &[Kept]) {
        let records: Vec<_> =
            records.iter().map(|kept| StoredCounts { number: kept.number, counts: &kept.counts }).collect();
        self.saved.stored(self.feed.ledger(), &records, NOW);
    }

    fn keeps_and_stores(&self, records: &[Kept]) {
        self.keeps(records);
        self.stored(records);
    }

    fn used(&self) -> u64 {
        used(&self.meters)
    }

    /// What a limit has used that a reload takes out and another puts back.
    fn used_after_reloads(&self) -> u64 {
        let meters = Arc::new(Meters::default());
        self.saved.register(name(), &meters, LIMIT, 100, NOW);
        self.saved.register(name(), &meters, LIMIT, 100, NOW);
        used(&meters)
    }
}

/// A record in the journal.
#[derive(Clone, Copy)]
struct Kept {
    number: RecordNumber,
    counts: [WindowCount; 1],
}

fn record(sequence: i64, revision: i16, amount: i64) -> Kept {
    let until = Calendar::UTC.window(Unit::Month, NOW.unix).1;
    let number = RecordNumber { instance: Uuid::from_u128(1), sequence, revision };
    Kept { number, counts: [WindowCount { limit: name().to_bytes(), subject: ALICE, until, amount }] }
}

#[test]
fn what_is_stored_and_what_waits_is_counted_once_after_each_kill() {
    let all = [record(1, 0, 100), record(2, 0, 20), record(2, 1, -3), record(3, 0, 4_000), record(4, 0, 50_000)];
    let process = Process::new();
    process.keeps_and_stores(&all[..2]);
    let process = process.killed(&all[2..]);
    assert_eq!(process.used(), 54_117);
    // the next batch is stored, and the kill comes before the journal forgets it: it is stored again
    process.stored(&all[2..4]);
    let process = process.killed(&all[2..]);
    assert_eq!(process.used(), 54_117);
    process.stored(&all[2..3]);
    let process = process.killed(&all[3..]);
    assert_eq!(process.used(), 54_117);
    process.stored(&all[3..4]);
    process.stored(&all[4..]);
    let process = process.killed(&[]);
    assert_eq!(process.used(), 54_117);
}

#[test]
fn a_day_that_is_over_and_a_limit_that_is_gone_count_nothing_and_a_new_limit_goes_on() {
    let process = Process::new();
    let mut over = record(1, 0, 100);
    over.counts[0].until = NOW.unix - 3 * 86_400;
    let mut gone = record(2, 0, 100);
    gone.counts[0].limit = [1; 16];
    process.keeps_and_stores(&[over, gone, record(3, 0, 7)]);
    let process = process.killed(&[]);
    assert_eq!(process.used(), 7);
    assert_eq!(process.used_after_reloads(), 7);
}

#[test]
fn a_limit_that_reloads_take_out_and_put_back_has_what_waits_in_the_journal() {
    let all = [record(1, 0, 100), record(2, 0, 20), record(2, 1, -3), record(3, 0, 4_000)];
    let process = Process::new().killed(&all[..1]);
    process.keeps(&all[1..]);
    assert_eq!(process.used_after_reloads(), 4_117);
    process.stored(&all[..2]);
    assert_eq!(process.used_after_reloads(), 4_117);
    process.stored(&all[2..]);
    assert_eq!(process.used_after_reloads(), 4_117);
    // nobody may know of a record before it is stored
    let late = [record(4, 0, 50_000)];
    process.stored(&late);
    process.keeps(&late);
    assert_eq!(process.used_after_reloads(), 54_117);
}

#[test]
fn a_limit_that_comes_after_the_ledger_counts_what_earlier_runs_left_once() {
    let all = [record(1, 0, 100), record(2, 0, 20), record(3, 0, 4_000)];
    // the kill comes before the journal forgets what is stored
    let process = Process::new();
    process.keeps_and_stores(&all[..2]);
    let process = Process::without_limits(process.folder);
    process.opens(false);
    process.saved.register(name(), &process.meters, LIMIT, 100, NOW);
    assert_eq!(process.used(), 120);
    let mut own = record(1, 0, 50_000);
    own.number.instance = RUN;
    process.keeps(&[own]);
    process.stored(&[all[0], all[1], all[2], own]);
    // its own calls its meters have counted by themselves
    assert_eq!((process.used(), process.used_after_reloads()), (4_120, 54_120));
    // and those that it kept while another process had its journal, and since
    let next = Uuid::from_u128(77);
    process.saved.goes_on(process.feed.ledger(), next);
    let mut own = record(1, 0, 600_000);
    own.number.instance = next;
    process.keeps_and_stores(&[own]);
    assert_eq!((process.used(), process.used_after_reloads()), (4_120, 654_120));
    assert_eq!(process.killed(&[]).used(), 654_120);
}

#[test]
fn what_a_full_disk_does_not_take_is_written_once_it_does() {
    let process = Process::new();
    process.keeps_and_stores(&[record(1, 0, 100)]);
    let path = process.folder.join("limit_counts.jsonl");
    // the next is the first of a new process, which writes all of the file
    let process = process.killed(&[]);
    std::fs::rename(&path, process.folder.join("aside")).unwrap();
    std::fs::create_dir(&path).unwrap();
    process.keeps_and_stores(&[record(2, 0, 20)]);
    process.saved.idle(process.feed.ledger(), NOW.unix);
    assert!(path.is_dir());
    std::fs::remove_dir(&path).unwrap();
    process.saved.idle(process.feed.ledger(), NOW.unix);
    assert_eq!(process.killed(&[]).used(), 120);
}

#[test]
fn counts_outlive_a_clock_that_was_ahead_for_a_while() {
    let process = Process::new();
    process.keeps_and_stores(&[record(1, 0, 100)]);
    let until = record(1, 0, 0).counts[0].until;
    for ahead in [until, until + 86_400] {
        let process = Process::start(process.folder.clone());
        let later = Now { unix: ahead, ..NOW };
        process.saved.caught_up(process.feed.ledger(), later);
        let mut next = record(2, 0, 0);
        next.counts[0].subject = [8; 16];
        next.counts[0].amount = 1;
        let stored = [StoredCounts { number: next.number, counts: &next.counts }];
        process.saved.stored(process.feed.ledger(), &stored, later);
        assert_eq!(process.killed(&[]).used(), 100, "{ahead}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_left_out_and_a_large_file_becomes_small_again() {
    let process = Process::new();
    let path = process.folder.join("limit_counts.jsonl");
    for sequence in 1..=3_000 {
        process.keeps_and_stores(&[record(sequence, 0, 1)]);
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 300 << 10);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"mark\":nul");
    std::fs::write(&path, text).unwrap();
    let process = process.killed(&[]);
    assert_eq!(process.used(), 3_000);
    process.keeps_and_stores(&[record(3_001, 0, 1)]);
    assert_eq!(process.killed(&[]).used(), 3_001);
}

#[test]
fn what_another_process_served_counts_once_it_is_kept_here() {
    let process = Process::new().killed(&[]);
    let late = record(9, 0, 500);
    process.saved.adopted(&Spent { is_adopted: true, ..process.spent(&late, false) }, NOW);
    assert_eq!((process.used(), process.used_after_reloads()), (500, 500));
    process.stored(&[late]);
    assert_eq!((process.used(), process.used_after_reloads()), (500, 500));
    assert_eq!(process.killed(&[]).used(), 500);
}
