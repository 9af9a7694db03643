//! Whatever is done to the segments of a journal: what was read and what is counted as lost is all that was appended, no record
//! comes twice, and none comes altered.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::disk::{MANY, drain_failing};
use super::*;

const PAGE: usize = 4096;
/// Segments of five pages.
const SMALL: u64 = 8 * 5 * PAGE as u64;

/// Something that is done to a segment.
#[derive(Clone, Debug)]
enum Blow {
    Flip(Vec<(f64, u8)>),
    Zero(f64, usize),
    Cut(f64),
    Swap(f64, f64),
    Copy(f64, f64),
    Append(Vec<u8>),
    /// The pages of the segment once more, behind it.
    Again,
    Remove,
}

impl Blow {
    fn strike(&self, path: &Path) {
        let Ok(mut bytes) = fs::read(path) else { return };
        let length = bytes.len();
        let at = |part: f64| (length as f64 * part) as usize;
        let page = |part: f64| {
            let start = at(part) / PAGE * PAGE;
            start..(start + PAGE).min(length)
        };
        match self {
            Self::Flip(flips) => {
                for (place, bit) in flips {
                    if let Some(byte) = bytes.get_mut(at(*place)) {
                        *byte ^= 1 << bit;
                    }
                }
            }
            Self::Zero(place, long) => {
                let end = (at(*place) + long).min(length);
                bytes[at(*place)..end].fill(0);
            }
            Self::Cut(place) => bytes.truncate(at(*place)),
            Self::Swap(one, other) => {
                let (one, other) = (page(*one), page(*other));
                let (first, second) = (bytes[one.clone()].to_vec(), bytes[other.clone()].to_vec());
                if first.len() == second.len() {
                    bytes[one].copy_from_slice(&second);
                    bytes[other].copy_from_slice(&first);
                }
            }
            Self::Copy(from, to) => {
                let (from, to) = (bytes[page(*from)].to_vec(), page(*to));
                let end = (to.start + from.len()).min(length);
                bytes[to.start..end].copy_from_slice(&from[..end - to.start]);
            }
            Self::Append(garbage) => bytes.extend_from_slice(garbage),
            Self::Again => bytes.extend_from_within(..),
            Self::Remove => return fs::remove_file(path).unwrap(),
        }
        // in its place: who has it open sees it too
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        if bytes.len() < length || !matches!(self, Self::Append(_) | Self::Again) {
            file.set_len(bytes.len() as u64).unwrap();
        }
    }
}

fn blows() -> impl Strategy<Value = Vec<(f64, Blow)>> {
    let place = || 0.0..1.0_f64;
    let blow = prop_oneof![
        proptest::collection::vec((place(), 0_u8..8), 1..100).prop_map(Blow::Flip),
        (place(), 1..3 * PAGE).prop_map(|(place, long)| Blow::Zero(place, long)),
        place().prop_map(Blow::Cut),
        (place(), place()).prop_map(|(one, other)| Blow::Swap(one, other)),
        (place(), place()).prop_map(|(from, to)| Blow::Copy(from, to)),
        proptest::collection::vec(any::<u8>(), 0..2 * PAGE).prop_map(Blow::Append),
        Just(Blow::Again),
        Just(Blow::Remove),
    ];
    proptest::collection::vec((place(), blow), 0..5)
}

/// A record of any kind, which nothing else is like: by turns a numbered one, an unnumbered one, and an amendment of an earlier
/// one.
fn any_record(value: i64, earlier: &[Record]) -> Record {
    let amended = earlier.iter().rev().nth(usize::try_from(value % 13).unwrap());
    match (value % 7, amended) {
        (3, _) => Record { kind: Kind::Unnumbered, ..record(value) },
        (5, Some(amended)) => Record { kind: Kind::Amendment, value, ..amended.clone() },
        // as long as a row
        _ => with_body(value, 150 + usize::try_from(value % 90).unwrap()),
    }
}

/// Appends so many of them.
fn append_any(journal: &Journal<Record>, records: &mut Vec<Record>, count: i64) {
    let mut numbered: Vec<Record> = Vec::new();
    for _ in 0..count {
        let mut record = any_record(records.len() as i64, &numbered);
        append(journal, &mut record);
        if record.kind == Kind::Numbered {
            numbered.push(record.clone());
        }
        records.push(record);
    }
}

