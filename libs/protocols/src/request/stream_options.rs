//! What `stream_options` say of usage, and where.

use json_tape::{Fault, Reader};

use super::key::Key;
use crate::facts::StreamOptions;

/// The meaning of the value of `stream_options`, which begins at `start` in the text.
pub(super) fn read(start: usize, value: &str) -> StreamOptions {
    match value.as_bytes().first() {
        Some(b'n') => StreamOptions::Null(start..start + value.len()),
        Some(b'{') => options(start, value).unwrap_or(StreamOptions::Unclear),
        _ => StreamOptions::Unclear,
    }
}

fn options(start: usize, value: &str) -> Result<StreamOptions, Fault> {
    let mut reader = Reader::new(value, 0);
    reader.object()?;
    let mut found = StreamOptions::Silent { members_at: start + 1, has_members: false };
    while let Some(key) = Key::next(&mut reader)? {
        if let StreamOptions::Silent { has_members, .. } = &mut found {
            *has_members = true;
        }
        let at = start + reader.at();
        let value = reader.value()?;
        if *key.name != *b"include_usage" {
            continue;
        }
        found = match (found, value) {
            (StreamOptions::Silent { .. }, "true") => StreamOptions::Usage,
            (StreamOptions::Silent { .. }, _) => StreamOptions::NoUsage(at..at + value.len()),
            _ => StreamOptions::Unclear,
        };
    }
    Ok(found)
}
