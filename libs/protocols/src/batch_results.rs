//! The results of a batch, as they are downloaded: one JSON object a line. Knows no request that is named in them.

use http::HeaderMap;

use crate::lenient_object::LenientObject;
use crate::reader::Coding;
use crate::response::usage_object;
use crate::slot::{Extractor, Members, Slot};
use crate::usage::{BatchResult, Usage};
use crate::usage_text::UsageText;
use crate::{Protocol, compatible};

/// The results of a protocol's batches.
pub(crate) struct BatchResults {
    /// The last segments of the path of a download, of which `*` is the batch.
    pub(crate) path: &'static [&'static str],
    /// What is looked for in a line.
    pub(crate) line: Members,
    /// The meaning of the provider's usage.
    pub(crate) usage: fn(&LenientObject<'_>) -> Usage,
}

impl BatchResults {
    /// The batch whose results have this path.
    fn batch<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut segments = path.strip_suffix('/').unwrap_or(path).rsplit('/');
        let mut batch = None;
        for name in self.path.iter().rev() {
            let segment = segments.next()?;
            match *name {
                "*" if !segment.is_empty() => batch = Some(segment),
                name if name == segment => {}
                _ => return None,
            }
        }
        batch
    }
}

/// The batch whose results a GET of this path downloads (`…/messages/batches/{id}/results`), and the protocol that it is of.
#[must_use]
pub fn batch_of_results(path: &str) -> Option<(&'static Protocol, &str)> {
    Protocol::all().iter().find_map(|protocol| Some((*protocol, protocol.batch_results?.batch(path)?)))
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
    usage: fn(&LenientObject<'_>) -> Usage,
    begun: bool,
}

impl BatchReader {
    /// A reader of the results of this batch, of this protocol, whose download has these headers. Finds nothing where the
    /// protocol has no batches.
    #[must_use]
    pub fn new(protocol: &Protocol, batch: &str, headers: &HeaderMap) -> Self {
        let (members, usage) =
            protocol.batch_results.map_or((&[][..], compatible::usage as _), |of| (of.line, of.usage));
        let lines = Lines { batch: batch.to_owned(), line: Extractor::new(members), usage, begun: false };
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
        text.replace(usage_object(&self.line)?);
        let raw = text.finish()?;
        let mut usage = (self.usage)(&LenientObject::of(raw.get())?);
        usage.raw = Some(raw);
        let custom_id = self.line.string(Slot::CustomId)?;
        Some(BatchResult { batch: self.batch.clone(), custom_id, model: self.line.string(Slot::Model), usage })
    }
}
