//! Encoded bodies: whole, broken, stacked, ambiguous, and bombs.

use std::io::Read;

use http::HeaderValue;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use super::*;

const TEXT: &[u8] = br#"{"max_tokens":5000,"messages":[{"role":"user","content":"hello hello hello"}]}"#;

fn headers(values: &[&'static str]) -> HeaderMap {
    values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value))).collect()
}

fn decoded(headers: &HeaderMap, body: &Bytes, max: usize) -> Result<Option<Bytes>, String> {
    super::decode(headers, body, max).map_err(|error| error.to_string())
}

fn decode(encoding: &'static str, body: &[u8]) -> Result<Option<Bytes>, String> {
    decoded(&headers(&[encoding]), &Bytes::copy_from_slice(body), 1 << 20)
}

fn deflated(text: &[u8], zlib_header: bool, window_bits: u8) -> Vec<u8> {
    let mut encoded = vec![0; text.len() + 1024];
    let mut stream = Deflate::new(6, zlib_header, window_bits);
    assert_eq!(stream.compress(text, &mut encoded, DeflateFlush::Finish).unwrap(), Status::StreamEnd);
    encoded.truncate(usize::try_from(stream.total_out()).unwrap());
    encoded
}

fn gzip(text: &[u8]) -> Vec<u8> {
    deflated(text, true, 16 + 15)
}

