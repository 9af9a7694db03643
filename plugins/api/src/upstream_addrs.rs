//! Where the attempts of a request went.

use std::io::Write as _;
use std::net::SocketAddr;

/// The addresses that attempts were made at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamAddrs {
    // nearly every request has one attempt, which needs no memory
    earlier: Vec<SocketAddr>,
    last: Option<SocketAddr>,
}

impl UpstreamAddrs {
    /// None.
    pub const NONE: Self = Self { earlier: Vec::new(), last: None };

    /// Adds that of another attempt.
    pub fn push(&mut self, address: SocketAddr) {
        self.earlier.extend(self.last.replace(address));
    }

    /// That of the last attempt; `None` where none was made.
    #[must_use]
    pub fn last(&self) -> Option<SocketAddr> {
        self.last
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.earlier.iter().copied().chain(self.last)
    }

    /// Appends them as nginx's `$upstream_addr` does: `10.0.0.1:80, 10.0.0.2:80`.
    pub fn append(&self, out: &mut Vec<u8>) {
        for (at, address) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // a vector takes all bytes
            let _ = write!(out, "{comma}{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stand_in_their_order() {
        let mut all = UpstreamAddrs::default();
        let text = |all: &UpstreamAddrs| {
            let mut out = Vec::new();
            all.append(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!((text(&all), all.last()), (String::new(), None));
        for address in ["10.0.0.1:80", "[::1]:443", "10.0.0.2:80"] {
            all.push(address.parse().unwrap());
        }
        assert_eq!(text(&all), "10.0.0.1:80, [::1]:443, 10.0.0.2:80");
        assert_eq!(all.last(), Some("10.0.0.2:80".parse().unwrap()));
    }
}
