//! The mask of a client's payload: the same operation puts it on and takes it off.

/// Masks bytes that begin at this place of the payload.
pub(crate) fn apply(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    // at most 3
    let mut key = mask;
    key.rotate_left((at % 4) as usize);
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
