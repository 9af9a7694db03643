//! Tells the answers that Pingora makes by itself, below all hooks, from those of exchanges: to what is no HTTP, and to a head that two parsers
//! could read in two ways.

/// Whether Pingora refuses a request with this head of an answer. Another Pingora's answer looks the same, so this tells one only where no
/// exchange has begun.
pub fn is_own_answer(head: &[u8]) -> bool {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 4";
    const SIGNATURE: &[u8] = b"Server: Pingora\r\n";
    const EMPTY: &[u8] = b"Content-Length: 0\r\nCache-Control: private, no-store\r\n";
    let Some(end) = head.starts_with(STATUS_LINE).then(|| memchr::memchr(b'\n', head)).flatten() else { return false };
    let Some(rest) = head[end + 1..].strip_prefix(SIGNATURE) else { return false };
    memchr::memmem::find(rest, EMPTY).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_pingora_says_alone_is_its_own() {
        let own = "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nDate: x\r\nContent-Length: 0\r\nCache-Control: private, \
                   no-store\r\nConnection: close\r\n\r\n";
        assert!(is_own_answer(own.as_bytes()));
        for passed in [
            "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n",
            "4",
        ] {
            assert!(!is_own_answer(passed.as_bytes()), "{passed}");
        }
    }
}
