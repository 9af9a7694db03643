//! A part of a response's body that a plugin may change on its way to the client.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::Context;

/// What a part is of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// One server-sent event of a `text/event-stream`, with its line ends.
    Event,
    /// One line of an `application/x-ndjson`, with its line end.
    Line,
    /// The whole body, whatever it is.
    Whole,
    /// The clean end of a body of events or lines: a plugin that held something back adds it here. Without bytes. A body
    /// that breaks off has no end.
    End,
}

impl PartKind {
    /// What the parts of a body with these headers are, by its `content-type`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        match media_type(headers).as_deref() {
            Some("text/event-stream") => Self::Event,
            Some("application/x-ndjson" | "application/jsonl" | "application/x-jsonl") => Self::Line,
            _ => Self::Whole,
        }
    }
}

/// Whether a body with these headers is one that APIs of models answer with: events, lines or JSON. One that does not say what
/// it is may be.
#[must_use]
pub fn is_text_of_an_api(headers: &HeaderMap) -> bool {
    let is_json = |kind: &str| kind == "application/json" || kind.ends_with("+json");
    PartKind::of(headers) != PartKind::Whole || media_type(headers).is_none_or(|kind| is_json(&kind))
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// A part of a response's body, decoded, as [`Plugin::on_part`](crate::Plugin::on_part) sees it. Left alone, it passes
/// unchanged.
#[derive(Debug)]
pub struct Part<'a> {
    /// The context of the request, the same for every hook.
    pub context: &'a Context,
    kind: PartKind,
    bytes: &'a Bytes,
    replacement: Option<Bytes>,
    cut: Option<&'static str>,
}

impl<'a> Part<'a> {
    /// A part of these bytes.
    #[must_use]
    pub fn new(context: &'a Context, kind: PartKind, bytes: &'a Bytes) -> Self {
        Self { context, kind, bytes, replacement: None, cut: None }
    }

    /// What it is of its body.
    #[must_use]
    pub fn kind(&self) -> PartKind {
        self.kind
    }

    /// Its bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &'a Bytes {
        self.bytes
    }

    /// What it says: of an event the data, its lines joined by LF; of a line all but its end; else the bytes.
    ///
    /// ```
    /// # use plugin_api::{Bytes, Part, PartKind, testing::context};
    /// let (context, event) = (context(), Bytes::from_static(b"event: a\ndata: {\ndata: }\n\n"));
    /// assert_eq!(&*Part::new(&context, PartKind::Event, &event).data(), b"{\n}");
    /// ```
    #[must_use]
    pub fn data(&self) -> Cow<'a, [u8]> {
        match self.kind {
            PartKind::Event => {}
            PartKind::Line => return Cow::Borrowed(lines(self.bytes).next().map_or(b"", |(line, _)| line)),
            PartKind::Whole | PartKind::End => return Cow::Borrowed(self.bytes),
        }
        let mut lines = lines(self.bytes).filter_map(|(line, _)| data_of(line));
        let Some(first) = lines.next() else { return Cow::Borrowed(b"") };
        let mut all = Cow::Borrowed(first);
        for line in lines {
            let all = all.to_mut();
            all.push(b'\n');
            all.extend_from_slice(line);
        }
        all
    }

    /// Its bytes with other data. The name, the id and the comments of an event stay.
    ///
    /// ```
    /// # use plugin_api::{Bytes, Part, PartKind, testing::context};
    /// let (context, event) = (context(), Bytes::from_static(b"event: a\ndata: x\n\n"));
    /// assert_eq!(Part::new(&context, PartKind::Event, &event).with_data("y"), "event: a\ndata: y\n\n");
    /// ```
    #[must_use]
    pub fn with_data(&self, data: impl AsRef<[u8]>) -> Bytes {
        let data = data.as_ref();
        let mut out = BytesMut::with_capacity(self.bytes.len() + data.len());
        match self.kind {
            PartKind::Event => put_event(&mut out, self.bytes, data),
            PartKind::Line => {
                out.put(data);
                out.put(lines(self.bytes).next().map_or(&b"\n"[..], |(_, end)| end));
            }
            PartKind::Whole | PartKind::End => out.put(data),
        }
        out.freeze()
    }

    /// Puts other data in the place of its own; see [`with_data`](Self::with_data).
    pub fn set_data(&mut self, data: impl AsRef<[u8]>) {
        self.replacement = Some(self.with_data(data));
    }

    /// Puts these bytes in the place of its own: any number of events or lines, each complete, or another body.
    pub fn replace(&mut self, bytes: impl Into<Bytes>) {
        self.replacement = Some(bytes.into());
    }

    /// Leaves it out.
    pub fn remove(&mut self) {
        self.replacement = Some(Bytes::new());
    }

    /// Ends the response: this part (unless it was replaced) and all that follow do not reach the client, and the call
    /// upstream is given up. The client gets a proper end in its own dialect, which says that the answer was refused: the
    /// stop reason `refusal` or `content_filter`, or an error event where the API has none.
    ///
    /// The exchange counts as refused by this plugin, for this reason: one word of a fixed set, as in a
    /// [`Refusal`](crate::Refusal).
    pub fn cut(&mut self, reason: &'static str) {
        self.cut = Some(reason);
    }

    /// What the plugin made of it.
    #[must_use]
    pub fn into_change(self) -> Change {
        let bytes = match (self.replacement, self.cut) {
            (Some(replacement), _) => replacement,
            (None, Some(_)) => Bytes::new(),
            (None, None) => self.bytes.clone(),
        };
        Change { bytes, cut: self.cut }
    }
}

