//! Decompression, as a whole and in pieces, against other decoders: `miniz_oxide`, `ruzstd`, and a later release of the brotli
//! crate. The first byte of an input chooses the encoding and what is done with the rest.

use bytes::Bytes;
use decode::{DecodeError, Decoder, decode};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

use crate::pieces::{Random, pieces};

/// The bound on what is decoded.
const MOST: usize = 512 << 10;
/// What the decoder in pieces allows of any body.
const FREE: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Coding {
    Gzip,
    Zlib,
    Raw,
    Brotli,
    Zstd,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib | Self::Raw => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// Checks one body.
pub fn check(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let random = &mut Random::of(input);
    let coding = [Coding::Gzip, Coding::Zlib, Coding::Raw, Coding::Brotli, Coding::Zstd][usize::from(how % 5)];
    match how / 5 % 4 {
        // the bytes are the body
        0 => drop(check_body(coding, rest, random)),
        // they are packed
        1 => {
            let body = pack(coding, rest);
            let decoded = check_body(coding, &body, random);
            // raw deflate may be zlib's format, too
            if !(matches!(coding, Coding::Raw) && decoded == Err(DecodeError::Ambiguous(decode::Coding::Deflate))) {
                assert_eq!(decoded.as_deref(), Ok(rest), "{coding:?}: what was packed comes out");
                assert!(!matches!(coding, Coding::Brotli) || is_read_byte_by_byte(&body), "by the oracle as well");
            }
        }
        // they are packed, and one byte is changed or the end is cut off
        2 => {
            let mut body = pack(coding, rest);
            let at = random.below(body.len());
            if random.one_in(2) {
                body.truncate(at)
            } else {
                body[at] ^= 1 << random.below(8)
            }
            drop(check_body(coding, &body, random));
        }
        // twice over
        _ => {
            let outer = [Coding::Gzip, Coding::Zlib, Coding::Brotli, Coding::Zstd][random.below(4)];
            let body = pack(outer, &pack(coding, rest));
            let names = format!("{}, {}", coding.name(), outer.name());
            let decoded = both_ways(&names, &body, random);
            if !matches!(coding, Coding::Raw) {
                assert_eq!(decoded.as_deref(), Ok(rest), "{names}");
            }
        }
    }
}

/// Decodes a body of one encoding by everything there is; what comes of it as a whole.
fn check_body(coding: Coding, body: &[u8], random: &mut Random) -> Result<Vec<u8>, DecodeError> {
    let decoded = both_ways(coding.name(), body, random);
    match (&decoded, coding) {
        (Ok(decoded), Coding::Zlib | Coding::Raw) => {
            let (zlib, raw) = (inflate(body, true), inflate(body, false));
            let agrees = |other: &Inflated| other.is_all_of(decoded, body.len());
            assert!(agrees(&zlib) || agrees(&raw), "the oracle reads no such deflate");
        }
        (Ok(decoded), _) => {
            let mut other = oracle(coding, body);
            if let (None, Coding::Brotli, Some((last, before))) = (&other, coding, body.split_last()) {
                // the bits behind the end are to be zeros; the gateway's reader does not look at them
                let masked = (0..8).map(|bits| [before, &[last & ((1 << bits) - 1)]].concat());
                other = masked.into_iter().find_map(|body| unbrotli(&body).filter(|other| other == decoded));
            }
            // ruzstd refuses frames that zstd's own library reads; and what a damaged frame without a checksum holds, each
            // decides for itself
            let is_open = matches!(coding, Coding::Zstd) && (other.is_none() || !has_checksum(body));
            assert!(is_open || other.as_ref() == Some(decoded), "{coding:?}: the oracle reads {body:02x?} differently");
        }
        (Err(DecodeError::Broken(_)), Coding::Gzip | Coding::Brotli) => {
            let other = oracle(coding, body);
            assert!(other.is_none(), "{coding:?}: the oracle reads it, as {} bytes", other.unwrap_or_default().len());
        }
        _ => {}
    }
    decoded
}

/// Decodes a body as a whole and in pieces, and compares.
fn both_ways(names: &str, body: &[u8], random: &mut Random) -> Result<Vec<u8>, DecodeError> {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(names).expect("names"))]);
    let bytes = Bytes::copy_from_slice(body);
    let whole = decode(&headers, &bytes, MOST).map(|decoded| decoded.expect("it is encoded").to_vec());
    let (first, first_error) = streamed(&headers, [body]);
    let (second, second_error) = streamed(&headers, pieces(body, random));
    let is_dense = |error: &Option<DecodeError>| matches!(error, Some(DecodeError::TooDense(_)));
    assert!(first.len() <= FREE + 250 * body.len() + (8 << 10), "its bound holds");
    // that a brotli block is longer than it says, the library sees at once in small pieces, and later or never in large ones
    let is_overlong = names == "br" && !is_read_byte_by_byte(body);
    if !is_dense(&first_error) && !is_dense(&second_error) {
        assert!(
            is_overlong || first_error == second_error,
            "{names}: {first_error:?} and {second_error:?}, as it is cut"
        );
        if first_error.is_none() && second_error.is_none() {
            assert!(first == second, "{names}: where it is cut does not matter");
        }
    }
    if let Ok(decoded) = &whole {
        assert!(decoded.len() <= MOST, "its bound holds");
        for (error, streamed) in [(&first_error, &first), (&second_error, &second)] {
            if !is_dense(error) && !(is_overlong && error.is_some()) {
                assert_eq!((error, streamed), (&None, decoded), "{names}: pieces and whole agree");
            }
        }
        let exact = decode(&headers, &bytes, decoded.len());
        if !names.contains(',') {
            assert!(exact.is_ok(), "{names}: {} bytes are not more than {}", decoded.len(), decoded.len());
            if let Some(less) = decoded.len().checked_sub(1) {
                assert_eq!(decode(&headers, &bytes, less), Err(DecodeError::TooLarge(less)), "{names}");
            }
        }
    }
    whole
}

