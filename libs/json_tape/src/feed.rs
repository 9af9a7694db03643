//! A hash that is fed with many small pieces.

/// How many bytes are gathered, so that the hash takes them many at a time: as many of its chunks as the widest registers of a
/// processor hold. The hash is given whole multiples alone, since it takes others one chunk after another.
const ROOM: usize = 16 << 10;
/// How many bytes there is room for at first, so that the hash of a short text costs little memory.
const FIRST_ROOM: usize = 1 << 10;

/// A BLAKE3 hash of the bytes that it is fed, however they are cut.
#[derive(Debug)]
pub struct Feed {
    /// Has taken all that is not gathered. It takes 2 KiB, and is made for longer texts alone.
    hasher: Option<Box<blake3::Hasher>>,
    /// Fewer bytes than [`ROOM`].
    gathered: Vec<u8>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { hasher: None, gathered: Vec::with_capacity(FIRST_ROOM) }
    }
}

impl Feed {
    /// Takes more bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.len() < ROOM - self.gathered.len() {
            self.gathered.extend_from_slice(bytes);
        } else {
            self.push_over(bytes);
        }
    }

    /// Takes as many bytes as there is room for, or more.
    fn push_over(&mut self, mut bytes: &[u8]) {
        let hasher = self.hasher.get_or_insert_default();
        if !self.gathered.is_empty() {
            let (first, rest) = bytes.split_at(ROOM - self.gathered.len());
            self.gathered.extend_from_slice(first);
            hasher.update(&self.gathered);
            self.gathered.clear();
            bytes = rest;
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % ROOM);
        hasher.update(whole);
        self.gathered.extend_from_slice(rest);
    }

    /// The hash of all bytes since the last [`finish`](Self::finish).
    #[must_use]
    pub fn peek(&self) -> [u8; 32] {
        match &self.hasher {
            Some(hasher) => *(**hasher).clone().update(&self.gathered).finalize().as_bytes(),
            None => *blake3::hash(&self.gathered).as_bytes(),
        }
    }

    /// The hash of all bytes since the last one; it begins anew.
    pub fn finish(&mut self) -> [u8; 32] {
        let hash = match &mut self.hasher {
            Some(hasher) => *hasher.update(&self.gathered).finalize().as_bytes(),
            None => *blake3::hash(&self.gathered).as_bytes(),
        };
        self.forget();
        hash
    }

    /// Forgets the bytes since the last hash.
    pub fn forget(&mut self) {
        self.gathered.clear();
        if let Some(hasher) = &mut self.hasher {
            hasher.reset();
        }
    }
}
