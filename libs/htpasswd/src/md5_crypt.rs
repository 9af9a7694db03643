//! The MD5 forms: Apache's `$apr1$`, and `$1$` of the C libraries. The rules are Poul-Henning Kamp's of 1994; a thousand rounds of MD5.

use md5::{Digest, Md5};

/// The longest salt, in bytes.
pub const LONGEST_SALT: usize = 8;
/// The digits of a digest.
pub const DIGITS: usize = 22;
const ROUNDS: usize = 1000;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Which bytes of the digest make four digits together; the last byte makes two by itself.
const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
const LAST: usize = 11;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// Apache's.
    Apr1,
    /// The C libraries'.
    Md5,
}

impl Magic {
    /// What begins a hash of this form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apr1 => "$apr1$",
            Self::Md5 => "$1$",
        }
    }
}

/// The digits of a password's hash.
pub fn hash(magic: Magic, password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic.as_str()).chain_update(salt);
    let mut left = password.len();
    while left > 0 {
        let taken = left.min(inner.len());
        outer.update(&inner[..taken]);
        left -= taken;
    }
    let mut bits = password.len();
    while bits > 0 {
        let byte = if bits & 1 == 1 { 0 } else { password[0] };
        outer.update([byte]);
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        let is_odd = round & 1 == 1;
        if is_odd {
            next.update(password);
        } else {
            next.update(digest);
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if is_odd {
            next.update(digest);
        } else {
            next.update(password);
        }
        digest = next.finalize();
    }
    let mut text = String::with_capacity(DIGITS);
    for [high, middle, low] in GROUPS {
        let group = u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low]);
        push_digits(&mut text, group, 4);
    }
    push_digits(&mut text, u32::from(digest[LAST]), 2);
    text
}

fn push_digits(text: &mut String, mut bits: u32, digits: usize) {
    for _ in 0..digits {
        text.push(char::from(ALPHABET[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}
