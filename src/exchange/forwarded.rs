//! The values of the headers that say for whom a request is forwarded.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;

const LONGEST_IPV4: usize = 15;

/// The address as text. IPv4, which is nearly always the case, does without the formatting machinery, which costs ten times as much.
#[must_use]
pub fn address_text(client: IpAddr) -> HeaderValue {
    let text = match client {
        IpAddr::V4(v4) => {
            let mut text = [0; LONGEST_IPV4];
            let mut length = 0;
            for (at, octet) in v4.octets().into_iter().enumerate() {
                let mut push = |byte: u8| {
                    text[length] = byte;
                    length += 1;
                };
                if at > 0 {
                    push(b'.');
                }
                if octet >= 100 {
                    push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    push(b'0' + octet / 10 % 10);
                }
                push(b'0' + octet % 10);
            }
            HeaderValue::from_bytes(&text[..length])
        }
        IpAddr::V6(v6) => HeaderValue::try_from(v6.to_string()),
    };
    // digits, dots, colons and hexadecimal letters are valid in any header
    text.unwrap_or(HeaderValue::from_static("unknown"))
}

/// The values that proxies before this one have written, in order, and behind them this one's.
///
/// # Errors
/// The result is not a header value.
pub fn joined<'a>(
    before: impl IntoIterator<Item = &'a HeaderValue>,
    own: &HeaderValue,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut all = Vec::new();
    for value in before {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(own.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_the_standard_library_writes_it() {
        for address in ["127.0.0.1", "255.255.255.255", "1.20.100.9", "0.0.0.0", "10.99.200.105", "::1", "2001:db8::1"]
        {
            let client: IpAddr = address.parse().unwrap();
            assert_eq!(address_text(client), client.to_string());
        }
    }

    #[test]
    fn this_proxy_stands_behind_those_before_it() {
        let own = HeaderValue::from_static("10.0.0.3");
        let before = ["10.0.0.1", "10.0.0.2"].map(HeaderValue::from_static);
        assert_eq!(joined(&before, &own).unwrap(), "10.0.0.1, 10.0.0.2, 10.0.0.3");
        assert_eq!(joined(&[], &own).unwrap(), own);
    }
}
