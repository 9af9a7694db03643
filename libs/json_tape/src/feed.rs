//! A hash that is fed with many small pieces.

/// How many bytes are gathered, so that the hash takes them many at a time.
const ROOM: usize = 8 << 10;

/// A BLAKE3 hash of the bytes that it is fed, however they are cut.
#[derive(Debug)]
pub struct Feed {
    hasher: blake3::Hasher,
    gathered: Vec<u8>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { hasher: blake3::Hasher::new(), gathered: Vec::with_capacity(ROOM) }
    }
}

impl Feed {
    /// Takes more bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.len() <= ROOM - self.gathered.len() {
            self.gathered.extend_from_slice(bytes);
        } else {
            self.push_over(bytes);
        }
    }

    /// Takes more bytes than there is room for.
    fn push_over(&mut self, bytes: &[u8]) {
        self.flush();
        if bytes.len() >= ROOM {
            self.hasher.update(bytes);
        } else {
            self.gathered.extend_from_slice(bytes);
        }
    }

    /// The hash of all bytes since the last one; it begins anew.
    pub fn finish(&mut self) -> [u8; 32] {
        self.flush();
        let hash = self.hasher.finalize();
        self.hasher.reset();
        *hash.as_bytes()
    }

    /// Forgets the bytes since the last hash.
    pub fn forget(&mut self) {
        self.gathered.clear();
        self.hasher.reset();
    }

    fn flush(&mut self) {
        self.hasher.update(&self.gathered);
        self.gathered.clear();
    }
}
