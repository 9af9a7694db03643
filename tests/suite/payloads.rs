//! Bodies that show what became of them: no two parts alike, so that a piece lost, doubled or moved is seen.

/// So many bytes of no meaning.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A call to Anthropic's Messages API of so many bytes, with `max_tokens` behind everything else; at least 120 bytes.
pub fn call(length: usize, max_tokens: u64) -> Vec<u8> {
    let before = br#"{"model":"claude-opus-5","messages":[{"role":"user","content":""#;
    let behind = format!(r#""}}],"max_tokens":{max_tokens}}}"#);
    let content = length.checked_sub(before.len() + behind.len()).expect("room for a call");
    // letters alone, so that none needs an escape
    let letters = noise(content).into_iter().map(|byte| b'a' + byte % 26);
    before.iter().copied().chain(letters).chain(behind.into_bytes()).collect()
}

/// Where two bodies first differ, in words; printing both would bury the reader.
pub fn difference(sent: &[u8], seen: &[u8]) -> Option<String> {
    if sent == seen {
        return None;
    }
    let at = sent.iter().zip(seen).position(|(a, b)| a != b).unwrap_or(sent.len().min(seen.len()));
    Some(format!("sent {} bytes, seen {}; they differ from byte {at} on", sent.len(), seen.len()))
}
