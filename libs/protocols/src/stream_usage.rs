//! Takes out of a stream of `OpenAI`'s the usage that its client did not ask for: the extra chunk, and `"usage":null` in the
//! others. Every other byte stays.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use event_stream::{Events, Piece};
use memchr::memmem::Finder;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest event that is held until its end. A longer one is none of those that usage comes in, and passes as it is.
const LONGEST: usize = 1 << 20;

/// A stream on its way.
#[derive(Debug, Default)]
pub struct StreamUsageFilter {
    events: Events,
    /// The event under way, as far as it is here.
    held: BytesMut,
    /// Where in it data stands, as far as it is in one line.
    data: Data,
    /// The event under way passes as it is.
    passes: bool,
    /// The last event ended with a CR to which an LF may still belong; whether that passes as the event did.
    after_cr: Option<bool>,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    Line(Range<usize>),
    /// In more lines than one.
    Lines,
}

impl StreamUsageFilter {
    /// What of these bytes, and of those before them, goes to the client now.
    pub fn feed(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(bytes.len());
        let mut rest = bytes;
        if !bytes.is_empty()
            && let Some(passes) = self.after_cr.take()
            && bytes[0] == b'\n'
        {
            // the scanner knows it for a part of that line's end, and has to see it
            let (mut lf, behind) = rest.split_at(1);
            out.extend_from_slice(if passes { lf } else { &[] });
            self.events.next(&mut lf);
            rest = behind;
        }
        loop {
            let before = rest;
            let piece = self.events.next(&mut rest);
            let taken = &before[..before.len() - rest.len()];
            if let Some(Piece::Data(data)) = piece {
                self.track_data(taken, data);
            }
            if self.passes {
                out.extend_from_slice(taken);
            } else {
                self.held.extend_from_slice(taken);
                if self.held.len() > LONGEST {
                    self.passes = true;
                    out.extend_from_slice(&self.held.split());
                }
            }
            match piece {
                Some(Piece::End) => {
                    let passes = self.release(&mut out);
                    self.after_cr = (taken.ends_with(b"\r") && rest.is_empty()).then_some(passes);
                    self.passes = false;
                    self.data = Data::None;
                }
                Some(Piece::Data(_)) => {}
                None => return out.freeze(),
            }
        }
    }

    /// Whether a part of an event is still here.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is still held when the stream is over.
    pub fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Notes where data stands that was just taken, the bytes of its line before and behind it included.
    fn track_data(&mut self, taken: &[u8], data: &[u8]) {
        // a line end that stands for the one between two lines is none of these bytes
        let within =
            (data.as_ptr().addr()).checked_sub(taken.as_ptr().addr()).filter(|at| at + data.len() <= taken.len());
        let Some(at) = within else {
            self.data = Data::Lines;
            return;
        };
        let at = self.held.len() + at;
        self.data = match &self.data {
            Data::None => Data::Line(at..at + data.len()),
            // cut between two chunks
            Data::Line(line) if line.end == at => Data::Line(line.start..at + data.len()),
            Data::Line(_) | Data::Lines => Data::Lines,
        };
    }

    /// Lets go of an event that is complete, changed or not; `false` if it is taken out.
    fn release(&mut self, out: &mut BytesMut) -> bool {
        let held = self.held.split();
        let change = match &self.data {
            Data::Line(at) => held.get(at.clone()).map_or(Change::None, |data| change(data, at.start)),
            Data::None | Data::Lines => Change::None,
        };
        match change {
            Change::None => out.extend_from_slice(&held),
            Change::Without(member) => {
                out.extend_from_slice(&held[..member.start]);
                out.extend_from_slice(&held[member.end..]);
            }
            Change::Gone => return false,
        }
        true
    }
}

/// What becomes of an event.
enum Change {
    None,
    /// Without these of its bytes.
    Without(Range<usize>),
    Gone,
}

fn change(data: &[u8], from: usize) -> Change {
    static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
    if USAGE.find(data).is_none() {
        return Change::None;
    }
    let Ok(text) = std::str::from_utf8(data) else { return Change::None };
    let Ok(chunk) = serde_json::Deserializer::from_str(text).deserialize_map(ChunkOf(text)) else {
        return Change::None;
    };
    match chunk {
        Chunk { no_choices: true, has_usage: true, .. } => Change::Gone,
        Chunk { null: Some(member), .. } => Change::Without(from + member.start..from + member.end),
        Chunk { .. } => Change::None,
    }
}

