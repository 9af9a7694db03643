//! The inputs of an embedding call in its text, as they are written. What is not for certain a call that can be merged has none.

use std::ops::Range;

use json_tape::{Fault, Reader};
use plugin_api::Bytes;

use crate::settings::Limits;

/// The largest text that is looked at, in bytes: what is larger is no small call.
pub(crate) const LARGEST_TEXT: usize = 512 << 10;

/// Bytes of text for each token, where nothing else is known of it.
const BYTES_PER_TOKEN: u64 = 4;

/// The inputs of a call.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    text: Bytes,
    /// The value of `input`.
    value: Range<usize>,
    /// The inputs with what stands between them.
    list: Range<usize>,
    pub kind: Kind,
    /// How many there are.
    pub count: usize,
    /// The tokens that they are expected to be.
    pub tokens: u64,
    /// The most tokens that they can be: a token of text is at least one byte.
    pub most_tokens: u64,
}

/// What inputs are. A list holds one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Texts,
    Tokens,
}

/// What has been read of a list of inputs.
struct Counts {
    kind: Kind,
    count: usize,
    tokens: u64,
    most_tokens: u64,
}

impl Inputs {
    /// The inputs of the call with this text, if it can be merged with others within these limits.
    pub fn of(text: &Bytes, limits: &Limits) -> Option<Self> {
        if text.len() > LARGEST_TEXT {
            return None;
        }
        let read = std::str::from_utf8(text).ok()?;
        let value = input(read).ok()??;
        let (list, counts) = list(read, &value).ok()??;
        let Counts { kind, count, tokens, most_tokens } = counts;
        let fits = count <= limits.inputs && most_tokens <= limits.tokens;
        fits.then(|| Self { text: text.clone(), value, list, kind, count, tokens, most_tokens })
    }

    /// The text around the value of `input`.
    pub fn around(&self) -> (&[u8], &[u8]) {
        (&self.text[..self.value.start], &self.text[self.value.end..])
    }

    /// The inputs as they are written, with what stands between them.
    pub fn list(&self) -> &[u8] {
        &self.text[self.list.clone()]
    }
}

/// The call with the inputs of all of these, which are equal around them.
pub(crate) fn merged<'a>(all: impl Iterator<Item = &'a Inputs> + Clone) -> Bytes {
    let Some((before, after)) = all.clone().next().map(Inputs::around) else { return Bytes::new() };
    let length: usize = all.clone().map(|inputs| inputs.list.len() + 1).sum();
    let mut body = Vec::with_capacity(before.len() + length + 1 + after.len());
    body.extend_from_slice(before);
    for (at, inputs) in all.enumerate() {
        body.push(if at == 0 { b'[' } else { b',' });
        body.extend_from_slice(inputs.list());
    }
    body.push(b']');
    body.extend_from_slice(after);
    body.into()
}

/// Where the value of `input` stands, if it stands once, and no key is written so that it might be another.
fn input(text: &str) -> Result<Option<Range<usize>>, Fault> {
    let (mut reader, mut found) = (Reader::new(text, 0), None);
    reader.object()?;
    while let Some(key) = reader.key()? {
        let start = reader.at();
        let value = reader.value()?;
        if key.has_escapes() || key.raw().eq_ignore_ascii_case(b"input") && (found.is_some() || key.raw() != b"input") {
            return Ok(None);
        }
        if key.raw() == b"input" {
            found = Some(start..start + value.len());
        }
    }
    reader.end()?;
    Ok(found)
}

/// The inputs that this value has.
fn list(text: &str, value: &Range<usize>) -> Result<Option<(Range<usize>, Counts)>, Fault> {
    if text.as_bytes().get(value.start) == Some(&b'"') {
        let mut counts = Counts { kind: Kind::Texts, count: 0, tokens: 0, most_tokens: 0 };
        return Ok(counts.text(&text[value.clone()]).map(|()| (value.clone(), counts)));
    }
    let mut reader = Reader::new(text, value.start);
    reader.list()?;
    let mut all: Option<(Range<usize>, Counts)> = None;
    while reader.item()? {
        let (start, first) = (reader.at(), reader.peek());
        if first.is_some_and(|byte| byte.is_ascii_digit()) {
            // the list is one input of tokens
            let count = tokens(text, value.start)?;
            let counts = |count| Counts { kind: Kind::Tokens, count: 1, tokens: count, most_tokens: count };
            return Ok(count.map(|count| (value.clone(), counts(count))));
        }
        let item = reader.value()?;
        let kind = if first == Some(b'"') { Kind::Texts } else { Kind::Tokens };
        let (place, counts) = all.get_or_insert((start..start, Counts { kind, count: 0, tokens: 0, most_tokens: 0 }));
        place.end = start + item.len();
        let counted = match (kind == counts.kind, kind) {
            (true, Kind::Texts) => counts.text(item),
            (true, Kind::Tokens) if first == Some(b'[') => tokens(text, start)?.map(|count| counts.add(count, count)),
            _ => None,
        };
        if counted.is_none() {
            return Ok(None);
        }
    }
    Ok(all)
}

