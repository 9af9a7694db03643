//! Networks of IP addresses, as settings write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! ```
//! use networks::Network;
//!
//! let network: Network = "10.0.0.0/8".parse().unwrap();
//! assert!(network.contains("10.1.2.3".parse().unwrap()));
//! assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()), "the same address, as a socket for both may write it");
//! assert!(!network.contains("11.0.0.1".parse().unwrap()));
//! ```

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The bits of `::ffff:0:0/96`, behind which IPv6 writes IPv4 addresses.
const MAPPED_PREFIX: u8 = 96;

/// An address as far as it tells hosts apart: of IPv6 the first 64 bits, which one host has; IPv4 as IPv6 writes it.
#[must_use]
pub fn host(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            octets
        }
    }
}

/// A network: all addresses of its family that begin with the same bits. One of IPv4 within IPv6, such as `::ffff:10.0.0.0/104`, is read
/// as the one of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address within an IPv6 one counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()) & self.mask_v4() == 0,
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()) & self.mask_v6() == 0,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it contains all addresses of another one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    fn mask_v4(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    fn mask_v6(&self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// The same prefix, with no bits behind it.
    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & self.mask_v4()).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & self.mask_v6()).into(),
        };
        Self { address, ..self }
    }

    /// Without IPv6 around IPv4, as [`contains`](Self::contains) looks at addresses.
    fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.prefix.checked_sub(MAPPED_PREFIX)) {
            (address @ IpAddr::V4(_), Some(prefix)) if self.address.is_ipv6() => Self { address, prefix },
            _ => self,
        }
    }

    fn longest(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no network; write it like `10.0.0.0/8` or `2001:db8::/32`, or one address like `192.0.2.7`"
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = Self::longest(address);
        let is_number = |prefix: &&str| prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => longest,
            Some(prefix) => Some(prefix)
                .filter(is_number)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(wrong)?,
        };
        let network = Self { address, prefix }.canonical();
        let masked = network.masked();
        if masked != network {
            return Err(format!("`{text}` has bits behind its prefix; the network is `{masked}`"));
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == Self::longest(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A network such as `10.0.0.0/8`, or one address." })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_in_the_networks_that_begin_as_it_does() {
        for (network, address, wanted) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), wanted, "{address} in {network}");
            assert_eq!(parsed.to_string(), network);
        }
    }

    #[test]
    fn a_host_of_ipv6_has_64_bits_of_its_own() {
        let host = |address: &str| host(address.parse().unwrap());
        assert_eq!(host("2001:db8:0:1::1"), host("2001:db8:0:1:ffff::2"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8:0:2::1"));
        assert_eq!(host("192.0.2.7"), host("::ffff:192.0.2.7"));
        assert_ne!(host("192.0.2.7"), host("192.0.2.8"));
    }

    #[test]
    fn a_network_of_ipv4_within_ipv6_is_the_one_of_ipv4() {
        for (written, read) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207/128", "192.0.2.7"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:1:0/112", "::ffff:0:1:0/112"),
            ("::/95", "::/95"),
        ] {
            assert_eq!(written.parse::<Network>().unwrap().to_string(), read, "{written}");
        }
        let denied: Network = "::ffff:10.0.0.0/104".parse().unwrap();
        for address in ["10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(denied.contains(address.parse().unwrap()), "{address}");
        }
        let error = "::ffff:10.1.2.3/104".parse::<Network>().unwrap_err();
        assert!(error.contains("the network is `10.0.0.0/8`"), "{error}");
        assert!("::ffff:10.1.2.3/64".parse::<Network>().unwrap_err().contains("the network is `::/64`"));
    }

    #[test]
    fn what_is_no_network_says_what_is_wanted() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "10.0.0.0/+8", "::/129", "a", "10.0.0.0/8/8", "[::1]"]
        {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains("write it like `10.0.0.0/8`"), "{text}: {error}");
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(error.contains("the network is `10.0.0.0/8`"), "{error}");
    }

    #[test]
    fn a_wider_network_covers_a_narrower_one() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        assert!(network("10.0.0.0/8").covers(&network("10.1.0.0/16")));
        assert!(network("10.1.0.0/16").covers(&network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("0.0.0.0/0").covers(&network("::1")));
    }

    proptest! {
        #[test]
        fn a_network_contains_what_shares_its_prefix(bits: u128, other: u128, prefix in 0_u8..=128) {
            let network = Network { address: Ipv6Addr::from_bits(bits).into(), prefix }.masked();
            let shares = (0..u32::from(prefix)).all(|at| (bits ^ other) >> (127 - at) & 1 == 0);
            let other = Ipv6Addr::from_bits(other);
            if other.to_ipv4_mapped().is_none() {
                prop_assert_eq!(network.contains(other.into()), shares);
            }
            prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
        }
    }
}
