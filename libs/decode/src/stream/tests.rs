//! Bodies that are decoded as they pass: every encoding, every cut, and what pretends to be one.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use brotli::CompressorWriter;
use http::HeaderValue;
use proptest::prelude::*;
use zlib_rs::{Deflate, DeflateFlush};

use super::*;
use crate::engine::difference;

fn headers(encoding: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())])
}

fn decoded(encoding: &str, encoded: &[u8], cut: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(&headers(encoding))?.unwrap();
    let mut out = Vec::new();
    for piece in encoded.chunks(cut) {
        decoder.feed(piece, &mut |bytes| out.extend_from_slice(bytes))?;
    }
    Ok(out)
}

/// Each part flushed, so that it can be decoded without the next.
fn encoded(encoding: &str, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    match encoding {
        "gzip" => deflated(parts, true, 16 + 15),
        "deflate" => deflated(parts, true, 15),
        "br" => {
            let written = Written::default();
            let mut writer = CompressorWriter::new(written.clone(), 4096, 5, 22);
            let mut out = Vec::new();
            for part in parts {
                writer.write_all(part).unwrap();
                writer.flush().unwrap();
                out.push(written.0.take());
            }
            drop(writer);
            out.push(written.0.take());
            out
        }
        "zstd" => {
            let mut out = Vec::new();
            let mut writer = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            for part in parts {
                writer.write_all(part).unwrap();
                writer.flush().unwrap();
                out.push(std::mem::take(writer.get_mut()));
            }
            out.push(writer.finish().unwrap());
            out
        }
        _ => unreachable!(),
    }
}

/// What a compressor has written so far.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn deflated(parts: &[&[u8]], header: bool, window: u8) -> Vec<Vec<u8>> {
    let mut stream = Deflate::new(6, header, window);
    let mut out = Vec::new();
    for (at, part) in parts.iter().chain([&&b""[..]]).enumerate() {
        let last = at == parts.len();
        let mut room = vec![0; part.len() + 1024];
        let before = stream.total_out();
        stream.compress(part, &mut room, if last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush }).unwrap();
        room.truncate(difference(before, stream.total_out()));
        out.push(room);
    }
    out
}

const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

#[test]
fn each_part_of_a_stream_is_decoded_when_it_arrives() {
    let parts = [&b"data: one\n\n"[..], b"data: two\n\n", b"data: three\n\n"];
    for encoding in ENCODINGS {
        let mut decoder = Decoder::new(&headers(encoding)).unwrap().unwrap();
        for (piece, part) in encoded(encoding, &parts).iter().zip(parts) {
            let mut out = Vec::new();
            decoder.feed(piece, &mut |bytes| out.extend_from_slice(bytes)).unwrap();
            assert_eq!(out, part, "{encoding}");
        }
    }
}

#[test]
fn empty_pieces_do_not_matter_however_many() {
    for encoding in ENCODINGS {
        let mut decoder = Decoder::new(&headers(encoding)).unwrap().unwrap();
        let mut out = Vec::new();
        for piece in encoded(encoding, &[b"data: one\n\n"]).concat().chunks(5) {
            for piece in [&[][..]; 40].into_iter().chain([piece]) {
                decoder.feed(piece, &mut |bytes| out.extend_from_slice(bytes)).unwrap();
            }
        }
        assert_eq!(out, b"data: one\n\n", "{encoding}");
    }
}

#[test]
fn encodings_are_taken_off_one_behind_the_other() {
    let text = b"a text that is packed twice, a text that is packed twice".repeat(50);
    let once = encoded("br", &[&text]).concat();
    let twice = encoded("gzip", &[&once]).concat();
    for cut in [1, 7, 100_000] {
        assert_eq!(decoded("br, gzip", &twice, cut).unwrap(), text);
        assert_eq!(decoded("identity, x-gzip", &encoded("gzip", &[&text]).concat(), cut).unwrap(), text);
    }
    let bare = deflated(&[&text], false, 15).concat();
    assert_eq!(decoded("deflate", &bare, 3).unwrap(), text);
    let two_members = [encoded("gzip", &[b"a"]).concat(), encoded("gzip", &[b"b"]).concat()].concat();
    assert_eq!(decoded("gzip", &two_members, 2).unwrap(), b"ab");
}

