//! Takes Pingora's signature off the one answer that Pingora makes by itself.

/// The answer that Pingora itself makes to bytes that are not HTTP, without its `Server` line. `None` for every other answer.
pub fn without_signature(buf: &[u8]) -> Option<Vec<u8>> {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 4";
    const SIGNATURE: &[u8] = b"Server: Pingora\r\n";
    const EMPTY: &[u8] = b"Content-Length: 0\r\nCache-Control: private, no-store\r\n";
    if !buf.starts_with(STATUS_LINE) {
        return None;
    }
    let at = buf.iter().position(|byte| *byte == b'\n')? + 1;
    let rest = buf[at..].strip_prefix(SIGNATURE)?;
    let empty = rest.windows(EMPTY.len()).any(|window| window == EMPTY);
    empty.then(|| [&buf[..at], rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_pingora_says_alone_loses_its_signature() {
        let signed = "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nDate: x\r\nContent-Length: 0\r\n\
                      Cache-Control: private, no-store\r\nConnection: close\r\n\r\n";
        let unsigned = without_signature(signed.as_bytes()).unwrap();
        assert_eq!(unsigned, signed.replace("Server: Pingora\r\n", "").into_bytes());
        for passed in
            ["HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n"]
        {
            assert_eq!(without_signature(passed.as_bytes()), None);
        }
    }
}
