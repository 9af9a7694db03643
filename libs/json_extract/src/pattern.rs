//! What to look for in a JSON text, where, and the slots in which the values are kept.

/// The slots of an extractor: a small enum, each variant of which names one value that may be found.
pub trait Slot: Copy + PartialEq + 'static {
    /// Its number, below the extractor's number of slots.
    fn index(self) -> usize;

    /// How many bytes of its value are kept. Of a longer value none are.
    fn bound(self) -> usize {
        4 << 10
    }

    /// Whether [`JsonExtractor::words`](crate::JsonExtractor::words) counts it.
    fn counts_words(self) -> bool {
        false
    }
}

/// What to look for in a value.
#[derive(Debug)]
pub enum Pattern<S: 'static> {
    /// The value itself.
    Value(S),
    /// The key in its place, whatever the value.
    Key(S),
    /// Members of an object.
    Members(Members<S>),
    /// The same in each element of a list. Of several values for one slot the last is kept.
    Each(&'static Self),
    /// Nothing under its own key: further members of the surrounding object, so that objects can share a list of members.
    Also(Members<S>),
}

/// Keys, and what to look for under each. A key that begins with `*` stands for all keys that end with the rest of it.
pub type Members<S> = &'static [(&'static str, Pattern<S>)];

/// The pattern under a key.
pub(crate) fn find<S>(members: Members<S>, key: &[u8]) -> Option<&'static Pattern<S>> {
    for (name, pattern) in members {
        let found = match pattern {
            Pattern::Also(members) => find(members, key),
            _ => matches(name.as_bytes(), key).then_some(pattern),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Asked of each key for each name, nearly all of which have another length.
#[inline]
fn matches(name: &[u8], key: &[u8]) -> bool {
    name.len() == key.len() && name == key || name.first() == Some(&b'*') && key.ends_with(&name[1..])
}
