//! The files of the pins, one for each generation: a line for each pin, of which the last of a key counts. A line is written where a
//! conversation gets its model, so that a kill loses none that a client has an answer by.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use plugin_api::LogLimit;

use super::{FEWEST, Pin, PinKey};

const YOUNG: &str = "model_pins";
const OLD: &str = "model_pins.old";
/// Lines of a file that are read; one of more is not this program's.
const MOST_LINES: usize = 2 * FEWEST + 1;
/// The longest line, in bytes: two names of models and a key.
const LONGEST: u64 = 2048;

/// The file of the young generation.
#[derive(Debug)]
pub(super) struct PinFile {
    folder: PathBuf,
    file: File,
    lines: usize,
}

/// The files of a folder, as they were found.
pub(super) struct Opened {
    pub(super) file: PinFile,
    pub(super) young: HashMap<PinKey, Pin>,
    pub(super) old: HashMap<PinKey, Pin>,
}

impl PinFile {
    /// Opens the files in a folder. Where that fails, it is logged, and there is none.
    pub(super) fn open(folder: &Path) -> Option<Opened> {
        match Self::try_open(folder) {
            Ok(opened) => Some(opened),
            Err(error) => {
                log::warn!(error:%, folder:% = folder.display();
                    "the file of the models that conversations keep cannot be opened; after a restart their models are chosen anew");
                None
            }
        }
    }

    fn try_open(folder: &Path) -> io::Result<Opened> {
        let old = match File::open(folder.join(OLD)) {
            Ok(file) => read(&file)?.pins,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        let mut file = append_to(folder)?;
        let found = read(&file)?;
        if !found.is_whole {
            // a kill has left a part of a line
            file.write_all(b"\n")?;
        }
        let file = Self { folder: folder.to_owned(), file, lines: found.lines };
        Ok(Opened { file, young: found.pins, old })
    }

    pub(super) fn is_in(&self, folder: &Path) -> bool {
        self.folder == folder
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Adds a pin. Where the disk does not take it, that is logged.
    pub(super) fn append(&mut self, key: &PinKey, pin: &Pin) {
        self.lines += 1;
        let written = self.file.write_all(&line(key, pin));
        self.log_failure(written);
    }

    /// The young generation has become the old one.
    pub(super) fn rotate(&mut self) {
        self.lines = 0;
        let rotated = fs::rename(self.folder.join(YOUNG), self.folder.join(OLD))
            .and_then(|()| append_to(&self.folder))
            .map(|file| self.file = file);
        self.log_failure(rotated);
    }

    fn log_failure(&self, result: io::Result<()>) {
        static FAILED: LogLimit = LogLimit::new();
        if let Err(error) = result
            && let Some(suppressed) = FAILED.pass(())
        {
            log::warn!(error:%, folder:% = self.folder.display(), suppressed;
                "the models that conversations keep cannot be written; after a restart some are chosen anew");
        }
    }
}

fn append_to(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(folder.join(YOUNG))
}

/// What a file holds.
struct Found {
    pins: HashMap<PinKey, Pin>,
    lines: usize,
    /// Whether its last line has an end.
    is_whole: bool,
}

fn read(file: &File) -> io::Result<Found> {
    let mut found = Found { pins: HashMap::new(), lines: 0, is_whole: true };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    while found.lines < MOST_LINES && found.pins.len() < FEWEST {
        line.clear();
        if reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        found.lines += 1;
        found.is_whole = line.ends_with(b"\n");
        found.pins.extend(parsed(&line));
    }
    Ok(found)
}

/// A pin as a line: its key in hexadecimal digits, its model and its rule as JSON.
fn line(key: &PinKey, pin: &Pin) -> Vec<u8> {
    let json = serde_json::json!([format!("{:032x}", u128::from_be_bytes(*key)), pin.model, pin.rule]);
    format!("{json}\n").into_bytes()
}

fn parsed(line: &[u8]) -> Option<(PinKey, Pin)> {
    let (key, model, rule): (String, Box<str>, Box<str>) = serde_json::from_slice(line).ok()?;
    let key = u128::from_str_radix(&key, 16).ok()?.to_be_bytes();
    Some((key, Pin { model, rule }))
}
