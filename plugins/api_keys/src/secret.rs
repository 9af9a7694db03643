//! Makes keys: `tg_`, 6 characters that may be told, and 32 that nobody can guess.

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

use crate::credential::{PREFIX, PUBLIC};

/// The characters of a key: whole words for editors and shells.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of the secret part: 190 bits.
const SECRET: usize = 32;

/// A new key.
///
/// # Errors
/// That the system has no random numbers.
pub(crate) fn generate() -> Result<String, Unspecified> {
    let random = SystemRandom::new();
    let mut key = PREFIX.to_owned();
    while key.len() < PREFIX.len() + PUBLIC + SECRET {
        let mut byte = [0];
        random.fill(&mut byte)?;
        // two of 64 numbers stand for no character, so that all are equally likely
        if let Some(character) = ALPHABET.get(usize::from(byte[0] % 64)) {
            key.push(char::from(*character));
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::public_id;

    #[test]
    fn a_key_has_a_public_part_and_more_bits_than_can_be_guessed() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(public_id(one.as_bytes()), Some(&one[..9]));
        let bits = f64::from(u32::try_from(ALPHABET.len()).unwrap()).log2() * 32.0;
        assert!(one.len() == 41 && bits >= 160.0, "{one}");
    }
}
