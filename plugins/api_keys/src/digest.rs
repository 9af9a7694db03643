//! The SHA-256 of a key: all that is kept of it. Texts that are no digest may be keys, so no error repeats them.

use std::borrow::Cow;
use std::fmt;

use plugin_api::KeyDigest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of a digest.
const LENGTH: usize = 32;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; LENGTH]);

impl Digest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        KeyDigest::of(key).into()
    }

    /// Its first bytes as a number: as good as any hash of it.
    pub(crate) fn hash(&self) -> usize {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        usize::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The digest of a text of 64 hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        let mut bytes = [0; LENGTH];
        if text.len() != LENGTH * 2 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl From<KeyDigest> for Digest {
    fn from(digest: KeyDigest) -> Self {
        Self(digest.to_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digests of one key: its secret's, or those of two while one takes the other's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests(Vec<Digest>);

/// The most secrets that one key has.
const MOST: usize = 2;
/// What is wanted, for errors.
const WANTED: &str = "the SHA-256 of a key in 64 hexadecimal digits, or a list of two; `tollgate key new` prints one";

impl Digests {
    /// One digest.
    #[must_use]
    pub fn one(digest: Digest) -> Self {
        Self(vec![digest])
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter()
    }
}

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.collect_str(one),
            several => serializer.collect_seq(several.iter().map(Digest::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DigestsVisitor)
    }
}

struct DigestsVisitor;

impl<'de> Visitor<'de> for DigestsVisitor {
    type Value = Digests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Digests, E> {
        let digest = Digest::parse(text).ok_or_else(|| E::custom(format!("this is no digest, wanted {WANTED}")))?;
        Ok(Digests(vec![digest]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Digests, A::Error> {
        let mut digests = Vec::with_capacity(MOST);
        while let Some(text) = list.next_element::<String>()? {
            let digest = Digest::parse(&text);
            let digest = digest.ok_or_else(|| de::Error::custom(format!("an item is no digest, wanted {WANTED}")))?;
            digests.push(digest);
        }
        if digests.is_empty() || digests.len() > MOST {
            let message =
                format!("found a list of {}, wanted one digest or two: the new one and the old", digests.len());
            return Err(de::Error::custom(message));
        }
        Ok(Digests(digests))
    }
}

impl JsonSchema for Digests {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digests".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let digest = json_schema!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" });
        json_schema!({
            "anyOf": [digest, { "type": "array", "items": digest, "minItems": 1, "maxItems": MOST }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_sha256sum_and_reads_as_it_is_written() {
        // printf %s secret | sha256sum
        let text = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(Digest::of(b"secret").to_string(), text);
        assert_eq!(Digest::parse(&text.to_uppercase()), Some(Digest::of(b"secret")));
    }

    #[test]
    fn what_is_no_digest_is_not_repeated_for_it_may_be_a_key() {
        let key = "tg_Ab12Cd0123456789012345678901234567";
        for wrong in [format!("{key:?}"), format!("[{key:?}]"), "[]".into(), format!("{:?}", "é".repeat(32))] {
            let error = serde_json::from_str::<Digests>(&wrong).unwrap_err().to_string();
            assert!(!error.contains(key) && error.contains("digest"), "{error}");
        }
        let digest = Digest::of(b"a");
        let three = format!("[\"{digest}\",\"{digest}\",\"{digest}\"]");
        assert!(serde_json::from_str::<Digests>(&three).unwrap_err().to_string().contains("one digest or two"));
    }
}