fn read_all(reader: &mut Reader<Record>) -> Vec<Record> {
    let (mut all, mut failed) = (Vec::new(), 0);
    while failed < MANY {
        match reader.next_batch(7, usize::MAX) {
            Ok(Some(batch)) => {
                reader.done(&batch).unwrap();
                all.extend(batch.records);
            }
            Ok(None) => break,
            Err(_) => failed += 1,
        }
    }
    all
}

/// The numbers and the unnumbered records of which something is among these records; and amendments.
fn kinds(records: &[Record]) -> (BTreeSet<u64>, BTreeSet<i64>, usize) {
    let (mut numbers, mut unnumbered, mut amendments) = (BTreeSet::new(), BTreeSet::new(), 0);
    for record in records {
        match record.kind {
            Kind::Unnumbered => drop(unnumbered.insert(record.value)),
            kind => {
                numbers.insert(record.number);
                amendments += usize::from(kind == Kind::Amendment);
            }
        }
    }
    (numbers, unnumbered, amendments)
}

/// Sees that what was read and what is lost is all that was appended.
fn adds_up(folder: &Folder, journal: &Journal<Record>, kept: &[Record], read: &[Record]) -> Result<(), TestCaseError> {
    let place = |record: &Record| kept.iter().position(|kept| kept == record);
    let places: Vec<Option<usize>> = read.iter().map(place).collect();
    prop_assert!(places.iter().all(Option::is_some), "no record is altered");
    prop_assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), read.len(), "no record comes twice");
    let (all, left) = (kinds(kept), kinds(read));
    let missing = all.0.len() - left.0.len() + all.1.len() - left.1.len();
    prop_assert_eq!(folder.lost(), missing as u64);
    prop_assert_eq!(folder.reported().amendments, (all.2 - left.2) as u64);
    prop_assert_eq!(journal.waiting(), 0);
    let noted = !segment::numbered(&journal.folder, "lost").unwrap().is_empty();
    prop_assert_eq!(noted, all.0.len() > left.0.len(), "a loss is noted for inspection");
    Ok(())
}

fn strike(folder: &Folder, blows: &[(f64, Blow)]) {
    let segments = folder.segments();
    for (which, blow) in blows {
        blow.strike(&segments[(segments.len() as f64 * which) as usize]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_read_of_a_journal_that_was_left_and_what_is_lost_is_all_that_was_kept(
        count in 1_i64..500, first in 0..400_usize, blows in blows(),
    ) {
        let (folder, mut kept) = (Folder::new(), Vec::new());
        let mut read = {
            let (journal, mut reader) = folder.open(SMALL);
            append_any(&journal, &mut kept, count);
            // some of it may be in the database already
            let batch = if first > 200 { reader.next_batch(first - 200, usize::MAX).unwrap() } else { None };
            batch.map_or_else(Vec::new, |batch| {
                reader.done(&batch).unwrap();
                batch.records
            })
        };
        strike(&folder, &blows);
        let (waiting, _) = inspected(&folder);
        let (journal, mut reader) = folder.open(PLENTY);
        prop_assert_eq!(reader.count_old(), (kept.len() - read.len()) as u64);
        // another run goes on meanwhile
        append_any(&journal, &mut kept, 5);
        let later = kept.split_off(kept.len() - 5);
        let found = read_all(&mut reader);
        prop_assert_eq!(&found[found.len() - 5..], &later[..]);
        let found = &found[..found.len() - 5];
        prop_assert_eq!(kinds(&waiting).0, kinds(found).0);
        // a copy of what was read before a restart comes again, and the database knows it
        let again = read.clone();
        read.extend(found.iter().filter(|record| !again.contains(record)).cloned());
        adds_up(&folder, &journal, &kept, &read)?;
    }

    #[test]
    fn what_is_read_of_a_journal_in_use_and_what_is_lost_is_all_that_was_kept(count in 1_i64..500, blows in blows()) {
        let (folder, mut kept) = (Folder::new(), Vec::new());
        let (journal, mut reader) = folder.open(SMALL);
        append_any(&journal, &mut kept, count);
        strike(&folder, &blows);
        let read = read_all(&mut reader);
        adds_up(&folder, &journal, &kept, &read)?;
        append_all(&journal, [7]);
        prop_assert_eq!(drain_failing(&mut reader, MANY), [7]);
    }
}
