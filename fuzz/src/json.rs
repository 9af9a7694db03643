//! JSON texts as trees that keep the order, the duplicates and the spelling of everything, read by `serde_json`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value and its text.
#[derive(Clone, Debug)]
pub enum Json<'a> {
    /// The members, and the text of the object.
    Object(Vec<Entry<'a>>, &'a str),
    /// The items, and the text of the list.
    List(Vec<Self>, &'a str),
    /// What it says.
    String(String, &'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub key: String,
    /// The key as it is written, without quotes.
    pub raw_key: &'a str,
    pub value: Json<'a>,
}

/// The tree of a text; `None` if it is no JSON that `serde_json` reads: it may be nested too deep, too, or have half of a
/// surrogate pair in a string, which no Rust string has.
pub fn parse(text: &[u8]) -> Option<Json<'_>> {
    serde_json::from_slice::<serde_json::Value>(text).ok()?;
    let text: &RawValue = serde_json::from_slice(text).ok()?;
    tree(text.get())
}

fn tree(text: &str) -> Option<Json<'_>> {
    Some(match text.as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let entries = members.into_iter().map(|(raw_key, value)| {
                let raw_key = raw_key.get().strip_prefix('"')?.strip_suffix('"')?;
                let key = serde_json::from_str(&format!("\"{raw_key}\"")).ok()?;
                Some(Entry { key, raw_key, value: tree(value.get())? })
            });
            Json::Object(entries.collect::<Option<_>>()?, text)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Json::List(items.into_iter().map(|item| tree(item.get())).collect::<Option<_>>()?, text)
        }
        b'"' => Json::String(serde_json::from_str(text).ok()?, text),
        _ => Json::Word(text),
    })
}

impl<'a> Json<'a> {
    /// Its text.
    pub fn text(&self) -> &'a str {
        match self {
            Self::Object(_, text) | Self::List(_, text) | Self::String(_, text) | Self::Word(text) => text,
        }
    }

    /// The last member of this key.
    pub fn last(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries, _) = self else { return None };
        entries.iter().rfind(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

/// The members of an object, each key and value as it is written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
