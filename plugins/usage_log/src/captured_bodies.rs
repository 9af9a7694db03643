//! The bodies of an exchange that are kept, up to a size, with credentials overwritten.

mod redact;

use std::time::Instant;

use plugin_api::http::HeaderMap;
use plugin_api::http::header::CONTENT_ENCODING;
use plugin_api::{BODIES, Charge, LONGEST_TEXT, shortened};

use crate::row::{Body, Piece, Row};
use crate::settings::StoreBodies;

use redact::redact;

pub(crate) use redact::Secrets;

/// In what steps it is charged to the budget for bodies.
const CHARGE_STEP: usize = 16 << 10;
/// How many times bytes are held: their room doubles as they come, and pieces of them are copies.
const COPIES: usize = 2;
/// So many pieces of an answer are kept apart whatever their size, and more of them as long as they have so many bytes on
/// average. What comes beyond is joined to the piece before it.
const PIECES: usize = 1000;
const PIECE: usize = 256;

/// What is kept of an exchange's bodies.
#[derive(Debug)]
pub(crate) struct CapturedBodies {
    began: Instant,
    /// The caller's own credentials, which are taken out wherever they stand.
    secrets: Secrets,
    request: Option<Body>,
    /// The answer, also where only its pieces are wanted: a key may lie across them.
    response: Body,
    /// The pieces of it: when each came, and its length.
    pieces: Vec<(i64, usize)>,
    chunks: Vec<Piece>,
    /// What all of it takes.
    charge: Charge,
    /// Whether credentials have been overwritten, and the pieces made.
    redacted: bool,
}

impl CapturedBodies {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            began: Instant::now(),
            secrets,
            request: None,
            response: Body::default(),
            pieces: Vec::new(),
            chunks: Vec::new(),
            charge: BODIES.charge(),
            redacted: false,
        }
    }

    /// The request's body has been read; this is its text, without content-encoding.
    pub(crate) fn request(&mut self, text: &[u8], settings: &StoreBodies) {
        if settings.request_body {
            let mut body = Body::default();
            add(&mut body, text, settings.max_body.as_usize(), 0, &mut self.charge);
            self.request = Some(body);
        }
    }

    /// The answer's head has come.
    pub(crate) fn response_head(&mut self, headers: &HeaderMap) {
        let encoding = headers.get(CONTENT_ENCODING).and_then(|encoding| encoding.to_str().ok());
        self.response.encoding = encoding.map(|encoding| shortened(encoding, LONGEST_TEXT).to_ascii_lowercase());
    }

    /// Bytes of the answer are passing.
    pub(crate) fn response(&mut self, bytes: &[u8], settings: &StoreBodies) {
        if bytes.is_empty() || !(settings.response_body || settings.chunks) {
            return;
        }
        let other = self.request.as_ref().map_or(0, |body| body.bytes.len());
        let length = add(&mut self.response, bytes, settings.max_body.as_usize(), other, &mut self.charge);
        if !settings.chunks || length == 0 {
            return;
        }
        let kept = self.pieces.len();
        match self.pieces.last_mut() {
            Some((_, last)) if kept >= PIECES && self.response.bytes.len() < kept * PIECE => *last += length,
            _ => {
                let after_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
                self.pieces.push((after_ms, length));
            }
        }
    }

    /// Moves all of it into a row; nothing more of the answer may come then.
    pub(crate) fn fill(&mut self, row: &mut Row, settings: &StoreBodies) {
        if !std::mem::replace(&mut self.redacted, true) {
            self.redact(settings);
        }
        row.request_body = self.request.take();
        row.response_body = Some(std::mem::take(&mut self.response)).filter(|body| !body.bytes.is_empty());
        row.chunks = std::mem::take(&mut self.chunks);
    }

    fn redact(&mut self, settings: &StoreBodies) {
        if let Some(request) = &mut self.request {
            redact(&mut request.bytes, &self.secrets);
        }
        redact(&mut self.response.bytes, &self.secrets);
        let mut rest = self.response.bytes.as_slice();
        self.chunks.reserve_exact(self.pieces.len());
        for (after_ms, length) in std::mem::take(&mut self.pieces) {
            let (bytes, after) = rest.split_at(length);
            self.chunks.push(Piece { after_ms, bytes: bytes.to_vec() });
            rest = after;
        }
        if !settings.response_body {
            self.response.bytes = Vec::new();
        }
    }

    /// Takes it back from a row that may not be the last.
    pub(crate) fn release(&mut self, row: &mut Row) {
        self.request = row.request_body.take();
        self.response = row.response_body.take().unwrap_or_default();
        self.chunks = std::mem::take(&mut row.chunks);
    }
}