#[test]
fn what_is_unknown_or_not_as_it_says_is_broken() {
    assert!(Decoder::new(&HeaderMap::new()).unwrap().is_none());
    assert!(Decoder::new(&headers("identity")).unwrap().is_none());
    assert!(Decoder::new(&headers("lz5")).is_err());
    assert!(Decoder::new(&headers("gzip, gzip, gzip, gzip")).is_err());
    for encoding in ENCODINGS {
        assert!(decoded(encoding, b"data: {\"type\":\"ping\"}\n\n no such thing", 5).is_err(), "{encoding}");
    }
}

/// The library sees it at once in small pieces only: it checks the length of a block where it waits for more.
#[test]
fn a_brotli_block_that_is_longer_than_it_says_is_never_whole() {
    let body = *b"\0\0\0\0\0\x01\0\0\0\0\0\0\x03\0\0\x01\0\0\0\x8e\0\0\0\0Ao\x03";
    let broken = DecodeError::Broken(Coding::Brotli);
    assert_eq!(crate::decode(&headers("br"), &body.to_vec().into(), 1 << 20), Err(broken.clone()));
    assert_eq!(decoded("br", &body, 1), Err(broken));
    assert_eq!(decoded("br", &body, body.len()).unwrap().len(), 3);
}

#[test]
fn a_bomb_is_left_alone_and_a_well_packed_text_is_not() {
    let bomb = vec![b' '; 64 << 20];
    for encoding in ENCODINGS {
        let packed = encoded(encoding, &[&bomb]).concat();
        let mut made = 0;
        let mut decoder = Decoder::new(&headers(encoding)).unwrap().unwrap();
        let broken =
            packed.chunks(16 << 10).any(|piece| decoder.feed(piece, &mut |bytes| made += bytes.len()).is_err());
        assert!(broken && made as u64 <= FREE + RATIO * packed.len() as u64, "{encoding} {made} of {}", packed.len());
        let text = vec![b' '; 1 << 20];
        assert_eq!(decoded(encoding, &encoded(encoding, &[&text]).concat(), 999).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn any_cutting_decodes_to_the_same(text in prop::collection::vec(any::<u8>(), 0..3000), cut in 1..500_usize) {
        for encoding in ENCODINGS {
            prop_assert_eq!(&decoded(encoding, &encoded(encoding, &[&text]).concat(), cut).unwrap(), &text);
        }
    }

    #[test]
    fn a_whole_body_and_a_stream_decode_to_the_same(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1000), 1..4),
        stack in prop::collection::vec(prop::sample::select(&ENCODINGS[..]), 1..4),
        cut in 1..300_usize,
        damage in prop::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
    ) {
        let parts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let mut body = parts.concat();
        for (at, coding) in stack.iter().enumerate() {
            body = if at == 0 { encoded(coding, &parts).concat() } else { encoded(coding, &[&body]).concat() };
        }
        let names = stack.join(", ");
        if let Some((at, bits)) = damage {
            let at = at.index(body.len());
            body[at] ^= bits;
        }
        let whole = crate::decode(&headers(&names), &body.clone().into(), 1 << 20);
        // what is whole streams the same; what is not may stream as far as it goes
        if let Ok(Some(whole)) = whole {
            prop_assert_eq!(decoded(&names, &body, cut).unwrap(), whole);
        } else {
            prop_assert!(damage.is_some());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1..50_usize) {
        for encoding in ENCODINGS {
            let _ = decoded(encoding, &bytes, cut);
            let mut broken = encoded(encoding, &[&[1, 2, 3, 4, 5, 6, 7, 8].repeat(20)]).concat();
            for (at, byte) in bytes.iter().enumerate().take(2) {
                let at = (at * 31 + usize::from(*byte)) % broken.len();
                broken[at] ^= byte;
            }
            let _ = decoded(encoding, &broken, cut);
        }
    }
}
