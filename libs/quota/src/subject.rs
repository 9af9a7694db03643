//! Whose limit it is, as a number that holds nothing of the texts it was made of.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::RandomState;

/// Texts of so many bytes together, their lengths included, are hashed at once.
const SHORT: usize = 256;

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

    /// The subject with these [bytes](Self::to_bytes).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The subject that these texts name, in their order.
    #[must_use]
    pub fn of<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        let (mut start, mut length, mut hasher) = ([0; SHORT], 0, None::<blake3::Hasher>);
        for text in texts {
            let text = text.as_ref();
            // the length before each, so that no two lists give the same bytes
            let before = (text.len() as u64).to_le_bytes();
            for bytes in [&before[..], text] {
                match start.get_mut(length..length + bytes.len()) {
                    Some(room) if hasher.is_none() => {
                        room.copy_from_slice(bytes);
                        length += bytes.len();
                    }
                    _ => {
                        let hasher = hasher.get_or_insert_with(|| {
                            let mut hasher = blake3::Hasher::new();
                            hasher.update(&start[..length]);
                            hasher
                        });
                        hasher.update(bytes);
                    }
                }
            }
        }
        // at once it takes half the time
        let digest = hasher.map_or_else(|| blake3::hash(&start[..length]), |hasher| hasher.finalize());
        let mut half = [0; 16];
        half.copy_from_slice(&digest.as_bytes()[..16]);
        Self(u128::from_le_bytes(half))
    }
}

/// Makes subjects for limits that this process counts by itself and forgets with its end, in a small part of the time: by a hash whose
/// seed nobody knows.
#[derive(Debug, Default)]
pub struct LocalSubjects([RandomState; 2]);

impl LocalSubjects {
    /// The subject that these texts name, in their order, some of which are absent. It is no other gateway's, nor that of
    /// [`Subject::of`].
    ///
    /// ```
    /// # use quota::LocalSubjects;
    /// let subjects = LocalSubjects::default();
    /// assert_eq!(subjects.of([Some("alice"), None]), subjects.of([Some("alice"), None]));
    /// assert_ne!(subjects.of([Some("alice"), None]), subjects.of([Some("alice"), Some("")]));
    /// ```
    #[must_use]
    pub fn of<T: AsRef<[u8]>>(&self, texts: impl IntoIterator<Item = Option<T>>) -> Subject {
        let mut halves = self.0.each_ref().map(BuildHasher::build_hasher);
        for text in texts {
            // its length is hashed with it
            let text = text.as_ref().map(AsRef::as_ref);
            halves.iter_mut().for_each(|half| text.hash(half));
        }
        let [upper, lower] = halves.map(|half| u128::from(half.finish()));
        Subject(upper << 64 | lower)
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

    #[test]
    fn texts_of_this_process_alone_are_told_apart_wherever_they_are_cut_and_from_absent_ones() {
        let subjects = LocalSubjects::default();
        let all = [
            &[Some("a"), Some("b")][..],
            &[Some("ab")],
            &[Some("b"), Some("a")],
            &[Some("a"), Some("b"), Some("")],
            &[Some("a"), Some("b"), None],
            &[Some(""), Some("ab")],
            &[None, Some("ab")],
            &[Some("a")],
            &[None],
            &[Some("")],
            &[],
        ];
        let of = |texts: &[Option<&str>]| subjects.of(texts.iter().copied());
        for (place, texts) in all.iter().enumerate() {
            assert_eq!(of(texts), of(texts));
            assert!(all[..place].iter().all(|other| of(other) != of(texts)), "{texts:?}");
        }
        assert_ne!(of(all[0]), LocalSubjects::default().of(all[0].iter().copied()), "another process has another seed");
    }

    #[test]
    fn a_subject_is_the_same_digest_however_long_its_texts_are() {
        for length in [0, 1, 100, 231, 232, 233, 240, 248, 249, 255, 256, 257, 5000] {
            let texts = ["m".repeat(length), "alice".into(), "x".repeat(length / 2)];
            let mut all = Vec::new();
            for text in &texts {
                all.extend_from_slice(&(text.len() as u64).to_le_bytes());
                all.extend_from_slice(text.as_bytes());
            }
            let digest = u128::from_le_bytes(blake3::hash(&all).as_bytes()[..16].try_into().unwrap());
            assert_eq!(Subject::of(&texts).0, digest, "{length}");
        }
    }
}
