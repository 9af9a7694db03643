//! The journal's reader before a damaged segment: no record whose frame is whole is lost, none is read twice, none is made up, and
//! what is missing is counted. An input says how long the records are, and what becomes of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use journal::{Decoded, Entry, Event, Journal, Kind, Observer, Options};

const OPTIONS: Options = Options { max_bytes: 1 << 20 };
/// The head of a segment, and what stands in a frame before its record.
const SEGMENT_HEAD: usize = 24;
const FRAME_HEAD: usize = 46;
/// Where a frame says how long it is behind its head.
const LENGTH: std::ops::Range<usize> = 5..9;

/// Checks one journal.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let folder = Folder::new();
    let records: Vec<Vec<u8>> = (0..input.byte() % 12).map(|number| record(number, &mut input)).collect();
    {
        let (journal, _) = open(folder.path(), Arc::default());
        for (number, record) in records.iter().enumerate() {
            let kind = if number % 5 == 4 { Kind::Unnumbered } else { Kind::Numbered };
            journal.append(kind, 1, |bytes| bytes.extend_from_slice(record)).expect("there is room");
        }
    }
    let Some(path) = segment(folder.path()) else { return };
    let bytes = fs::read(&path).expect("the segment");
    let mut tagged = tag(&bytes);
    let mut has_head = true;
    while !input.0.is_empty() {
        has_head &= damage(&mut tagged, &mut input);
    }
    let whole = whole_frames(&tagged, &bytes);
    fs::write(&path, tagged.iter().map(|byte| byte.value).collect::<Vec<u8>>()).expect("the segment");

    let lost = Arc::<AtomicU64>::default();
    let (journal, mut reader) = open(folder.path(), lost.clone());
    let later = b"one more".to_vec();
    journal.append(Kind::Numbered, 1, |bytes| bytes.extend_from_slice(&later)).expect("there is room");
    let mut read: Vec<Vec<u8>> = Vec::new();
    for _ in 0..100 {
        match reader.next_batch(3, 1 << 20) {
            Ok(Some(batch)) => {
                read.extend(batch.records.iter().cloned());
                reader.done(&batch).expect("the disk is there");
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert_eq!(read.pop().as_ref(), Some(&later), "what comes behind damage is read");
    let known: Vec<usize> = read
        .iter()
        .map(|record| records.iter().position(|known| known == record).expect("no record is made up"))
        .collect();
    let distinct: BTreeSet<usize> = known.iter().copied().collect();
    assert_eq!(distinct.len(), known.len(), "no record is read twice");
    if has_head {
        assert!(whole.is_subset(&distinct), "whole are {whole:?}, read are {distinct:?}");
        assert_eq!(lost.load(Ordering::Relaxed) as usize + known.len(), records.len(), "what is missing is counted");
    }
    assert_eq!(journal.waiting(), 0, "nothing waits any more");
}

/// A record, which begins with its number. Its content may look like the beginning of a frame.
fn record(number: u8, input: &mut Input<'_>) -> Vec<u8> {
    let length = usize::from(input.byte());
    let mut record = vec![number];
    match length % 3 {
        0 => record.extend(std::iter::repeat_n(0, length)),
        1 => record.extend((0..length / 8).flat_map(|_| [0xF1, 0x54, 0x47, 0xA6, 3, 20, 0, 0])),
        _ => record.extend(input.take(length)),
    }
    record
}

fn open(folder: &Path, lost: Arc<AtomicU64>) -> (Arc<Journal<Vec<u8>>>, journal::Reader<Vec<u8>>) {
    fn decode(entry: &Entry<'_>) -> Option<Decoded<Vec<u8>>> {
        Some(Decoded { record: entry.record.to_vec(), amends: None })
    }
    Journal::open(folder, OPTIONS, decode, Box::new(Losses(lost))).expect("a journal")
}

/// Counts what is lost.
#[derive(Debug)]
struct Losses(Arc<AtomicU64>);

impl Observer for Losses {
    fn on(&self, _: &Path, event: &Event<'_>) {
        if let Event::Lost { loss, .. } = event {
            self.0.fetch_add(loss.numbered + loss.amendments + loss.unnumbered, Ordering::Relaxed);
        }
    }
}

/// A byte of the segment, and where it was before.
#[derive(Clone, Copy)]
struct Byte {
    value: u8,
    at: Option<usize>,
}

fn tag(bytes: &[u8]) -> Vec<Byte> {
    bytes.iter().enumerate().map(|(at, value)| Byte { value: *value, at: Some(at) }).collect()
}

/// Does one thing to the segment; whether its head is left alone.
fn damage(bytes: &mut Vec<Byte>, input: &mut Input<'_>) -> bool {
    let (what, at, length) = (input.byte(), input.position(bytes.len()), usize::from(input.byte()));
    let end = (at + length).min(bytes.len());
    match what % 6 {
        0 => {
            for byte in &mut bytes[at..end] {
                let value = input.byte();
                if byte.value != value {
                    *byte = Byte { value, at: None };
                }
            }
        }
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let new: Vec<Byte> = input.take(length).iter().map(|value| Byte { value: *value, at: None }).collect();
            drop(bytes.splice(at..at, new));
        }
        4 => {
            for byte in bytes[at..end].iter_mut().filter(|byte| byte.value != 0) {
                *byte = Byte { value: 0, at: None };
            }
        }
        // what was written is there a second time
        _ => bytes.extend_from_within(at..end),
    }
    bytes.len() >= SEGMENT_HEAD && bytes[..SEGMENT_HEAD].iter().enumerate().all(|(at, byte)| byte.at == Some(at))
}

/// The numbers of the records whose frames are there to the last byte.
fn whole_frames(tagged: &[Byte], original: &[u8]) -> BTreeSet<usize> {
    let mut whole = BTreeSet::new();
    let (mut start, mut number) = (SEGMENT_HEAD, 0);
    while let Some(length) = original.get(start + LENGTH.start..start + LENGTH.end) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let end = start + FRAME_HEAD + length;
        let begins = tagged.iter().enumerate().filter(|(_, byte)| byte.at == Some(start)).map(|(at, _)| at);
        let is_whole = |from: usize| {
            (start..end)
                .enumerate()
                .all(|(offset, at)| tagged.get(from + offset).is_some_and(|byte| byte.at == Some(at)))
        };
        if begins.into_iter().any(is_whole) {
            whole.insert(number);
        }
        (start, number) = (end, number + 1);
    }
    whole
}

/// What is left of an input. One that is used up goes on with zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A place in something of this length.
    fn position(&mut self, length: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % (length + 1)
    }
}

/// The first segment.
fn segment(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "journal")).min()
}

/// A folder in memory, where there is one, that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("fuzz-journal-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
