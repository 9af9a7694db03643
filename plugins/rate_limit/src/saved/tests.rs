//! What is counted after a restart: what was stored and what waits, each once, whenever the kill came.

use std::path::PathBuf;

use plugin_api::{Common, RecordNumber, Spender, SpendingFeed, Uuid};
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
    folder: PathBuf,
}

fn name() -> Subject {
    Subject::of(["a limit"])
}

impl Process {
    fn start(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let (saved, meters) = (SavedCounts::default(), Arc::new(Meters::default()));
        saved.register(name(), &meters, LIMIT, 100, NOW);
        let feed = Common::default().spending.feed();
        saved.opened(feed.ledger(), &folder);
        Self { saved, meters, feed, folder }
    }

    fn new() -> Self {
        Self::start(std::env::temp_dir().join(format!("tollgate-limits-{}", Uuid::now_v7())))
    }

    /// It is killed, and started again while these records wait in the journal.
    fn killed(self, waiting: &[Kept]) -> Self {
        let next = Self::start(self.folder);
        for kept in waiting {
            let spent = Spent {
                id: Uuid::nil(),
                number: kept.number,
                ledger: next.feed.ledger(),
                place: 0,
                is_old: true,
                began: 0,
                spender: Spender::default(),
                picos: 0,
                unpriced: 0,
                counts: &kept.counts,
            };
            next.saved.waits(&spent);
        }
        next.saved.caught_up(next.feed.ledger(), NOW);
        next
    }

    fn stored(&self, records: &[Kept]) {
        let records: Vec<_> =
            records.iter().map(|kept| StoredCounts { number: kept.number, counts: &kept.counts }).collect();
        self.saved.stored(self.feed.ledger(), &records, NOW.unix);
    }

    fn used(&self) -> u64 {
        self.meters.get(Subject::from_bytes(ALICE), 100, &LIMIT, NOW).meter.used(&LIMIT, NOW)
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
    process.stored(&all[..2]);
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
    over.counts[0].until = NOW.unix;
    let mut gone = record(2, 0, 100);
    gone.counts[0].limit = [1; 16];
    process.stored(&[over, gone, record(3, 0, 7)]);
    let process = process.killed(&[]);
    assert_eq!(process.used(), 7);
    // a reload takes the limit out, and another puts it back
    let meters = Arc::new(Meters::default());
    process.saved.register(name(), &meters, LIMIT, 100, NOW);
    assert_eq!(meters.get(Subject::from_bytes(ALICE), 100, &LIMIT, NOW).meter.used(&LIMIT, NOW), 7);
    process.saved.register(name(), &meters, LIMIT, 100, NOW);
    assert_eq!(meters.get(Subject::from_bytes(ALICE), 100, &LIMIT, NOW).meter.used(&LIMIT, NOW), 7);
}

#[test]
fn a_line_that_was_cut_off_is_left_out_and_a_large_file_becomes_small_again() {
    let process = Process::new();
    let path = process.folder.join("limit_counts.jsonl");
    for sequence in 1..=3_000 {
        process.stored(&[record(sequence, 0, 1)]);
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 300 << 10);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"mark\":nul");
    std::fs::write(&path, text).unwrap();
    let process = process.killed(&[]);
    assert_eq!(process.used(), 3_000);
    process.stored(&[record(3_001, 0, 1)]);
    assert_eq!(process.killed(&[]).used(), 3_001);
}