fn streamed<'a>(headers: &HeaderMap, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<DecodeError>) {
    let mut decoder = Decoder::new(headers).expect("a known encoding").expect("it is encoded");
    let mut decoded = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.feed(piece, &mut |bytes| decoded.extend_from_slice(bytes)) {
            return (decoded, Some(error));
        }
    }
    (decoded, None)
}

fn pack(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
    match coding {
        Coding::Gzip => {
            let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
            packed.extend(compress_to_vec(bytes, 6));
            packed.extend(crc32fast::hash(bytes).to_le_bytes());
            packed.extend((bytes.len() as u32).to_le_bytes());
            packed
        }
        Coding::Zlib => compress_to_vec_zlib(bytes, 6),
        Coding::Raw => compress_to_vec(bytes, 6),
        Coding::Brotli => {
            let settings = brotli_new::enc::BrotliEncoderParams { quality: 3, ..Default::default() };
            let mut packed = Vec::new();
            brotli_new::BrotliCompress(&mut &bytes[..], &mut packed, &settings).expect("memory");
            packed
        }
        Coding::Zstd => {
            let mut compressor = zstd::bulk::Compressor::new(3).expect("memory");
            compressor.include_checksum(true).expect("a setting of zstd");
            compressor.compress(bytes).expect("memory")
        }
    }
}

/// Whether the later release of the brotli crate reads all of a body that comes to it byte by byte.
fn is_read_byte_by_byte(body: &[u8]) -> bool {
    use std::io::Write;
    let mut decoder = brotli_new::DecompressorWriter::new(std::io::sink(), 4096);
    body.iter().all(|byte| decoder.write_all(&[*byte]).is_ok()) && decoder.close().is_ok()
}

/// Whether zstd's first frame ends with a checksum (RFC 8878 §3.1.1.1.1.5).
fn has_checksum(body: &[u8]) -> bool {
    body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) && body.get(4).is_some_and(|descriptor| descriptor & 4 != 0)
}

