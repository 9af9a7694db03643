//! A JSON object read leniently: a member of another kind than the one asked for counts as absent.

use std::borrow::Cow;

use json_extract::decimal;
use json_tape::{Fault, Reader};

/// A dollar is ten to the power of these picodollars.
const PICO_DIGITS: i64 = 12;
/// The longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 512;

/// The members of an object, in their order. There are few, so they are looked through for each that is asked for.
#[derive(Debug)]
pub(crate) struct LenientObject<'a>(Vec<(Cow<'a, [u8]>, &'a str)>);

impl<'a> LenientObject<'a> {
    /// Those in this text; none if it is no object.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let mut members = Vec::new();
        let mut reader = Reader::new(text, 0);
        let mut read = || -> Result<(), Fault> {
            reader.object()?;
            while let Some(key) = reader.key()? {
                members.push((key.decoded()?, reader.value()?));
            }
            Ok(())
        };
        read().ok()?;
        reader.end().ok()?;
        Some(Self(members))
    }

    /// The value of a member; the last, where it stands there again.
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| **name == *key.as_bytes()).map(|(_, value)| *value)
    }

    /// A number of something: whole, not negative, and within 63 bits, which a database can hold. A path leads into objects
    /// (`a.b`).
    pub(crate) fn count(&self, path: &str) -> Option<u64> {
        decimal::whole(self.at(path)?).filter(|count| i64::try_from(*count).is_ok())
    }

    /// An amount of money at a path, in picodollars, where ten to the power of `digits` of its units are a dollar.
    pub(crate) fn picos(&self, path: &str, digits: i64) -> Option<u64> {
        decimal::scaled(self.at(path)?, PICO_DIGITS - digits).filter(|picos| i64::try_from(*picos).is_ok())
    }

    fn at(&self, path: &str) -> Option<&'a str> {
        // paths are short
        match path.bytes().position(|byte| byte == b'.') {
            Some(dot) => self.within(&path[..dot])?.at(&path[dot + 1..]),
            None => self.get(path),
        }
    }

    /// A string, cut where it is too long.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let mut text: String = serde_json::from_str(self.get(key)?).ok()?;
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        Some(text)
    }

    /// A string, or a number in its own spelling.
    pub(crate) fn word(&self, key: &str) -> Option<String> {
        let number = |raw: &&str| raw.starts_with(|first: char| first.is_ascii_digit());
        self.text(key).or_else(|| self.get(key).filter(number).map(|raw| raw.chars().take(LONGEST_TEXT).collect()))
    }

    /// An object's members.
    pub(crate) fn within(&self, key: &str) -> Option<Self> {
        Self::of(self.get(key)?)
    }

    /// The objects of a list.
    pub(crate) fn list(&self, key: &str) -> Vec<Self> {
        let Some(list) = self.get(key) else { return Vec::new() };
        let mut objects = Vec::new();
        let mut reader = Reader::new(list, 0);
        let mut read = || -> Result<(), Fault> {
            reader.list()?;
            while reader.item()? {
                objects.extend(Self::of(reader.value()?));
            }
            Ok(())
        };
        if read().is_err() { Vec::new() } else { objects }
    }
}
