//! For whom a request is forwarded: whom to believe about it, and what is said of it to the upstream.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{FORWARDED, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use networks::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

const LONGEST_IPV4: usize = 15;

/// The proxies whose word counts.
#[derive(Clone, Copy, Debug)]
pub struct Proxies<'a> {
    /// Their networks.
    pub trusted: &'a [Network],
    /// Whether their addresses at the end of a chain are passed over, as with nginx's `real_ip_recursive on`. Else the last one counts.
    pub recursive: bool,
}

/// The client behind a trusted proxy, as nginx finds it: from the end of the chain, the first address that is no trusted proxy's; the first
/// of the chain if all are. What is no address ends the search at the one found before.
///
/// The chain is that of `X-Forwarded-For`; without it, that of `Forwarded`; without both, the one address in `X-Real-IP`.
#[must_use]
pub fn believed_client(proxy: IpAddr, headers: &HeaderMap, proxies: Proxies<'_>) -> IpAddr {
    if headers.contains_key(FORWARDED) && !headers.contains_key(X_FORWARDED_FOR) {
        return proxies.last_untrusted(proxy, forwarded_for(headers));
    }
    let name = if headers.contains_key(X_FORWARDED_FOR) { &X_FORWARDED_FOR } else { &X_REAL_IP };
    client_in(name, proxy, headers, proxies)
}

/// The same by one header alone.
#[must_use]
pub fn client_in(name: &HeaderName, proxy: IpAddr, headers: &HeaderMap, proxies: Proxies<'_>) -> IpAddr {
    proxies.last_untrusted(proxy, addresses(headers, name))
}

/// Whether a header says for whom a request is forwarded, so that only a trusted proxy's is believed.
#[must_use]
pub fn is_of_forwarding(name: &str) -> bool {
    // most names have another first letter or length
    match name.as_bytes() {
        [b'x', b'-', b'f', ..] => name.starts_with("x-forwarded-"),
        [b'x', b'-', b'r', ..] => name == "x-real-ip",
        [b'f', b'o', ..] => name == "forwarded",
        _ => false,
    }
}

/// Whether an address is in one of these networks.
#[must_use]
pub fn is_in(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl Proxies<'_> {
    fn last_untrusted(self, proxy: IpAddr, chain: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = proxy;
        for address in chain {
            let Some(address) = address else { break };
            client = address;
            if !self.recursive || !is_in(address, self.trusted) {
                break;
            }
        }
        client
    }
}

/// The addresses in the lines of a header, from the last to the first; `None` for what is none.
fn addresses<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
    let lines = headers.get_all(name).iter().rev();
    // as nginx reads them: commas and spaces separate
    let texts = lines.flat_map(|line| line.as_bytes().rsplit(|byte| matches!(byte, b',' | b' ')));
    texts.filter(|text| !text.is_empty()).map(address)
}

/// The same of the `for` parameters of `Forwarded` (RFC 7239).
fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(FORWARDED).iter().rev();
    let elements = lines.flat_map(|line| split(line.as_bytes(), b',').into_iter().rev());
    elements.map(|element| {
        let node = split(element, b';').into_iter().find_map(|pair| {
            let pair = pair.trim_ascii();
            let (name, value) = pair.split_at_checked(4)?;
            name.eq_ignore_ascii_case(b"for=").then_some(value)
        })?;
        let unquoted = node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\""));
        address(unquoted.unwrap_or(node))
    })
}

/// Splits where a byte stands outside of quotes.
fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let is_end = |byte: &u8| {
        if escaped {
            escaped = false;
            return false;
        }
        match *byte {
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            byte => return !quoted && byte == separator,
        }
        false
    };
    text.split(is_end).collect()
}

/// An address, with a port or without: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        // an address of IPv6 without brackets has no port
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port_is_number = port.is_none_or(|port| port.parse::<u16>().is_ok());
    host.parse::<IpAddr>().ok().filter(|_| port_is_number).map(|address| address.to_canonical())
}

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
    own: &[u8],
) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut all = Vec::new();
    for value in before {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(own);
    HeaderValue::from_maybe_shared(Bytes::from(all))
}

/// This proxy's element of `Forwarded`: `for=192.0.2.7;host="llm.example:8443";proto=https`. `address` is an address as text. A host
/// that would need escapes is left out.
#[must_use]
pub fn forwarded_element(address: &[u8], host: Option<&[u8]>, proto: &[u8]) -> Vec<u8> {
    let mut element = Vec::with_capacity(32 + address.len() + host.map_or(0, <[u8]>::len));
    element.extend_from_slice(b"for=");
    if address.contains(&b':') {
        element.extend_from_slice(b"\"[");
        element.extend_from_slice(address);
        element.extend_from_slice(b"]\"");
    } else {
        element.extend_from_slice(address);
    }
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if let Some(host) = host.filter(|host| !host.is_empty() && host.iter().all(is_plain)) {
        // names are tokens; a port, or brackets, must be quoted
        let is_token = host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let quote: &[u8] = if is_token { b"" } else { b"\"" };
        for part in [b";host=".as_slice(), quote, host, quote] {
            element.extend_from_slice(part);
        }
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(proto);
    element
}

/// The port at which a client asked this host: its own, or that of the scheme.
#[must_use]
pub fn port_text(host: Option<&HeaderValue>, tls: bool) -> HeaderValue {
    let of_scheme = HeaderValue::from_static(if tls { "443" } else { "80" });
    let Some(host) = host.map(HeaderValue::as_bytes) else { return of_scheme };
    let Some(colon) = host.iter().rposition(|byte| !byte.is_ascii_digit()) else { return of_scheme };
    // the colons of an IPv6 address are within brackets
    let port = &host[colon + 1..];
    if host[colon] != b':' || port.is_empty() { of_scheme } else { HeaderValue::from_bytes(port).unwrap_or(of_scheme) }
}

#[cfg(test)]
mod tests;