/// Adds to a body what it has room for beside `other` bytes, and returns how much that is: nothing more once the budget is
/// spent.
fn add(body: &mut Body, bytes: &[u8], most: usize, other: usize, charge: &mut Charge) -> usize {
    let mut room = most - body.bytes.len().min(most);
    let held = body.bytes.len() + bytes.len().min(room) + other;
    if body.truncated || charge.cover(COPIES * held, CHARGE_STEP).is_err() {
        room = 0;
    }
    let length = bytes.len().min(room);
    body.bytes.extend_from_slice(&bytes[..length]);
    body.truncated |= bytes.len() > room;
    length
}

#[cfg(test)]
mod tests {
    use plugin_api::ByteSize;

    use super::*;

    /// Whether half of a key, or more, is in these bytes.
    fn leaks(bytes: &[u8], key: &str) -> bool {
        key.as_bytes().windows(key.len().div_ceil(2)).any(|half| memchr::memmem::find(bytes, half).is_some())
    }

    #[test]
    fn no_half_of_a_key_is_kept_wherever_the_answer_is_cut() {
        let own = "own-key-of-the-caller";
        for key in [own, "sk-ant-api03-abcdefghijk", "github_pat_abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE"] {
            let text = format!("the key is {key}, and so on");
            for (most, piece) in (1..=text.len()).flat_map(|most| (1..=text.len()).map(move |piece| (most, piece))) {
                let max_body = format!("{most}B").parse::<ByteSize>().unwrap();
                let settings = StoreBodies { request_body: true, response_body: true, chunks: true, max_body };
                let mut kept = CapturedBodies::new(Secrets::new([own.as_bytes()].into_iter()));
                kept.request(text.as_bytes(), &settings);
                text.as_bytes().chunks(piece).for_each(|bytes| kept.response(bytes, &settings));
                let mut row = Row::default();
                kept.fill(&mut row, &settings);
                let (request, response) = (row.request_body.unwrap().bytes, row.response_body.unwrap().bytes);
                let chunks: Vec<u8> = row.chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
                assert_eq!((response.len(), &request, &chunks), (most, &response, &response));
                assert!(!leaks(&response, key), "{most} {piece}: {}", String::from_utf8_lossy(&response));
            }
        }
    }

    #[test]
    fn many_small_pieces_are_joined_and_few_are_kept_apart() {
        let settings = StoreBodies { chunks: true, ..StoreBodies::default() };
        let chunks = |pieces: &[usize]| {
            let mut kept = CapturedBodies::new(Secrets::new(std::iter::empty()));
            pieces.iter().for_each(|length| kept.response(&b"x".repeat(*length), &settings));
            let mut row = Row::default();
            kept.fill(&mut row, &settings);
            row.chunks
        };
        assert_eq!(chunks(&[1; PIECES]).len(), PIECES);
        assert_eq!(chunks(&[PIECE; 3 * PIECES]).len(), 3 * PIECES);
        let joined = chunks(&[1; 600_000]);
        assert_eq!(joined.iter().map(|chunk| chunk.bytes.len()).sum::<usize>(), 600_000);
        assert!(joined.len() <= PIECES + 600_000 / PIECE, "{}", joined.len());
    }
}
