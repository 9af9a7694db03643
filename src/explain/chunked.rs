//! Bodies in chunks, as HTTP/1.1 sends those whose length is not known before.

/// What is in the chunks; none where they do not come to their end. Lines may end as an editor ends them; trailers are left out.
pub(super) fn content(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let (line, chunk) = next_line(rest)?;
        let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(chunk.get(..size)?);
        let (b"", behind) = next_line(&chunk[size..])? else { return None };
        rest = behind;
    }
}

/// This content in one chunk.
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    match content.len() {
        0 => b"0\r\n\r\n".to_vec(),
        length => [format!("{length:x}\r\n").as_bytes(), content, b"\r\n0\r\n\r\n"].concat(),
    }
}

/// A line without its end, and what stands behind it.
pub(super) fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        for (chunks, wanted) in [
            (&b"3\r\nabc\r\nA;x=y\r\n0123\n56789\r\n0\r\nx: y\r\n\r\n"[..], Some(&b"abc0123\n56789"[..])),
            (b"3\nabc\n0\n\n", Some(b"abc")),
            (b"0\r\n\r\n", Some(b"")),
            (b"3\r\nabc", None),
            (b"3\r\nabc\r\n", None),
            (b"2\r\nabc\r\n0\r\n\r\n", None),
            (b"x\r\nabc\r\n0\r\n\r\n", None),
            (b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n", None),
        ] {
            assert_eq!(content(chunks).as_deref(), wanted);
        }
        for whole in [&b""[..], b"abc"] {
            assert_eq!(content(&framed(whole)).as_deref(), Some(whole));
        }
    }
}
