//! A hash that is fed with many small pieces.

/// How many bytes are gathered, so that the hash takes them many at a time: as many of its chunks as the widest registers of a
/// processor hold. The hash is given whole multiples alone, since it takes others one chunk after another.
const ROOM: usize = 16 << 10;
/// How many bytes there is room for at first, so that the hash of a short text costs little memory.
const FIRST_ROOM: usize = 1 << 10;
/// So short a text is hashed anew rather than by a hasher that is made for it.
const SHORT: usize = 256;

/// A BLAKE3 hash of the bytes that it is fed, however they are cut.
#[derive(Debug)]
pub struct Feed {
    /// Has taken all that is not gathered. It takes 2 KiB, and is made for longer texts alone.
    hasher: Option<Box<blake3::Hasher>>,
    /// Fewer bytes than `limit`.
    gathered: Vec<u8>,
    /// How many bytes the hasher lacks to a whole multiple of [`ROOM`]; at least 1.
    limit: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self { hasher: None, gathered: Vec::with_capacity(FIRST_ROOM), limit: ROOM }
    }
}

impl Feed {
    /// Takes more bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.len() < self.limit - self.gathered.len() {
            if bytes.len() > self.gathered.capacity() - self.gathered.len() {
                self.grow(bytes.len());
            }
            self.gathered.extend_from_slice(bytes);
        } else {
            self.push_over(bytes);
        }
    }

    /// Takes one byte more.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) {
        if self.gathered.len() + 1 < self.limit && self.gathered.len() < self.gathered.capacity() {
            self.gathered.push(byte);
        } else {
            self.push(&[byte]);
        }
    }

    /// Makes room for so many bytes, which are fewer than the limit, and for more.
    #[cold]
    fn grow(&mut self, more: usize) {
        let length = self.gathered.len();
        let wanted = (4 * self.gathered.capacity()).clamp(length + more, ROOM);
        self.gathered.reserve_exact(wanted - length);
    }

    /// Takes as many bytes as there is room for, or more.
    fn push_over(&mut self, mut bytes: &[u8]) {
        let hasher = self.hasher.get_or_insert_default();
        if !self.gathered.is_empty() || self.limit < ROOM {
            let (first, rest) = bytes.split_at(self.limit - self.gathered.len());
            self.gathered.extend_from_slice(first);
            hasher.update(&self.gathered);
            self.gathered.clear();
            self.limit = ROOM;
            bytes = rest;
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % ROOM);
        hasher.update(whole);
        self.gathered.extend_from_slice(rest);
    }

    /// The hash of all bytes since the last [`finish`](Self::finish).
    #[must_use]
    pub fn peek(&mut self) -> [u8; 32] {
        if self.hasher.is_none() && self.gathered.len() <= SHORT {
            return *blake3::hash(&self.gathered).as_bytes();
        }
        // what the hasher has taken is not hashed again for the next hash
        let hasher = self.hasher.get_or_insert_default();
        self.limit -= self.gathered.len();
        let hash = *hasher.update(&self.gathered).finalize().as_bytes();
        self.gathered.clear();
        hash
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
        self.limit = ROOM;
        if let Some(hasher) = &mut self.hasher {
            hasher.reset();
        }
    }
}
