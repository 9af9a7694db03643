//! The results of a batch of messages, as they are downloaded: one JSON object a line. Knows no request that is named in them.

use http::HeaderMap;
use plugin_api::BatchResult;

use crate::dialect::slot::{Extractor, Members, Pattern, Slot};

use super::Coding;
use super::facts::usage;
use super::usage_text::UsageText;
use super::{anthropic, figures::Figures};

/// The batch whose results a GET of this path downloads: `…/messages/batches/{id}/results`.
#[must_use]
pub fn batch_of_results(path: &str) -> Option<&str> {
    let mut segments = path.strip_suffix('/').unwrap_or(path).rsplit('/');
    let tail = [(); 4].map(|()| segments.next().unwrap_or_default());
    let [results, id, batches, messages] = tail;
    (results == "results" && batches == "batches" && messages == "messages" && !id.is_empty()).then_some(id)
}

/// A download on its way.
#[derive(Debug)]
pub struct BatchReader {
    coding: Coding,
    lines: Lines,
}

#[derive(Debug)]
struct Lines {
    batch: String,
    line: Extractor,
    begun: bool,
}

const RESULT: Members = &[
    ("custom_id", Pattern::Value(Slot::CustomId)),
    (
        "result",
        Pattern::Members(&[(
            "message",
            Pattern::Members(&[("model", Pattern::Value(Slot::Model)), ("usage", Pattern::Value(Slot::Usage))]),
        )]),
    ),
];

impl BatchReader {
    /// A reader of the results of this batch, whose download has these headers.
    #[must_use]
    pub fn new(batch: &str, headers: &HeaderMap) -> Self {
        let lines = Lines { batch: batch.to_owned(), line: Extractor::new(RESULT), begun: false };
        Self { coding: Coding::of(headers), lines }
    }

    /// The next bytes of the body; each result that has cost something is handed on when its line is over.
    pub fn feed(&mut self, bytes: &[u8], results: &mut dyn FnMut(BatchResult)) {
        let lines = &mut self.lines;
        self.coding.feed(bytes, &mut |bytes| lines.feed(bytes, results));
    }

    /// The body is complete: so is a last line without an end.
    pub fn finish(&mut self, results: &mut dyn FnMut(BatchResult)) {
        self.lines.end_line(results);
    }
}

impl Lines {
    fn feed(&mut self, mut bytes: &[u8], results: &mut dyn FnMut(BatchResult)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.line.feed(&bytes[..end]);
            self.begun = true;
            self.end_line(results);
            bytes = &bytes[end + 1..];
        }
        self.begun |= !bytes.is_empty();
        self.line.feed(bytes);
    }

    fn end_line(&mut self, results: &mut dyn FnMut(BatchResult)) {
        if std::mem::take(&mut self.begun)
            && self.line.is_complete()
            && let Some(result) = self.result()
        {
            results(result);
        }
        self.line.begin();
    }

    fn result(&self) -> Option<BatchResult> {
        let mut text = UsageText::default();
        text.replace(usage(&self.line)?);
        let raw = text.finish()?;
        let mut usage = anthropic::usage(&Figures::of(raw.get())?);
        usage.raw = Some(raw);
        let custom_id = self.line.string(Slot::CustomId)?;
        Some(BatchResult { batch: self.batch.clone(), custom_id, model: self.line.string(Slot::Model), usage })
    }
}
