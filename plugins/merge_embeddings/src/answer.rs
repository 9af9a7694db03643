//! Takes the answer to a merged call apart: each call gets the bytes that it would have got alone. No number of an embedding is written
//! anew.

use std::ops::Range;

use json_tape::{Fault, Reader};
use plugin_api::Bytes;

use crate::share::shares;

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
    let usage = read.usage.iter().map(|at| shares(&text[at.clone()], &weights)).collect::<Option<Vec<_>>>()?;
    let mut first = 0;
    let own = parts.iter().enumerate().map(|(place, part)| {
        let embeddings = first..first + part.inputs;
        first = embeddings.end;
        read.of(text, embeddings, usage.iter().map(|shares| &*shares[place]))
    });
    Some(own.collect())
}

/// The tokens that an answer says were used: the largest number of its usage, as it says the total and its parts; 0 where it says none.
pub(crate) fn total_tokens(answer: &[u8]) -> u64 {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let usage = usage(text).unwrap_or_default();
    usage.iter().filter_map(|at| text[at.clone()].parse().ok()).max().unwrap_or(0)
}

/// The numbers of an answer's usage, whatever else it holds.
fn usage(text: &str) -> Result<Vec<Range<usize>>, Fault> {
    let (mut reader, mut found) = (Reader::new(text, 0), Vec::new());
    reader.object()?;
    while let Some(key) = reader.key()? {
        let start = reader.at();
        if reader.value()?.starts_with('{') && key.raw() == b"usage" {
            numbers(text, start, DEEPEST, &mut found)?;
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apart(answer: &str, parts: &[(usize, u64)]) -> Option<Vec<String>> {
        let parts: Vec<Part> = parts.iter().map(|(inputs, tokens)| Part { inputs: *inputs, tokens: *tokens }).collect();
        let apart = take_apart(&Bytes::from(answer.to_owned()), &parts)?;
        Some(apart.iter().map(|own| String::from_utf8(own.to_vec()).unwrap()).collect())
    }

    #[test]
    fn each_call_gets_its_embeddings_as_they_are_written_and_its_share_of_the_usage() {
        let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]},{"object":"embedding","index":1,"embedding":"AAA="},{"index":2,"x":{"index":9},"embedding":[]}],"model":"m","usage":{"prompt_tokens":10,"total_tokens":10,"details":{"cached":3}},"x":1}"#;
        let own = apart(answer, &[(1, 3), (2, 7)]).unwrap();
        assert_eq!(
            own[0],
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3,"details":{"cached":1}},"x":1}"#
        );
        assert_eq!(
            own[1],
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAA="},{"index":1,"x":{"index":9},"embedding":[]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7,"details":{"cached":2}},"x":1}"#
        );
    }

    #[test]
    fn a_cost_with_an_exponent_is_shared_as_any_other() {
        let answer = r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":4,"cost":2e-8}}"#;
        let own = r#"{"data":[{"index":0}],"usage":{"prompt_tokens":2,"cost":0.00000001}}"#;
        assert_eq!(apart(answer, &[(1, 1), (1, 1)]).unwrap(), [own, own]);
    }

    #[test]
    fn what_every_part_would_repeat_is_bounded() {
        let beside = |bytes: usize| {
            let rest = "x".repeat(bytes);
            let answer =
                format!(r#"{{"data":[{{"index":0,"embedding":[1]}},{{"index":1,"embedding":[2]}}],"rest":"{rest}"}}"#);
            apart(&answer, &[(1, 1), (1, 1)]).is_some()
        };
        assert!(beside(MOST_REPEATED / 2 - 100));
        assert!(!beside(MOST_REPEATED / 2));
    }

    #[test]
    fn an_answer_without_an_embedding_for_each_input_in_its_order_is_not_taken_apart() {
        for answer in [
            "",
            "[]",
            "{}",
            r#"{"data":{}}"#,
            r#"{"data":[]}"#,
            r#"{"data":[1,2]}"#,
            r#"{"data":[{"index":0}]}"#,
            r#"{"data":[{"index":0},{"index":1},{"index":2}]}"#,
            r#"{"data":[{"index":1},{"index":0}]}"#,
            r#"{"data":[{"index":0},{"index":0}]}"#,
            r#"{"data":[{"index":0},{}]}"#,
            r#"{"data":[{"index":0},{"index":"1"}]}"#,
            r#"{"data":[{"index":0},{"index":1.0}]}"#,
            r#"{"data":[{"index":0},{"index":+1}]}"#,
            r#"{"data":[{"index":0},{"index":1,"index":1}]}"#,
            r#"{"data":[{"index":0},{"index":1}],"data":[]}"#,
            r#"{"data":[{"index":0},{"index":1}]} x"#,
            r#"{"data":[{"index":0},{"index":1}]"#,
            r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":-1}}"#,
            r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":1e99}}"#,
        ] {
            assert_eq!(apart(answer, &[(1, 1), (1, 1)]), None, "{answer}");
        }
        assert!(apart(r#"{"data":[{"index":0},{"index":1}]}"#, &[(1, 1), (1, 1)]).is_some());
        assert!(apart(r#"{"usage":null,"data":[{"index":0},{"index":1}]}"#, &[(1, 1), (1, 1)]).is_some());
        assert!(take_apart(&Bytes::from_static(b"{\"data\":[{\"index\":0,\"a\":\"\xff\"}]}"), &[]).is_none());
    }

    #[test]
    fn the_tokens_of_an_answer_are_told_where_it_has_some() {
        assert_eq!(total_tokens(br#"{"data":[{"index":0}],"usage":{"prompt_tokens":5,"total_tokens":6}}"#), 6);
        assert_eq!(total_tokens(b"no"), 0);
    }

    /// How an upstream writes an answer.
    #[derive(Clone, Copy, Debug)]
    enum Style {
        Dense,
        Pretty,
        UsageFirst,
    }

    /// What an upstream answers that has these embeddings, and used so many tokens.
    fn written(style: Style, embeddings: &[String], tokens: u64) -> String {
        let (list, comma) = match style {
            Style::Dense | Style::UsageFirst => (("[", "]"), ","),
            Style::Pretty => (("[\n    ", "\n  ]"), ",\n    "),
        };
        let own: Vec<String> = embeddings
            .iter()
            .enumerate()
            .map(|(index, embedding)| match style {
                Style::Pretty => format!("{{\n      \"object\": \"embedding\",\n      \"index\": {index},\n      \"embedding\": {embedding}\n    }}"),
                Style::Dense => format!(r#"{{"embedding":{embedding},"index":{index}}}"#),
                Style::UsageFirst => format!(r#"{{"index":{index} ,"embedding":{embedding}}}"#),
            })
            .collect();
        let data = format!("{}{}{}", list.0, own.join(comma), list.1);
        match style {
            Style::Dense => {
                format!(r#"{{"data":{data},"model":"m","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#)
            }
            Style::Pretty => format!(
                "{{\n  \"object\": \"list\",\n  \"data\": {data},\n  \"usage\": {{\n    \"prompt_tokens\": {tokens},\n    \"total_tokens\": {tokens}\n  }}\n}}\n"
            ),
            Style::UsageFirst => format!(r#" {{"usage":{{"total_tokens":{tokens}}},"a":["data"],"data" : {data} }}"#),
        }
    }

    fn embedding() -> impl Strategy<Value = String> {
        prop_oneof![
            "[A-Za-z0-9+/]{0,40}={0,2}".prop_map(|base64| format!("\"{base64}\"")),
            prop::collection::vec("-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?", 0..12)
                .prop_map(|numbers| format!("[{}]", numbers.join(", "))),
        ]
    }

    proptest! {
        #[test]
        fn each_call_gets_the_bytes_that_it_would_have_got_alone(
            calls in prop::collection::vec(prop::collection::vec((embedding(), 1..3000_u64), 1..6), 1..12),
            style in prop_oneof![Just(Style::Dense), Just(Style::Pretty), Just(Style::UsageFirst)],
        ) {
            let tokens = |call: &[(String, u64)]| call.iter().map(|(_, tokens)| tokens).sum::<u64>();
            let embeddings = |call: &[(String, u64)]| call.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
            let all: Vec<(String, u64)> = calls.concat();
            let merged = written(style, &embeddings(&all), tokens(&all));
            let parts: Vec<(usize, u64)> = calls.iter().map(|call| (call.len(), tokens(call))).collect();
            let own = apart(&merged, &parts).unwrap();
            for (own, call) in own.iter().zip(&calls) {
                prop_assert_eq!(own, &written(style, &embeddings(call), tokens(call)));
            }
        }
    }
}