/// The tokens of the input at this place; none where it is no list of tokens, or an empty one.
fn tokens(text: &str, at: usize) -> Result<Option<u64>, Fault> {
    let (mut reader, mut count) = (Reader::new(text, at), 0);
    reader.list()?;
    while reader.item()? {
        if !reader.value()?.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        count += 1;
    }
    Ok((count > 0).then_some(count))
}

impl Counts {
    /// Counts a text, as it is written; none where it is empty, which providers refuse.
    fn text(&mut self, item: &str) -> Option<()> {
        let bytes = bytes(item);
        (bytes > 0).then(|| self.add(bytes.div_ceil(BYTES_PER_TOKEN), bytes))
    }

    fn add(&mut self, tokens: u64, most_tokens: u64) {
        self.count += 1;
        self.tokens += tokens;
        self.most_tokens += most_tokens;
    }
}

/// The bytes of a string, by the way it is written.
fn bytes(written: &str) -> u64 {
    let mut rest = written.as_bytes().get(1..written.len() - 1).unwrap_or_default();
    let mut bytes = 0;
    while let [first, after @ ..] = rest {
        let (takes, says) = match (first, after) {
            (b'\\', [b'u', ..]) => (6, 3),
            (b'\\', _) => (2, 1),
            _ => (1, 1),
        };
        rest = rest.get(takes..).unwrap_or_default();
        bytes += says;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn inputs(text: &str) -> Option<Inputs> {
        Inputs::of(&Bytes::from(text.to_owned()), &Config::default().limits())
    }

    #[test]
    fn each_form_of_input_is_read_as_it_is_written() {
        for (input, list, kind, count, tokens) in [
            (r#""hello""#, r#""hello""#, Kind::Texts, 1, 2),
            (r#"["a","bcde" , "\u00e9\n"]"#, r#""a","bcde" , "\u00e9\n""#, Kind::Texts, 3, 3),
            ("[1, 2,3]", "[1, 2,3]", Kind::Tokens, 1, 3),
            ("[ [1],[2,3] ]", "[1],[2,3]", Kind::Tokens, 2, 3),
        ] {
            let text = format!(r#"{{"model":"m", "input" : {input} ,"dimensions":3}}"#);
            let read = inputs(&text).unwrap();
            assert_eq!(std::str::from_utf8(read.list()).unwrap(), list);
            assert_eq!((read.kind, read.count, read.tokens), (kind, count, tokens), "{input}");
            let (before, after) = read.around();
            assert_eq!((before, after), (&br#"{"model":"m", "input" : "#[..], &br#" ,"dimensions":3}"#[..]));
        }
    }

    #[test]
    fn what_is_not_for_certain_a_call_with_inputs_is_not_merged() {
        let many = format!(r#"{{"input":[{}"b"]}}"#, r#""a","#.repeat(256));
        let long = format!(r#"{{"input":"{}"}}"#, "a".repeat(300_001));
        let large = format!(r#"{{"input":"a","x":"{}"}}"#, "a".repeat(LARGEST_TEXT));
        for text in [
            "{}",
            "[]",
            r#"{"input":null}"#,
            r#"{"input":""}"#,
            r#"{"input":[]}"#,
            r#"{"input":["a",""]}"#,
            r#"{"input":["a",[1]]}"#,
            r#"{"input":[[1],"a"]}"#,
            r#"{"input":["a",1]}"#,
            r#"{"input":[1,"a"]}"#,
            r#"{"input":[1,-2]}"#,
            r#"{"input":[1.5]}"#,
            r#"{"input":[[]]}"#,
            r#"{"input":[[[1]]]}"#,
            r#"{"input":[{}]}"#,
            r#"{"input":[null]}"#,
            r#"{"input":{"a":1}}"#,
            r#"{"input":"a","input":"b"}"#,
            r#"{"input":"a","INPUT":"b"}"#,
            r#"{"input":"a","inpu\u0074":"b"}"#,
            r#"{"input":"a"} x"#,
            r#"{"input":"a""#,
            &many,
            &long,
            &large,
        ] {
            assert!(inputs(text).is_none(), "{}", &text[..text.len().min(80)]);
        }
        assert!(Inputs::of(&Bytes::from_static(b"{\"input\":\"\xff\"}"), &Config::default().limits()).is_none());
    }

    #[test]
    fn a_merged_call_is_the_first_with_the_inputs_of_all() {
        let all = [r#"{"input":"a","n":1}"#, r#"{"input":["b", "c"],"n":1}"#, r#"{"input":["d"],"n":1}"#];
        let all: Vec<Inputs> = all.iter().map(|text| inputs(text).unwrap()).collect();
        assert_eq!(merged(all.iter()), r#"{"input":["a","b", "c","d"],"n":1}"#);
        let all = [r#"{"input":[1,2]}"#, r#"{"input":[[3],[4]]}"#].map(|text| inputs(text).unwrap());
        assert_eq!(merged(all.iter()), r#"{"input":[[1,2],[3],[4]]}"#);
    }

    #[test]
    fn the_bytes_of_a_text_are_those_behind_its_escapes() {
        for (written, wanted) in [(r#""""#, 0), (r#""ab""#, 2), (r#""\n\"""#, 2), (r#""\u4f60x""#, 4), ("\"é\"", 2)] {
            assert_eq!(bytes(written), wanted, "{written}");
        }
    }
}
