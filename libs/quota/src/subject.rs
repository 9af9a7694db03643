//! Whose limit it is, as a number that holds nothing of the texts it was made of.

/// The subject of a limit: a digest of the texts that name it. Two subjects are the same where all of their texts are, on every
/// gateway and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject(pub(crate) u128);

impl Subject {
    /// The one subject of a limit that is for all together.
    pub const ALL: Self = Self(0);

    /// All those together for whom there is no room of their own.
    pub const OTHERS: Self = Self(1);

    /// Its bytes, which tell nothing of the texts it was made of.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The subject that these texts name, in their order.
    #[must_use]
    pub fn of<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in texts {
            let text = text.as_ref();
            // the length before each, so that no two lists give the same bytes
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_le_bytes(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_wherever_they_are_cut() {
        assert_eq!(Subject::of(["a", "b"]), Subject::of(["a", "b"]));
        for other in [&["ab"][..], &["b", "a"], &["a", "b", ""], &["", "ab"], &["a"]] {
            assert_ne!(Subject::of(["a", "b"]), Subject::of(other.iter().copied()), "{other:?}");
        }
    }
}
