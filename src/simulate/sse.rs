//! Server-sent events as the providers write them, and the script of a stream: what comes first, each token, what comes last.

use serde::Serialize;

use super::words::Words;

/// Adds a value as JSON.
pub(super) fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    // Memory takes any bytes and these types have no value that JSON lacks, so this cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

/// Adds an event that has a name, as Anthropic and OpenAI's Responses send them.
pub(super) fn event(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    self::data(out, data);
}

/// Adds an event without a name, as OpenAI's chunks come.
pub(super) fn data(out: &mut Vec<u8>, data: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    json(out, data);
    out.extend_from_slice(b"\n\n");
}

/// Adds what ends OpenAI's streams of chunks.
pub(super) fn done(out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: [DONE]\n\n");
}

/// Adds the event of the token with a certain index to what is sent.
pub(super) type WriteToken = Box<dyn Fn(&mut Vec<u8>, u64) + Send>;

/// Writes tokens whose events differ in nothing but the word: `before` has the words of each choice and what stands before them, `after`
/// what stands behind. The choices take turns.
pub(super) fn words_between(before: Vec<(Words, Vec<u8>)>, after: &'static [u8]) -> WriteToken {
    Box::new(move |out: &mut Vec<u8>, index| {
        let choices = before.len() as u64;
        let (words, before) = &before[(index % choices) as usize];
        out.extend_from_slice(before);
        out.extend_from_slice(words.get(index / choices).as_bytes());
        out.extend_from_slice(after);
    })
}

/// A stream before it is sent.
pub(super) struct Script {
    /// The events before the first token.
    pub(super) head: Vec<u8>,
    /// Adds the event of the token with this index.
    pub(super) token: WriteToken,
    /// How many tokens there are.
    pub(super) tokens: u64,
    /// The events after the last token.
    pub(super) tail: Vec<u8>,
}

#[cfg(test)]
impl Script {
    /// The data of all its events, parsed; `[DONE]` as a string. Checks that a name, where there is one, agrees with the type.
    pub(super) fn play(&self) -> Vec<serde_json::Value> {
        let mut stream = self.head.clone();
        for index in 0..self.tokens {
            (self.token)(&mut stream, index);
        }
        stream.extend_from_slice(&self.tail);
        let stream = String::from_utf8(stream).unwrap();
        let events = stream.strip_suffix("\n\n").unwrap().split("\n\n");
        events
            .map(|event| {
                let (name, data) = match event.split_once('\n') {
                    Some((name, data)) => (name.strip_prefix("event: "), data),
                    None => (None, event),
                };
                let data = data.strip_prefix("data: ").unwrap();
                if data == "[DONE]" {
                    return data.into();
                }
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                assert_eq!(name, data["type"].as_str());
                data
            })
            .collect()
    }
}
