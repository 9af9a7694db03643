//! Finds the values of members in one JSON text after another, each of which comes in pieces of any size. Checks no more of
//! the rest of a text than is needed not to be misled by it.

mod feed;

use crate::pattern::{Members, Pattern, Slot};
use crate::state::{Open, State};
use crate::string::content;
use crate::values::Values;

/// One JSON text, as far as it has come, and the values found in it so far. There are `SLOTS` of them.
#[derive(Debug)]
pub struct JsonExtractor<S: Slot, const SLOTS: usize> {
    members: Members<S>,
    extent: Extent<S>,
    state: State,
    /// The open containers in which something is looked for, the innermost last. Never deeper than the patterns.
    open: Vec<Open<S>>,
    key: Vec<u8>,
    /// The pattern of the value that is next, or under way.
    pattern: Option<&'static Pattern<S>>,
    values: Values<SLOTS>,
    elements: usize,
    words: usize,
}

/// How much of a text is read.
#[derive(Clone, Copy, Debug)]
enum Extent<S> {
    Whole,
    /// Nothing behind the value of this slot.
    Until(S),
    /// Nothing behind the value of this slot at the top level, unless it is one of these JSON texts.
    With(S, &'static [&'static str]),
}

impl<S: Slot, const SLOTS: usize> JsonExtractor<S, SLOTS> {
    /// Looks for these members of an object.
    #[must_use]
    pub fn new(members: Members<S>) -> Self {
        Self {
            members,
            extent: Extent::Whole,
            state: State::Start,
            open: Vec::new(),
            key: Vec::new(),
            pattern: None,
            values: Values::new(),
            elements: 0,
            words: 0,
        }
    }

    /// Looks for these members, and skips what follows the value of this slot.
    #[must_use]
    pub fn until(members: Members<S>, slot: S) -> Self {
        Self { extent: Extent::Until(slot), ..Self::new(members) }
    }

    /// Looks for these members, and skips the rest of an object once the value of this slot, at the top level, turns out to be
    /// none of these JSON texts (a string includes its quotes).
    #[must_use]
    pub fn only_with(members: Members<S>, slot: S, known: &'static [&'static str]) -> Self {
        Self { extent: Extent::With(slot, known), ..Self::new(members) }
    }

    /// Looks for other members from the next text on.
    pub fn look_for(&mut self, members: Members<S>) {
        self.members = members;
    }

    /// Skips the rest of the next texts by other values of a slot than [`only_with`](Self::only_with) said.
    pub fn look_only_with(&mut self, slot: S, known: &'static [&'static str]) {
        self.extent = Extent::With(slot, known);
    }

    /// Begins a new text and forgets all values.
    pub fn begin(&mut self) {
        self.state = State::Start;
        self.open.clear();
        (self.elements, self.words) = (0, 0);
        self.values.forget();
    }

    /// Whether the text is a complete object.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the text is a complete object, or one whose rest was skipped.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        matches!(self.state, State::Complete | State::Skipped)
    }

    /// The JSON text of a value; none where it was absent, `null`, or longer than its bound.
    #[must_use]
    pub fn get(&self, slot: S) -> Option<&[u8]> {
        self.values.get(slot.index()).filter(|value| *value != b"null")
    }

    /// The content of a value that is a string.
    #[must_use]
    pub fn string(&self, slot: S) -> Option<String> {
        self.get(slot).and_then(content)
    }

    /// Whether there was a value other than `null`, even one longer than its bound.
    #[must_use]
    pub fn has(&self, slot: S) -> bool {
        self.get(slot).is_some() || self.is_too_long(slot)
    }

    /// Whether there was any value, `null` included.
    #[must_use]
    pub fn mentions(&self, slot: S) -> bool {
        self.values.is_there(slot.index())
    }

    /// Whether the value was a list, however long.
    #[must_use]
    pub fn is_list(&self, slot: S) -> bool {
        self.values.is_list(slot.index())
    }

    /// Whether the value was a list with at least one element, however long.
    #[must_use]
    pub fn is_filled_list(&self, slot: S) -> bool {
        self.values.is_filled_list(slot.index())
    }

    /// Whether the value was longer than its bound.
    #[must_use]
    pub fn is_too_long(&self, slot: S) -> bool {
        self.values.is_too_long(slot.index())
    }

    /// The number of objects in the lists that [`Pattern::Each`] looked into.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// How often a slot that [counts words](Slot::counts_words) had a word: a string with more in it than white space.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }
}
