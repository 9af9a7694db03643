//! A setting that is one text, or a list of texts.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads one text, or a list of texts. `wanted` says in errors what else might stand there.
///
/// ```
/// use plugin_api::one_or_many;
/// use serde::Deserialize;
///
/// struct Ports(Vec<u16>);
///
/// impl<'de> Deserialize<'de> for Ports {
///     fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
///         one_or_many(reader, "a port, or a list of ports").map(Self)
///     }
/// }
///
/// let ports = |json| serde_json::from_str(json).map(|Ports(ports)| ports).ok();
/// assert_eq!(ports(r#""80""#), Some(vec![80]));
/// assert_eq!(ports(r#"["80", "443"]"#), Some(vec![80, 443]));
/// assert_eq!(ports("80"), None);
/// ```
///
/// # Errors
/// That something else stands there, or what is wrong with one of the texts.
pub fn one_or_many<'de, D, T>(reader: D, wanted: &'static str) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    reader.deserialize_any(OneOrMany { wanted, made: PhantomData })
}

struct OneOrMany<T> {
    wanted: &'static str,
    made: PhantomData<fn() -> T>,
}

/// An element of the list, whose error has its own place.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<'de, T: FromStr<Err: Display>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        Ok(vec![text.parse().map_err(E::custom)?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(Parsed(one)) = list.next_element()? {
            all.push(one);
        }
        Ok(all)
    }
}
