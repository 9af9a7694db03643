//! The header of the PROXY protocol (haproxy.org, `proxy-protocol.txt`), version 1 or 2, before the first byte of TLS or HTTP. Nothing
//! is read beyond it.

use std::io;
use std::net::SocketAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What both versions have at least: the signature of version 2, and no more than the shortest line of version 1.
const LEAST: usize = 12;
const SIGNATURE: &[u8; LEAST] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// The part of version 2 that says how long the rest is.
const FIXED: usize = 16;
/// The longest header of version 2 that is read. Addresses take 36 bytes; what a cloud adds of its own stays below a few hundred.
const LONGEST: usize = 4096;

/// Reads the header. The client's address in it; `None` for a connection of the proxy's own (`LOCAL`, `UNKNOWN`).
///
/// # Errors
/// Those of the stream, and that there is no such header.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; LEAST];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(FIXED, 0);
        stream.read_exact(&mut header[LEAST..]).await?;
        let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
        if FIXED + rest > LONGEST {
            return Err(invalid("its PROXY protocol header is too long"));
        }
        header.resize(FIXED + rest, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
    } else if header.starts_with(b"PROXY ") {
        // a byte at a time, since what follows the line belongs to TLS or HTTP; a hundred times a connection
        while !header.ends_with(b"\r\n") {
            if header.len() == LONGEST_LINE {
                return Err(invalid("its PROXY protocol line is too long"));
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(invalid("it does not begin with a PROXY protocol header"));
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(&header, config) {
        Ok((parsed, length)) if length == header.len() => Ok(parsed
            .proxied_address()
            .filter(|address| address.protocol == Protocol::Stream)
            .map(|address| SocketAddr::new(address.source.ip().to_canonical(), address.source.port()))),
        Ok(_) | Err(Error::BufferTooShort) => Err(invalid("its PROXY protocol header contradicts its length")),
        Err(error) => Err(invalid(&format!("its PROXY protocol header is invalid: {error}"))),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::ProxiedAddress;

    use super::*;

    /// The header read, and what is left behind it.
    fn read_from(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let mut stream = bytes;
        let read = futures_util::FutureExt::now_or_never(read(&mut stream)).expect("memory does not wait");
        (read, stream.to_vec())
    }

    fn header(version: u8, client: &str, server: &str) -> Vec<u8> {
        let header =
            ProxyHeader::with_address(ProxiedAddress::stream(client.parse().unwrap(), server.parse().unwrap()));
        let mut bytes = Vec::new();
        match version {
            1 => header.encode_v1(&mut bytes).unwrap(),
            _ => header.encode_v2(&mut bytes).unwrap(),
        }
        bytes
    }

    #[test]
    fn both_versions_give_the_clients_address_and_leave_the_rest() {
        for version in [1, 2] {
            for (client, server) in [("192.0.2.1:1234", "198.51.100.1:443"), ("[2001:db8::1]:1", "[2001:db8::2]:65535")]
            {
                let bytes = [&header(version, client, server)[..], b"GET / HTTP/1.1\r\n"].concat();
                let (read, rest) = read_from(&bytes);
                assert_eq!(read.unwrap(), Some(client.parse().unwrap()));
                assert_eq!(rest, b"GET / HTTP/1.1\r\n");
            }
        }
        let (mapped, _) = read_from(&header(2, "[::ffff:192.0.2.1]:5", "[::ffff:192.0.2.2]:6"));
        assert_eq!(mapped.unwrap().unwrap(), "192.0.2.1:5".parse().unwrap());
    }

    #[test]
    fn a_connection_of_the_proxys_own_names_nobody() {
        let mut local = Vec::new();
        ProxyHeader::with_local().encode_v2(&mut local).unwrap();
        for bytes in [&local[..], b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"] {
            let (read, rest) = read_from(&[bytes, b"x"].concat());
            assert_eq!((read.unwrap(), &*rest), (None, &b"x"[..]));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_and_read_no_further_than_needed() {
        let too_long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 70_000]].concat();
        for (bytes, read_at_most) in [
            (&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], LEAST),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00", LEAST),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 1\r\n", LONGEST_LINE),
            (b"PROXY TCP4 ::1 5.6.7.8 9 1\r\n", LONGEST_LINE),
            (b"PROXY nonsense\r\n", LONGEST_LINE),
            (&too_long, LONGEST_LINE),
            (&huge, LONGEST),
            (b"PROXY", LONGEST_LINE),
            (b"", 0),
        ] {
            let (read, rest) = read_from(bytes);
            assert!(read.is_err(), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
            assert!(bytes.len() - rest.len() <= read_at_most);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_a_header_is_read_exactly(
            noise in prop::collection::vec(any::<u8>(), 0..200), version in 1_u8..=2, signed in any::<bool>()
        ) {
            let bytes = if signed { [&SIGNATURE[..], &noise].concat() } else { noise.clone() };
            let _ = read_from(&bytes);
            let bytes = [header(version, "192.0.2.1:1", "192.0.2.2:2"), noise.clone()].concat();
            let (read, rest) = read_from(&bytes);
            prop_assert!(read.unwrap().is_some());
            prop_assert_eq!(rest, noise);
        }
    }
}