/// A chunk of the stream: what of it tells whether it is the extra one, and what of it would not be there without usage.
#[derive(Debug, Default)]
struct Chunk {
    no_choices: bool,
    has_usage: bool,
    /// The member `"usage":null`, with the comma that belongs to it.
    null: Option<Range<usize>>,
}

struct ChunkOf<'a>(&'a str);

impl<'de> Visitor<'de> for ChunkOf<'de> {
    type Value = Chunk;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chunk")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Chunk, A::Error> {
        let place = |part: &str| part.as_ptr().addr() - self.0.as_ptr().addr();
        let mut chunk = Chunk::default();
        let mut end_of_last = None;
        let mut null_was_first = None;
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let key = key.get();
            if let Some(start) = null_was_first.take() {
                // no comma before it, so the one behind it
                chunk.null = Some(start..place(key));
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            let end = place(value) + value.len();
            match (key, value) {
                (r#""choices""#, list) => chunk.no_choices = list[1..].trim_start() == "]",
                (r#""usage""#, "null") => {
                    let start = end_of_last.unwrap_or_else(|| place(key));
                    chunk.null = Some(start..end);
                    null_was_first = end_of_last.is_none().then_some(start);
                }
                (r#""usage""#, usage) => chunk.has_usage = usage.starts_with('{'),
                _ => {}
            }
            end_of_last = Some(end);
        }
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
    const TEXT: &str =
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"a \"usage\":null b"}}],"obfuscation":"x"}"#;
    const STOP: &str = r#"data: {"choices":[{"finish_reason":"stop"}], "id":"c"}"#;
    const EXTRA: &str = r#"data: {"id":"c","choices":[ ],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;

    /// The chunk as the provider sends it when usage is asked for.
    fn with_null(chunk: &str) -> String {
        match chunk {
            ROLE => ROLE.replacen("]}", r#"],"usage":null}"#, 1),
            TEXT => TEXT.replacen(r#","obf"#, r#" , "usage" : null,"obf"#, 1),
            STOP => STOP.replacen("{\"ch", "{\"usage\":null, \"ch", 1),
            other => other.to_owned(),
        }
    }

    fn stream(chunks: &[String], end: &str) -> String {
        chunks.iter().map(|chunk| format!("{chunk}{end}{end}")).collect()
    }

    fn filtered(stream: &[u8], cut: usize) -> String {
        let mut filter = StreamUsageFilter::default();
        let mut out = Vec::new();
        for piece in stream.chunks(cut) {
            out.extend_from_slice(&filter.feed(piece));
        }
        out.extend_from_slice(&filter.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_client_gets_the_very_stream_it_would_have_got() {
        for end in ["\n", "\r\n", "\r"] {
            let comment = ": keep-alive \"usage\"".to_owned();
            let asked = [ROLE, TEXT, &comment, STOP].map(str::to_owned);
            let given = [with_null(ROLE), with_null(TEXT), comment.clone(), with_null(STOP), EXTRA.to_owned()];
            let done = format!("data: [DONE]{end}{end}");
            let wanted = stream(&asked, end) + &done;
            let given = stream(&given, end) + &done;
            for cut in 1..given.len() + 1 {
                assert_eq!(filtered(given.as_bytes(), cut), wanted, "{end:?} {cut}");
            }
        }
    }

    #[test]
    fn every_whole_event_leaves_at_once_and_every_other_byte_stays() {
        let mut filter = StreamUsageFilter::default();
        assert_eq!(filter.feed(b"data: {\"a\":1}\n\n"), "data: {\"a\":1}\n\n");
        assert_eq!(filter.feed(b"data: {\"usage\":"), "");
        assert_eq!(filter.feed(b"null}\n\ndata: x"), "data: {}\n\n");
        assert_eq!(filter.finish(), "data: x");
        for same in [
            "data: {\"choices\":[1],\"usage\":{\"prompt_tokens\":1}}\n\n",
            "data: {\"choices\":[],\"prompt_filter_results\":[{\"usage\":null}]}\n\n",
            "data: {\"usage\":null,\n\n",
            "data: {\"usage\":\ndata: null}\n\n",
            "event: usage\ndata: \"usage\"\n\n",
            "{\"usage\":null}",
        ] {
            assert_eq!(filtered(same.as_bytes(), 3), same);
        }
    }

    #[test]
    fn an_event_that_is_too_long_to_hold_passes_as_it_is() {
        let long = format!("data: {{\"a\":\"{}\",\"usage\":null}}\n\n", "x".repeat(LONGEST));
        let next = "data: {\"a\":1,\"usage\":null}\n\n";
        assert_eq!(filtered((long.clone() + next).as_bytes(), 65_536), long + "data: {\"a\":1}\n\n");
    }
}
