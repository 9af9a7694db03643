//! What is known of a tree while it is read again and again in spite of errors.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::decode_error::{DecodeError, ErrorKind, Place};
use crate::node::Id;
use crate::reader::{OldNames, RenamedKey};

/// How the tree is read after errors, and with which old names of keys.
#[derive(Debug)]
pub(crate) struct Recovery<'r> {
    /// Wrong values, which are left out.
    pub excluded: HashSet<Id>,
    /// Missing keys of the mapping with this number, for which placeholders are read.
    pub placeholders: HashMap<Id, Vec<&'static str>>,
    renamed: &'r [RenamedKey],
    /// The uses of old names so far.
    pub old_names: RefCell<OldNames>,
    last_error: RefCell<Option<DecodeError>>,
}

impl<'r> Recovery<'r> {
    pub(crate) fn new(excluded: Vec<Id>, renamed: &'r [RenamedKey]) -> Self {
        let excluded = excluded.into_iter().collect();
        Self {
            excluded,
            placeholders: HashMap::new(),
            renamed,
            old_names: RefCell::default(),
            last_error: RefCell::default(),
        }
    }

    /// The error with its place, unless a nearer one is known. An error that has passed through a deserializer without types
    /// (`erased_serde`) is only a text; the error that it was is put in its place.
    pub(crate) fn placed(&self, error: DecodeError, place: Place) -> DecodeError {
        let mut last = self.last_error.borrow_mut();
        let error = match (&error.kind, &*last) {
            (ErrorKind::Custom(text), Some(last)) if *text == last.to_string() => last.clone(),
            _ => error.at(place),
        };
        *last = Some(error.clone());
        error
    }

    /// Has a placeholder read for a missing key of this mapping; `false` if there was one already.
    pub(crate) fn add_placeholder(&mut self, mapping: Id, key: &'static str) -> bool {
        let placeholders = self.placeholders.entry(mapping).or_default();
        let is_new = !placeholders.contains(&key);
        if is_new {
            placeholders.push(key);
        }
        is_new
    }

    /// Notes that a key of a type with these fields goes by an old name. A type whose fields are not known here (`None`)
    /// refuses an old name unless it knows it.
    pub(crate) fn note_old_name(&self, value: Id, key: &str, fields: Option<&[&str]>) {
        let is_used = |renamed: &&RenamedKey| renamed.old == key && fields.is_none_or(|fields| renamed.is_of(fields));
        if let Some(renamed) = self.renamed.iter().find(is_used) {
            self.old_names.borrow_mut().note(value, *renamed);
        }
    }
}
