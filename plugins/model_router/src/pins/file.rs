//! The file of the pins: a line for each, of which the last of a key counts. It is written where a conversation gets its model, so that a
//! kill loses none that a client has an answer by.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use plugin_api::LogLimit;

use super::{Pin, PinKey};

const NAME: &str = "model_pins";
/// Lines that are read at most; a file of more is not this program's.
const MOST_LINES: usize = 4_000_000;
/// The longest line, in bytes: two names of models and a key.
const LONGEST: usize = 2048;

#[derive(Debug)]
pub(super) struct PinFile {
    folder: PathBuf,
    file: File,
    lines: usize,
}

impl PinFile {
    /// Opens the file in a folder, and reads what is in it, oldest first. Where that fails, it is logged, and there is none.
    pub(super) fn open(folder: &Path, known: impl FnMut(PinKey, Pin)) -> Option<Self> {
        match Self::try_open(folder, known) {
            Ok(file) => Some(file),
            Err(error) => {
                log::warn!(error:%, folder:% = folder.display();
                    "the file of the models that conversations keep cannot be read; after a restart their models are chosen anew");
                None
            }
        }
    }

    fn try_open(folder: &Path, mut known: impl FnMut(PinKey, Pin)) -> io::Result<Self> {
        let path = folder.join(NAME);
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut lines = 0;
        let mut reader = BufReader::new(&file);
        let (mut line, mut is_whole) = (Vec::new(), true);
        while lines < MOST_LINES && read_line(&mut reader, &mut line)? {
            lines += 1;
            is_whole = line.ends_with(b"\n");
            if let Some((key, pin)) = parsed(&line) {
                known(key, pin);
            }
        }
        let mut opened = Self { folder: folder.to_owned(), file, lines };
        // a kill may have left a part of a line
        if !is_whole {
            opened.file.write_all(b"\n")?;
        }
        Ok(opened)
    }

    pub(super) fn is_in(&self, folder: &Path) -> bool {
        self.folder == folder
    }

    /// Whether more than half of its lines are of pins that are not known any more.
    pub(super) fn is_mostly_old(&self, known: usize) -> bool {
        self.lines > 2 * known + 1024
    }

    /// Adds a pin. Where the disk does not take it, that is logged.
    pub(super) fn append(&mut self, key: &PinKey, pin: &Pin) {
        self.lines += 1;
        let written = self.file.write_all(&line(key, pin));
        self.log_failure(written);
    }

    /// Writes the file anew with these pins alone.
    pub(super) fn replace<'a>(&mut self, pins: impl Iterator<Item = (&'a PinKey, &'a Pin)>) {
        let mut text = Vec::new();
        let mut lines = 0;
        for (key, pin) in pins {
            lines += 1;
            text.extend_from_slice(&line(key, pin));
        }
        let path = self.folder.join(NAME);
        let replaced = private_files::replace(&path, &text)
            .and_then(|()| OpenOptions::new().read(true).append(true).open(path))
            .map(|file| (self.file, self.lines) = (file, lines));
        self.log_failure(replaced);
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

/// Reads a line with its end; `false` where there is none. What is too long is cut.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    io::Read::take(&mut *reader, LONGEST as u64).read_until(b'\n', line)?;
    Ok(!line.is_empty())
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
