//! The bodies of an exchange that are kept, up to a size, with credentials overwritten.

mod redact;

use std::time::Instant;

use plugin_api::http::HeaderMap;
use plugin_api::http::header::CONTENT_ENCODING;

use crate::row::{Body, Piece, Row};
use crate::settings::StoreBodies;

use redact::redact;

/// What is kept of an exchange's bodies.
#[derive(Debug)]
pub(crate) struct Kept {
    began: Instant,
    /// The caller's own key, which is taken out wherever it stands.
    secret: Vec<u8>,
    request: Option<Body>,
    response: Body,
    chunks: Vec<Piece>,
    chunk_bytes: usize,
}

impl Kept {
    pub(crate) fn new(secret: Option<&[u8]>) -> Self {
        Self {
            began: Instant::now(),
            secret: secret.unwrap_or_default().to_vec(),
            request: None,
            response: Body::default(),
            chunks: Vec::new(),
            chunk_bytes: 0,
        }
    }

    /// The request's body has been read; this is its text, without content-encoding.
    pub(crate) fn request(&mut self, text: &[u8], settings: &StoreBodies) {
        if settings.request_body {
            let mut body = Body::default();
            add(&mut body, text, settings.max_body.as_usize());
            self.request = Some(body);
        }
    }

    /// The answer's head has come.
    pub(crate) fn response_head(&mut self, headers: &HeaderMap) {
        let encoding = headers.get(CONTENT_ENCODING).and_then(|encoding| encoding.to_str().ok());
        self.response.encoding = encoding.map(str::to_ascii_lowercase);
    }

    /// Bytes of the answer are passing.
    pub(crate) fn response(&mut self, bytes: &[u8], settings: &StoreBodies) {
        let most = settings.max_body.as_usize();
        if bytes.is_empty() {
            return;
        }
        if settings.response_body {
            add(&mut self.response, bytes, most);
        }
        if settings.chunks && self.chunk_bytes < most {
            let kept = &bytes[..bytes.len().min(most - self.chunk_bytes)];
            self.chunk_bytes += kept.len();
            let after_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
            self.chunks.push(Piece { after_ms, bytes: kept.to_vec() });
        }
    }

    /// Moves all of it into a row.
    pub(crate) fn fill(&mut self, row: &mut Row) {
        let bodies = self.request.iter_mut().chain([&mut self.response]);
        for bytes in bodies.map(|body| &mut body.bytes).chain(self.chunks.iter_mut().map(|chunk| &mut chunk.bytes)) {
            redact(bytes, &self.secret);
        }
        row.request_body = self.request.take();
        row.response_body = Some(std::mem::take(&mut self.response)).filter(|body| !body.bytes.is_empty());
        row.chunks = std::mem::take(&mut self.chunks);
    }

    /// Takes it back from a row that may not be the last.
    pub(crate) fn take_back(&mut self, row: &mut Row) {
        self.request = row.request_body.take();
        self.response = row.response_body.take().unwrap_or_default();
        self.chunks = std::mem::take(&mut row.chunks);
    }
}

fn add(body: &mut Body, bytes: &[u8], most: usize) {
    let room = most - body.bytes.len().min(most);
    body.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    body.truncated |= bytes.len() > room;
}
