//! The models that conversations keep, in bounded memory, and in a file beside the ledger's journal where there is one. Those that
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

#[derive(Debug, Default)]
struct Known {
    /// What was used since the last turn of the maps, and before it.
    young: HashMap<PinKey, Pin>,
    old: HashMap<PinKey, Pin>,
    file: Option<PinFile>,
}

impl Pins {
    /// What a conversation keeps.
    pub(crate) fn get(&self, key: &PinKey) -> Option<Pin> {
        let mut known = self.lock();
        if let Some(pin) = known.young.get(key) {
            return Some(pin.clone());
        }
        let pin = known.old.remove(key)?;
        known.put(*key, pin.clone());
        Some(pin)
    }

    /// What a conversation keeps from now on, unless it has something already, which is returned.
    pub(crate) fn keep(&self, key: PinKey, pin: Pin) -> Pin {
        if let Some(kept) = self.get(&key) {
            return kept;
        }
        self.set(key, pin.clone());
        pin
    }

    /// What a conversation keeps from now on, whatever it had.
    pub(crate) fn set(&self, key: PinKey, pin: Pin) {
        let mut known = self.lock();
        if let Some(file) = &mut known.file {
            file.append(&key, &pin);
        }
        known.old.remove(&key);
        known.put(key, pin);
    }

    /// Remembers in a folder from now on, and what is remembered there already.
    pub(crate) fn open(&self, folder: &Path) {
        let mut known = self.lock();
        if known.file.as_ref().is_some_and(|file| file.is_in(folder)) {
            return;
        }
        let Some(mut file) = PinFile::open(folder, |key, pin| known.put(key, pin)) else { return };
        if file.is_mostly_old(known.young.len() + known.old.len()) {
            file.replace(known.old.iter().chain(&known.young));
        }
        known.file = Some(file);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn put(&mut self, key: PinKey, pin: Pin) {
        if self.young.len() >= FEWEST && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
            if let Some(file) = &mut self.file
                && file.is_mostly_old(self.old.len())
            {
                file.replace(self.old.iter());
            }
        }
        self.young.insert(key, pin);
    }
}

#[cfg(test)]
mod tests;
