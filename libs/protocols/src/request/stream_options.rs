//! What `stream_options` say of usage, and where.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::key::{Key, Place};
use crate::facts::StreamOptions;

/// The meaning of the value of `stream_options`, a part of the text of `place`.
pub(super) fn read<'de>(place: Place<'de>, value: &'de str) -> StreamOptions {
    let start = place.of(value).at;
    match value.as_bytes().first() {
        Some(b'n') => StreamOptions::Null(start..start + value.len()),
        Some(b'{') => {
            let read = serde_json::Deserializer::from_str(value).deserialize_map(Options { place, start });
            read.unwrap_or(StreamOptions::Unclear)
        }
        _ => StreamOptions::Unclear,
    }
}

struct Options<'de> {
    place: Place<'de>,
    start: usize,
}

impl<'de> Visitor<'de> for Options<'de> {
    type Value = StreamOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stream options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StreamOptions, A::Error> {
        let mut found = StreamOptions::Silent { members_at: self.start + 1, has_members: false };
        while let Some(key) = Key::next(&mut map, self.place)? {
            if let StreamOptions::Silent { has_members, .. } = &mut found {
                *has_members = true;
            }
            if *key.name != *b"include_usage" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            found = match (found, value) {
                (StreamOptions::Silent { .. }, "true") => StreamOptions::Usage,
                (StreamOptions::Silent { .. }, _) => {
                    let at = self.place.of(value).at;
                    StreamOptions::NoUsage(at..at + value.len())
                }
                _ => StreamOptions::Unclear,
            };
        }
        Ok(found)
    }
}