fn brotli(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorReader::new(text, 4096, 5, 22).read_to_end(&mut encoded).unwrap();
    encoded
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

#[test]
fn every_encoding_is_taken_off() {
    for (name, encoded) in [
        ("gzip", gzip(TEXT)),
        ("X-GZip", gzip(TEXT)),
        ("deflate", deflated(TEXT, true, 15)),
        ("deflate", deflated(TEXT, false, 15)),
        ("br", brotli(TEXT)),
        ("zstd", zstd(TEXT)),
        ("zstd, identity", zstd(TEXT)),
        ("gzip,br", brotli(&gzip(TEXT))),
        ("br , zstd,, gzip", gzip(&zstd(&brotli(TEXT)))),
    ] {
        assert_eq!(decode(name, &encoded).unwrap().unwrap(), TEXT, "{name}");
    }
    let stacked = decoded(&headers(&["gzip", "br"]), &brotli(&gzip(TEXT)).into(), 1 << 20);
    assert_eq!(stacked.unwrap().unwrap(), TEXT);
}

#[test]
fn without_encoding_there_is_nothing_to_decode() {
    let body = Bytes::from_static(TEXT);
    for values in [&[][..], &["identity"], &[""], &["identity, identity"]] {
        assert_eq!(decoded(&headers(values), &body, 1), Ok(None));
    }
}

#[test]
fn parts_one_after_another_are_all_decoded() {
    let (front, back) = TEXT.split_at(20);
    assert_eq!(decode("gzip", &[gzip(front), gzip(b""), gzip(back)].concat()).unwrap().unwrap(), TEXT);
    assert_eq!(decode("zstd", &[zstd(front), zstd(b""), zstd(back)].concat()).unwrap().unwrap(), TEXT);
    let flood = gzip(b"").repeat(MOST_MEMBERS + 1);
    assert!(decode("gzip", &flood).is_err());
}

#[test]
fn broken_and_unknown_encodings_are_errors() {
    for (name, encoded) in [
        ("gzip", TEXT.to_vec()),
        ("deflate", TEXT.to_vec()),
        ("br", TEXT.to_vec()),
        ("zstd", TEXT.to_vec()),
        ("gzip", zstd(TEXT)),
        ("gzip, gzip", gzip(TEXT)),
        ("gzip,gzip,gzip,gzip", gzip(&gzip(&gzip(&gzip(TEXT))))),
        ("compress", TEXT.to_vec()),
        ("gzip;q=1", gzip(TEXT)),
    ] {
        assert!(decode(name, &encoded).is_err(), "{name}");
    }
    for (name, encoded) in
        [("gzip", gzip(TEXT)), ("deflate", deflated(TEXT, true, 15)), ("br", brotli(TEXT)), ("zstd", zstd(TEXT))]
    {
        for length in 0..encoded.len() {
            assert!(decode(name, &encoded[..length]).is_err() || length == 0, "{name} cut at {length}");
        }
        assert!(decode(name, &[&encoded[..], b"{}"].concat()).is_err(), "{name} with more behind it");
    }
    let mut checksum = gzip(TEXT);
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    assert!(decode("gzip", &checksum).is_err());
}

#[test]
fn deflate_that_reads_in_two_ways_is_an_error() {
    let bytes = two_ways();
    for expect_header in [true, false] {
        let mut text = vec![0; 1 << 17];
        let status = Inflate::new(expect_header, 15).decompress(&bytes, &mut text, InflateFlush::Finish);
        assert_eq!(status, Ok(Status::StreamEnd), "with header: {expect_header}");
    }
    assert_eq!(decode("deflate", &bytes), Err("its deflate data can be read in two ways".into()));
}

/// A stream could not tell them by their first byte.
#[test]
fn deflate_that_begins_as_zlib_and_is_none_is_broken() {
    let padded = b"\x78\0\0\xff\xff\xab\x02\x01\0";
    assert_eq!(Inflate::new(false, 15).decompress(padded, &mut [0; 16], InflateFlush::Finish), Ok(Status::StreamEnd));
    assert!(decode("deflate", padded).is_err());
}

/// Bytes that are one text with zlib's header and another without.
///
/// Without, the header's first byte begins a stored block, and the next four are its length, twice. With it, the
/// third byte begins a stored block, whose length is the complement of that of the other. What comes behind the
/// shorter of them is text to the longer, so it can be made a last block that holds all the rest.
fn two_ways() -> Vec<u8> {
    let outer = u16::from_le_bytes([0x01, 0x08]);
    let inner = usize::from(!outer);
    let mut bytes = vec![0x78];
    bytes.extend(stored_block_length(outer));
    bytes.extend(outer.to_le_bytes());
    let mut text = vec![b'x'; inner];
    let last_block = 5 + usize::from(outer);
    let rest = bytes.len() + inner + 5 + 4 - (last_block + 5);
    text[last_block - bytes.len()] = 1;
    text[last_block - bytes.len() + 1..][..4].copy_from_slice(&stored_block_length(u16::try_from(rest).unwrap()));
    bytes.extend(&text);
    bytes.push(1);
    bytes.extend(stored_block_length(0));
    bytes.extend(adler32(&text).to_be_bytes());
    bytes
}

fn stored_block_length(length: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (length.to_le_bytes(), (!length).to_le_bytes());
    [a, b, c, d]
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

#[test]
fn a_bomb_is_an_error_as_soon_as_it_passes_the_bound() {
    let zeros = vec![b' '; 64 << 20];
    for (name, bomb) in [
        ("gzip", gzip(&zeros)),
        ("deflate", deflated(&zeros, true, 15)),
        ("deflate", deflated(&zeros, false, 15)),
        ("br", brotli(&zeros)),
        ("zstd", zstd(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ] {
        assert!(bomb.len() < 1 << 20, "{name}");
        let result = decoded(&headers(&[name]), &bomb.into(), 1 << 20);
        assert_eq!(result, Err(format!("it decodes to more than {} bytes", 1 << 20)), "{name}");
    }
}

#[test]
fn a_body_that_is_packed_more_densely_than_text_is_an_error() {
    let spaces = |length| vec![b' '; length];
    let dense = [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("deflate", |text| deflated(text, true, 15)),
        ("deflate", |text| deflated(text, false, 15)),
        ("br", brotli),
        ("zstd", zstd),
        ("gzip, gzip", |text| gzip(&gzip(text))),
        ("br, gzip", |text| gzip(&brotli(text))),
    ];
    for (name, pack) in dense {
        // a prompt that repeats itself for some MB is none
        let prompt = pack(&spaces(FREE));
        assert_eq!(decoded(&headers(&[name]), &prompt.into(), 64 << 20).unwrap().unwrap().len(), FREE, "{name}");
        let bomb = pack(&spaces(32 << 20));
        let most = FREE + RATIO * bomb.len();
        assert_eq!(
            decoded(&headers(&[name]), &bomb.into(), 64 << 20),
            Err(format!("it is packed more densely than text is: it decodes to more than {most} bytes")),
            "{name}"
        );
    }
    // what is packed as text is may be as long as any
    let mut noise = 1_u32;
    let text: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"etaoin shrdlu"[(noise >> 24) as usize % 13]
    })
    .take(FREE + (4 << 20))
    .collect();
    assert_eq!(decoded(&headers(&["zstd"]), &zstd(&text).into(), 64 << 20).unwrap().unwrap(), text);
}

#[test]
fn exactly_as_long_as_allowed_is_not_too_long() {
    for (name, encoded) in
        [("gzip", gzip(TEXT)), ("deflate", deflated(TEXT, true, 15)), ("br", brotli(TEXT)), ("zstd", zstd(TEXT))]
    {
        let body = Bytes::from(encoded);
        assert!(decoded(&headers(&[name]), &body, TEXT.len()).is_ok(), "{name}");
        assert!(decoded(&headers(&[name]), &body, TEXT.len() - 1).is_err(), "{name}");
    }
}

#[test]
fn windows_larger_than_the_standards_allow_are_errors() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    std::io::copy(&mut std::io::repeat(b' ').take(1000), &mut encoder).unwrap();
    assert!(decode("zstd", &encoder.finish().unwrap()).is_err());
    // the header of brotli's large windows, 30 bits of them
    assert!(decode("br", &[0x11, 0x1E, 0x03]).is_err());
}
