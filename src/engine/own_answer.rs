//! Tells the answers that Pingora makes by itself, below all hooks, from those of exchanges: to what is no HTTP, to a head that two parsers
//! could read in two ways, and to `CONNECT`.

use crate::exchange::failure::Failure;

/// Why Pingora refuses a request with this head of an answer; `None` for the head of an exchange's answer.
pub fn own_answer(head: &[u8]) -> Option<Failure> {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 4";
    const SIGNATURE: &[u8] = b"Server: Pingora\r\n";
    const EMPTY: &[u8] = b"Content-Length: 0\r\nCache-Control: private, no-store\r\n";
    let status = head.strip_prefix(STATUS_LINE)?;
    let at = memchr::memchr(b'\n', head)? + 1;
    let rest = head[at..].strip_prefix(SIGNATURE)?;
    memchr::memmem::find(rest, EMPTY)?;
    Some(if status.starts_with(b"05") { Failure::Tunnel } else { Failure::InvalidHead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_pingora_says_alone_is_its_own() {
        let own = |status: &str| {
            format!(
                "HTTP/1.1 {status}\r\nServer: Pingora\r\nDate: x\r\nContent-Length: 0\r\nCache-Control: private, \
                 no-store\r\nConnection: close\r\n\r\n"
            )
        };
        assert_eq!(own_answer(own("400 Bad Request").as_bytes()), Some(Failure::InvalidHead));
        assert_eq!(own_answer(own("405 Method Not Allowed").as_bytes()), Some(Failure::Tunnel));
        for passed in [
            "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n",
            "4",
        ] {
            assert_eq!(own_answer(passed.as_bytes()), None);
        }
    }
}