/// What another decoder makes of all of a body; `None` where it is broken, not whole, or more than [`MOST`].
fn oracle(coding: Coding, body: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read;
    match coding {
        Coding::Gzip => gunzip(body),
        Coding::Zlib | Coding::Raw => {
            let inflated = inflate(body, matches!(coding, Coding::Zlib));
            inflated.0.filter(|(_, read)| *read == body.len()).map(|(bytes, _)| bytes)
        }
        Coding::Brotli => unbrotli(body),
        Coding::Zstd => {
            let mut decoded = Vec::new();
            let mut rest = body;
            while !rest.is_empty() {
                let mut decoder = match ruzstd::decoding::StreamingDecoder::new(&mut rest) {
                    Ok(decoder) => decoder,
                    Err(ruzstd::decoding::errors::FrameDecoderError::ReadFrameHeaderError(
                        ruzstd::decoding::errors::ReadFrameHeaderError::SkipFrame { length, .. },
                    )) => {
                        rest = rest.get(length as usize..)?;
                        continue;
                    }
                    Err(_) => return None,
                };
                decoder.by_ref().take(MOST as u64 + 1).read_to_end(&mut decoded).ok()?;
                if decoded.len() > MOST {
                    return None;
                }
            }
            Some(decoded)
        }
    }
}

/// What was inflated, and of how many bytes.
struct Inflated(Option<(Vec<u8>, usize)>);

impl Inflated {
    fn is_all_of(&self, decoded: &[u8], length: usize) -> bool {
        self.0.as_ref().is_some_and(|(bytes, read)| bytes == decoded && *read == length)
    }
}

fn inflate(body: &[u8], has_header: bool) -> Inflated {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags as flags};
    let header = if has_header { flags::TINFL_FLAG_PARSE_ZLIB_HEADER } else { 0 };
    let flags = header | flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut decompressor = Box::<DecompressorOxide>::default();
    let mut output = vec![0; MOST + 1];
    let (status, read, written) = decompress(&mut decompressor, body, &mut output, 0, flags);
    output.truncate(written);
    Inflated((status == TINFLStatus::Done && written <= MOST).then_some((output, read)))
}

/// RFC 1952: any number of members.
fn gunzip(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut members = 0;
    while !body.is_empty() {
        members += 1;
        let (head, mut rest) = body.split_first_chunk::<10>()?;
        let flags = head[3];
        if head[..3] != [0x1f, 0x8b, 8] || flags & 0xe0 != 0 || members > 1024 {
            return None;
        }
        if flags & 4 != 0 {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
        }
        for text in [8, 16] {
            if flags & text != 0 {
                rest = &rest[rest.iter().position(|byte| *byte == 0)? + 1..];
            }
        }
        if flags & 2 != 0 {
            let (sum, behind) = rest.split_first_chunk::<2>()?;
            let head = &body[..body.len() - rest.len()];
            if u32::from(u16::from_le_bytes(*sum)) != crc32fast::hash(head) & 0xffff {
                return None;
            }
            rest = behind;
        }
        let (bytes, read) = inflate(rest, false).0?;
        let (sum, behind) = rest[read..].split_first_chunk::<4>()?;
        let (length, behind) = behind.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != crc32fast::hash(&bytes) || u32::from_le_bytes(*length) != bytes.len() as u32 {
            return None;
        }
        decoded.extend(bytes);
        if decoded.len() > MOST {
            return None;
        }
        body = behind;
    }
    Some(decoded)
}

fn unbrotli(body: &[u8]) -> Option<Vec<u8>> {
    use brotli_new::enc::StandardAlloc;
    use brotli_new::{BrotliDecompressStream, BrotliResult, BrotliState};
    let alloc = StandardAlloc::default();
    let mut state = BrotliState::new_strict(alloc, alloc, alloc);
    let mut output = vec![0; MOST + 1];
    let (mut left, mut read, mut space, mut written, mut total) = (body.len(), 0, output.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        body,
        &mut space,
        &mut written,
        &mut output,
        &mut total,
        &mut state,
    );
    output.truncate(written);
    (matches!(result, BrotliResult::ResultSuccess) && left == 0 && written <= MOST).then_some(output)
}
