//! As much of HTTP/1.1 as both sides of a benchmark need: bodies have a length, connections stay open.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What clients put where a body has this text: a number of its own for each call, so that no two are the same.
pub const NUMBER: &[u8] = b"@@@@@@@@@@@@";

/// The head of a message, and where its body begins.
#[derive(Debug, Eq, PartialEq)]
pub struct Head {
    /// Bytes of the head, its blank line included.
    pub len: usize,
    /// Bytes of the body; `None` where it is chunked.
    pub body: Option<usize>,
    /// The status; 0 for a request.
    pub status: u16,
}

/// Reads the head at the beginning of `bytes`; `None` while it has not all come.
pub fn head(bytes: &[u8], is_answer: bool) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}"));
    let (parsed, status, headers) = if is_answer {
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(bytes).map_err(invalid)?;
        (parsed, answer.code.unwrap_or(0), answer.headers)
    } else {
        let mut request = httparse::Request::new(&mut headers);
        (request.parse(bytes).map_err(invalid)?, 0, request.headers)
    };
    let httparse::Status::Complete(len) = parsed else { return Ok(None) };
    let value =
        |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let length = value("content-length").and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    let body = if value("transfer-encoding").is_some() { None } else { Some(length.unwrap_or(0)) };
    Ok(Some(Head { len, body, status }))
}

/// What is asked again and again.
#[derive(clap::Args)]
pub struct Request {
    /// Where to send it.
    pub address: SocketAddr,
    /// The file with the body.
    body: PathBuf,
    /// The number of the first call, in its body.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// The path.
    #[arg(long, default_value = "/v1/messages")]
    path: String,
    /// A header as `name: value`; may be given several times.
    #[arg(long)]
    header: Vec<String>,
}

impl Request {
    /// A `POST` of the body, with places for the numbers of calls.
    pub fn template(&self) -> io::Result<Template> {
        let body = fs::read(&self.body)?;
        let headers: String = self.header.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let mut bytes =
            format!("POST {} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n{headers}\r\n", self.path)
                .into_bytes();
        bytes.extend(body);
        let places = memchr::memmem::find_iter(&bytes, NUMBER).collect();
        Ok(Template { bytes, places })
    }
}

/// A request as bytes, with places for a number of its own.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// Its bytes for call number `number`.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let digits = format!("{number:012}");
        for at in &self.places {
            self.bytes[*at..at + NUMBER.len()].copy_from_slice(&digits.as_bytes()[..NUMBER.len()]);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_has_all_come() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello";
        assert_eq!(head(&answer[..20], true).unwrap(), None);
        assert_eq!(head(answer, true).unwrap(), Some(Head { len: 39, body: Some(12), status: 200 }));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(head(chunked, true).unwrap().unwrap().body, None);
        assert!(head(b"nonsense\r\n\r\n", true).is_err());
    }

    #[test]
    fn every_call_has_its_number() {
        let mut template = Template { bytes: b"@@@@@@@@@@@@ @@@@@@@@@@@@".to_vec(), places: vec![0, 13] };
        assert_eq!(template.numbered(42), b"000000000042 000000000042");
        assert_eq!(template.numbered(7), b"000000000007 000000000007");
    }
}
