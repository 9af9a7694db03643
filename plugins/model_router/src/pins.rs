//! The models that conversations keep, in bounded memory, and in files beside the ledger's journal where there is one. Those that
//! were used longest ago are forgotten.

mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use file::PinFile;

/// So many conversations are remembered at least, and twice as many at most.
const FEWEST: usize = 50_000;

/// The bytes that all of it takes at most.
pub(crate) const BYTES: u64 = 2 * FEWEST as u64 * 192;

/// Tells conversations apart: a hash.
pub(crate) type PinKey = [u8; 16];

/// A model that a conversation keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) model: Box<str>,
    /// What chose it: the name of a rule, or an escalation.
    pub(crate) rule: Box<str>,
}

/// The pins.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<Known>);

/// Two generations: what was used since the last rotation, and before it. Each has a file of its own.
#[derive(Debug, Default)]
struct Known {
    young: HashMap<PinKey, Pin>,
    old: HashMap<PinKey, Pin>,
    file: Option<PinFile>,
}

impl Pins {
    /// What a conversation keeps.
    pub(crate) fn get(&self, key: &PinKey) -> Option<Pin> {
        self.lock().get(key)
    }

    /// What a conversation keeps from now on, unless it has something already that stands, which is returned.
    pub(crate) fn keep(&self, key: PinKey, pin: Pin, stands: impl FnOnce(&Pin) -> bool) -> Pin {
        let mut known = self.lock();
        known.get(&key).filter(stands).unwrap_or_else(|| {
            known.put(key, pin.clone());
            pin
        })
    }

    /// What a conversation keeps from now on, whatever it had.
    pub(crate) fn set(&self, key: PinKey, pin: Pin) {
        self.lock().put(key, pin);
    }

    /// Remembers in a folder from now on, and what is remembered there already.
    pub(crate) fn open(&self, folder: &Path) {
        let mut known = self.lock();
        if known.file.as_ref().is_some_and(|file| file.is_in(folder)) {
            return;
        }
        let Some(opened) = PinFile::open(folder) else { return };
        let begun =
            std::mem::replace(&mut *known, Known { young: opened.young, old: opened.old, file: Some(opened.file) });
        // what was kept before the folder was known
        begun.old.into_iter().chain(begun.young).for_each(|(key, pin)| known.put(key, pin));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn get(&mut self, key: &PinKey) -> Option<Pin> {
        if let Some(pin) = self.young.get(key) {
            return Some(pin.clone());
        }
        let pin = self.old.get(key)?.clone();
        self.put(*key, pin.clone());
        Some(pin)
    }

    fn put(&mut self, key: PinKey, pin: Pin) {
        // a pin that changes again and again fills the file, and not the map
        if self.young.len() >= FEWEST || self.file.as_ref().is_some_and(|file| file.lines() >= 2 * FEWEST) {
            self.old = std::mem::take(&mut self.young);
            if let Some(file) = &mut self.file {
                file.rotate();
            }
        }
        if let Some(file) = &mut self.file {
            file.append(&key, &pin);
        }
        self.old.remove(&key);
        self.young.insert(key, pin);
    }
}

#[cfg(test)]
mod tests;
