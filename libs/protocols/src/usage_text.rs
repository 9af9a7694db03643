//! The provider's usage object as it is gathered from an answer: the last one, or what several make together. Bounded in size,
//! and linear in what comes.

use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::compatible;

/// The most that is kept of members that nothing is read from, in bytes.
const MOST_OTHERS: usize = 32 << 10;
/// The most that is kept of all members together, in bytes.
const MOST: usize = 256 << 10;
/// The deepest nesting that is kept; databases parse JSON recursively, and refuse deeper ones.
const DEEPEST: usize = 32;

/// What has come of usage so far.
#[derive(Debug, Default)]
pub(crate) enum UsageText {
    #[default]
    None,
    /// One object, to the byte.
    Last(Vec<u8>),
    /// The members of several.
    Merged(Merged),
}

/// Members of objects, each at its last value.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    members: IndexMap<Box<str>, Box<RawValue>>,
    bytes: usize,
    /// What of that is of members that nothing is read from.
    others: usize,
}

impl UsageText {
    /// An object that replaces what came before. What is no object says nothing.
    pub(crate) fn replace(&mut self, object: &[u8]) {
        if !object.starts_with(b"{") {
            return;
        }
        match self {
            Self::Last(last) => {
                last.clear();
                last.extend_from_slice(object);
            }
            Self::None | Self::Merged(_) => *self = Self::Last(object.to_vec()),
        }
    }

    /// An object whose members take the place of those before it: they are sums of all that has happened, to be taken as they
    /// are, 0 included. `null` says nothing.
    pub(crate) fn merge(&mut self, object: &[u8]) {
        if !object.starts_with(b"{") {
            return;
        }
        match self {
            Self::None => *self = Self::Last(object.to_vec()),
            Self::Last(last) => {
                let mut merged = Merged::default();
                merged.add(last);
                merged.add(object);
                *self = Self::Merged(merged);
            }
            Self::Merged(merged) => merged.add(object),
        }
    }

    /// The object as JSON, within its bounds.
    pub(crate) fn finish(self) -> Option<Box<RawValue>> {
        let merged = match self {
            Self::None => return None,
            Self::Last(last) if last.len() <= MOST_OTHERS && is_flat(&last, DEEPEST + 1) => {
                return RawValue::from_string(String::from_utf8(last).ok()?).ok();
            }
            Self::Last(last) => {
                let mut merged = Merged::default();
                merged.add(&last);
                merged
            }
            Self::Merged(merged) => merged,
        };
        RawValue::from_string(serde_json::to_string(&merged.members).ok()?).ok()
    }
}

impl Merged {
    fn add(&mut self, object: &[u8]) {
        let Ok(members) = serde_json::from_slice::<IndexMap<Box<str>, &RawValue>>(object) else { return };
        for (key, value) in members {
            if value.get() != "null" && is_flat(value.get().as_bytes(), DEEPEST) {
                self.set(key, value);
            }
        }
    }

    /// Sets a member, unless it goes beyond a bound.
    fn set(&mut self, key: Box<str>, value: &RawValue) {
        let before = self.members.get(&key).map_or(0, |before| key.len() + before.get().len());
        let now = key.len() + value.get().len();
        let bytes = self.bytes - before + now;
        let is_other = !compatible::is_read(&key);
        let others = if is_other { self.others - before + now } else { self.others };
        if bytes <= MOST && others <= MOST_OTHERS {
            (self.bytes, self.others) = (bytes, others);
            self.members.insert(key, value.to_owned());
        }
    }
}

/// Whether the objects and lists of a JSON text are nested at most so deep.
fn is_flat(text: &[u8], deepest: usize) -> bool {
    let is_few = memchr::memchr2_iter(b'{', b'[', text).nth(deepest).is_none();
    is_few || depth(text) <= deepest
}

/// How deep the objects and lists of a JSON text are nested.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                at += 1;
                while text.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(objects: &[&str]) -> String {
        let mut usage = UsageText::default();
        objects.iter().for_each(|object| usage.merge(object.as_bytes()));
        usage.finish().map(|raw| raw.get().to_owned()).unwrap_or_default()
    }

    #[test]
    fn members_take_the_place_of_those_before_them_and_null_does_not() {
        assert_eq!(merged(&[r#"{"a":1,"b":[2]}"#, r#"{"b":null,"a":0}"#, r#"{"c":{}}"#]), r#"{"a":0,"b":[2],"c":{}}"#);
        assert_eq!(merged(&[r#"{ "a" : 1 }"#]), r#"{ "a" : 1 }"#, "a single one stays as it is");
        assert_eq!(merged(&["7", "null", "x", r#"{"a":"#]), "");
    }

    #[test]
    fn junk_without_end_is_bounded_and_figures_that_come_behind_it_are_kept() {
        let mut usage = UsageText::default();
        for event in 0..3000 {
            let members: Vec<String> = (0..30).map(|key| format!(r#""k{event}_{key}":{event}"#)).collect();
            usage.merge(format!("{{{}}}", members.join(",")).as_bytes());
        }
        usage.merge(br#"{"output_tokens":7,"input_tokens":3}"#);
        let raw = usage.finish().unwrap();
        assert!(raw.get().len() < 2 * MOST_OTHERS, "{}", raw.get().len());
        assert!(raw.get().ends_with(r#""output_tokens":7,"input_tokens":3}"#));
    }

    #[test]
    fn a_member_that_grows_and_one_that_is_too_deep_stay_within_bounds() {
        let grown = |length: usize| format!(r#"{{"note":"{}","output_tokens":{length}}}"#, "x".repeat(length));
        let raw = merged(&[&grown(1), &grown(30_000), &grown(60_000)]);
        assert!(raw.contains(r#""output_tokens":60000"#) && raw.len() < 2 * MOST_OTHERS);
        let deep = format!(r#"{{"a":{}1{},"output_tokens":4}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(merged(&[&deep]), r#"{"output_tokens":4}"#);
        assert_eq!(merged(&[r#"{"a":1}"#, &deep]), r#"{"a":1,"output_tokens":4}"#);
    }

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        for (text, deep) in [("1", 0), ("{}", 1), (r#"{"[[\"[":[{}]}"#, 3), (r#"["\\",[]]"#, 2)] {
            assert_eq!(depth(text.as_bytes()), deep, "{text}");
        }
    }
}