/// What a plugin made of a part.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// What goes on in its place; nothing if it was left out.
    pub bytes: Bytes,
    /// Why the response ends with them, if it does.
    pub cut: Option<&'static str>,
}

/// Writes an event with this data in the place of its own, or before the blank line if it has none.
fn put_event(out: &mut BytesMut, event: &[u8], data: &[u8]) {
    let mut is_written = false;
    let mut is_begun = false;
    for (line, end) in lines(event) {
        // an LF that belongs to the event before this one is no blank line
        let is_blank = line.is_empty() && is_begun;
        let is_data = data_of(line).is_some();
        if (is_blank || is_data) && !std::mem::replace(&mut is_written, true) {
            for line in data.split(|byte| *byte == b'\n') {
                out.put(&b"data: "[..]);
                out.put(line);
                out.put(end);
            }
        }
        if !is_data {
            out.put(line);
            out.put(end);
        }
        is_begun |= !line.is_empty();
    }
}

/// The lines of an event, each apart from its end: LF, CR LF or CR.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(at);
        let (end, next) = behind.split_at(if behind.starts_with(b"\r\n") { 2 } else { behind.len().min(1) });
        rest = next;
        Some((line, end))
    })
}

/// The data of a line, if it is one of data.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).strip_prefix(b"data")?;
    match rest {
        [] => Some(rest),
        [b':', b' ', data @ ..] | [b':', data @ ..] => Some(data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn changed(kind: PartKind, bytes: &'static str, change: impl FnOnce(&mut Part<'_>)) -> String {
        let (context, bytes) = (Context::new(Uuid::nil()), Bytes::from_static(bytes.as_bytes()));
        let mut part = Part::new(&context, kind, &bytes);
        change(&mut part);
        String::from_utf8(part.into_change().bytes.to_vec()).unwrap()
    }

    #[test]
    fn an_event_keeps_all_but_its_data() {
        for (event, data, wanted) in [
            ("event: a\nid: 1\ndata: {}\n\n", "x", "event: a\nid: 1\ndata: x\n\n"),
            ("data:{}\r\n\r\n", "x", "data: x\r\n\r\n"),
            ("data: a\ndata: b\nretry: 3\n\n", "x", "data: x\nretry: 3\n\n"),
            ("data: a\rid: 1\r\r", "x\ny", "data: x\rdata: y\rid: 1\r\r"),
            (": comment\n\n", "x", ": comment\ndata: x\n\n"),
            ("data\n\n", "x", "data: x\n\n"),
        ] {
            assert_eq!(changed(PartKind::Event, event, |part| part.set_data(data)), wanted, "{event:?}");
            assert_eq!(changed(PartKind::Event, event, |_| {}), event);
        }
    }

    #[test]
    fn the_data_of_an_event_is_read_as_a_browser_reads_it() {
        for (event, data) in [
            ("data: {\"a\": 1}\n\n", "{\"a\": 1}"),
            ("event: e\ndata:  two\n\n", " two"),
            ("data: a\r\ndata\r\ndata:b\r\n\r\n", "a\n\nb"),
            ("\u{feff}data: a\n\n", "a"),
            ("\ndata: behind the LF of a CR LF\n\n", "behind the LF of a CR LF"),
            ("database: a\n: data: b\n\n", ""),
        ] {
            let (context, bytes) = (Context::new(Uuid::nil()), Bytes::from_static(event.as_bytes()));
            assert_eq!(&*Part::new(&context, PartKind::Event, &bytes).data(), data.as_bytes(), "{event:?}");
        }
    }

    #[test]
    fn lines_and_whole_bodies_are_replaced_removed_or_cut() {
        assert_eq!(changed(PartKind::Line, "{}\r\n", |part| part.set_data("[]")), "[]\r\n");
        assert_eq!(changed(PartKind::Line, "{}\n", |part| part.set_data(part.data())), "{}\n");
        assert_eq!(changed(PartKind::Line, "{}\n", |part| part.remove()), "");
        assert_eq!(changed(PartKind::Whole, "{}", |part| part.set_data("[]")), "[]");
        assert_eq!(changed(PartKind::End, "", |part| part.replace("more")), "more");
        assert_eq!(changed(PartKind::Event, "data: x\n\n", |part| part.cut("word")), "");
        let kept = |part: &mut Part<'_>| {
            part.set_data("y");
            part.cut("word");
        };
        assert_eq!(changed(PartKind::Event, "data: x\n\n", kept), "data: y\n\n");
    }
}
