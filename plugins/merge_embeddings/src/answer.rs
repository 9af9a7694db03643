//! Takes the answer to a merged call apart: each call gets the bytes that it would have got alone. No number of an embedding is written
//! anew.

use std::ops::Range;

use json_tape::{Fault, Reader};
use plugin_api::Bytes;

use crate::share::shares;

#[cfg(test)]
mod tests;

/// How deep a usage may be nested.
const DEEPEST: usize = 4;

/// A call's part of a merged one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// How many inputs it has.
    pub inputs: usize,
    /// The tokens that they are expected to be.
    pub tokens: u64,
}

/// The most bytes that parts repeat of their answer in all.
const MOST_REPEATED: usize = 16 << 20;

/// The answer for each of these parts; none where the answer does not have an embedding for each input, in their order.
pub(crate) fn take_apart(answer: &Bytes, parts: &[Part]) -> Option<Vec<Bytes>> {
    let text = std::str::from_utf8(answer).ok()?;
    let read = Answer::read(text).ok()??;
    let inputs: usize = parts.iter().map(|part| part.inputs).sum();
    // what stands beside the list is in every part
    let beside = text.len() - read.data.len();
    if read.embeddings.len() != inputs || beside.saturating_mul(parts.len()) > MOST_REPEATED {
        return None;
    }
    let weights: Vec<u64> = parts.iter().map(|part| part.tokens).collect();
    let usage: Vec<&str> = read.usage.iter().map(|at| &text[at.clone()]).collect();
    let usage = shares(&usage, &weights)?;
    let mut first = 0;
    let own = parts.iter().enumerate().map(|(place, part)| {
        let embeddings = first..first + part.inputs;
        first = embeddings.end;
        read.of(text, embeddings, usage.iter().map(|shares| &*shares[place]))
    });
    Some(own.collect())
}

/// Where the parts of an answer stand in its text.
struct Answer {
    /// The list of embeddings, brackets included.
    data: Range<usize>,
    embeddings: Vec<Embedding>,
    /// The numbers of its usage.
    usage: Vec<Range<usize>>,
}

struct Embedding {
    at: Range<usize>,
    index: Range<usize>,
}

impl Answer {
    /// Reads an answer; none where it is no list of embeddings with indexes from 0.
    fn read(text: &str) -> Result<Option<Self>, Fault> {
        let mut reader = Reader::new(text, 0);
        reader.object()?;
        let (mut data, mut embeddings, mut usage) = (None, Vec::new(), Vec::new());
        while let Some(key) = reader.key()? {
            let start = reader.at();
            match key.raw() {
                b"data" if data.is_none() => {
                    reader.list()?;
                    while reader.item()? {
                        let Some(embedding) = Embedding::read(text, &mut reader, embeddings.len())? else {
                            return Ok(None);
                        };
                        embeddings.push(embedding);
                    }
                    data = Some(start..written_end(text, &reader));
                }
                b"data" => return Ok(None),
                b"usage" => {
                    let value = reader.value()?;
                    if value.starts_with('{') {
                        numbers(text, start, DEEPEST, &mut usage)?;
                    }
                }
                _ => drop(reader.value()?),
            }
        }
        reader.end()?;
        Ok(data.filter(|_| !embeddings.is_empty()).map(|data| Self { data, embeddings, usage }))
    }

    /// The answer with these embeddings alone, and these numbers of its usage.
    fn of<'a>(&self, text: &str, embeddings: Range<usize>, usage: impl Iterator<Item = &'a str>) -> Bytes {
        let own = &self.embeddings[embeddings];
        let length: usize = own.iter().map(|embedding| embedding.at.len() + 16).sum();
        let mut out = String::with_capacity(text.len() - self.data.len() + length);
        let mut written = 0;
        for (at, number) in self.usage.iter().zip(usage) {
            self.write(text, written..at.start, own, &mut out);
            out.push_str(number);
            written = at.end;
        }
        self.write(text, written..text.len(), own, &mut out);
        out.into()
    }

    /// Writes a part of the text, with these embeddings in the place of all where they stand in it.
    fn write(&self, text: &str, part: Range<usize>, own: &[Embedding], out: &mut String) {
        if !part.contains(&self.data.start) {
            out.push_str(&text[part]);
            return;
        }
        let (Some(first), Some(last)) = (self.embeddings.first(), self.embeddings.last()) else { return };
        out.push_str(&text[part.start..first.at.start]);
        for (place, embedding) in own.iter().enumerate() {
            if place > 0 {
                // what stands between the one before and this one
                let before = &own[place - 1].at;
                out.push_str(&text[before.end..embedding.at.start]);
            }
            out.push_str(&text[embedding.at.start..embedding.index.start]);
            out.push_str(&place.to_string());
            out.push_str(&text[embedding.index.end..embedding.at.end]);
        }
        out.push_str(&text[last.at.end..part.end]);
    }
}

impl Embedding {
    /// Reads an embedding; none where it does not say once that it is the one of this index.
    fn read(text: &str, reader: &mut Reader<'_>, place: usize) -> Result<Option<Self>, Fault> {
        let (start, mut index) = (reader.at(), None);
        reader.object()?;
        while let Some(key) = reader.key()? {
            let at = reader.at();
            let value = reader.value()?;
            if key.raw() == b"index" {
                let is_own = index.is_none() && value.parse() == Ok(place) && value.bytes().all(|b| b.is_ascii_digit());
                if !is_own {
                    return Ok(None);
                }
                index = Some(at..at + value.len());
            }
        }
        Ok(index.map(|index| Self { at: start..written_end(text, reader), index }))
    }
}

/// The end of what was read last, which the reader has left for the next token.
fn written_end(text: &str, reader: &Reader<'_>) -> usize {
    text.as_bytes()[..reader.at()].trim_ascii_end().len()
}

/// The numbers of the object at this place, and of the objects in it.
fn numbers(text: &str, at: usize, deepest: usize, found: &mut Vec<Range<usize>>) -> Result<(), Fault> {
    let mut reader = Reader::new(text, at);
    reader.object()?;
    while reader.key()?.is_some() {
        let (at, first) = (reader.at(), reader.peek());
        let value = reader.value()?;
        match first {
            Some(b'-' | b'0'..=b'9') => found.push(at..at + value.len()),
            Some(b'{') if deepest > 0 => numbers(text, at, deepest - 1, found)?,
            _ => {}
        }
    }
    Ok(())
}
