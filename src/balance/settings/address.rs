//! The address of a server and the name in its `Host`, parsed once.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its name or IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As the YAML writes it.
    written: String,
}

impl ServerAddress {
    /// Whether it was written as a URL, and so has a name of its own to send as `Host`.
    #[must_use]
    pub fn is_url(&self) -> bool {
        self.written.contains("://")
    }

    /// The authority for `Host`: the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("`{written}` is not a server's address: {why}; write `host:port`, `http://host` or `https://host`")
        };
        let (tls, rest, default_port) = match written.split_once("://") {
            Some(("https", rest)) => (true, rest, Some(443)),
            Some(("http", rest)) => (false, rest, Some(80)),
            Some((scheme, _)) => return Err(wrong(&format!("the scheme `{scheme}` is unknown"))),
            None => (false, written, None),
        };
        let rest = if default_port.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return Err(wrong("it holds more than a host and a port"));
        }
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, port))) => (host, port.strip_prefix(':')),
            Some(None) => return Err(wrong("the bracket is not closed")),
            None => match rest.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => return Err(wrong("an IPv6 address belongs in brackets")),
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(wrong("what stands in the brackets is not an IPv6 address"));
        }
        let port = match (port, default_port) {
            (Some(port), _) => port
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("the port is not one of 1 to 65535"))?,
            (None, Some(port)) => port,
            (None, None) => return Err(wrong("the port is missing")),
        };
        Ok(Self { tls, host: host.to_owned(), port, written: written.to_owned() })
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        written.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.written
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A value fit for the `Host` header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HostHeader(String);

impl HostHeader {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostHeader {
    type Error = String;

    fn try_from(host: String) -> Result<Self, String> {
        match host.parse::<http::uri::Authority>() {
            Ok(authority) if !host.contains('@') && !authority.host().is_empty() => Ok(Self(host)),
            _ => Err(format!("`{host}` cannot be sent as Host; write `name` or `name:port`")),
        }
    }
}

impl From<HostHeader> for String {
    fn from(host: HostHeader) -> Self {
        host.0
    }
}

/// A name that a certificate can be verified for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TlsName(String);

impl TlsName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TlsName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match rustls_pki_types::ServerName::try_from(name.as_str()) {
            Ok(_) => Ok(Self(name)),
            Err(_) => Err(format!("`{name}` is not a name that TLS can verify; write a host name or an IP address")),
        }
    }
}

impl From<TlsName> for String {
    fn from(name: TlsName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_url() {
        for (written, tls, host, port, authority) in [
            ("proxy1:3000", false, "proxy1", 3000, "proxy1:3000"),
            ("127.0.0.1:80", false, "127.0.0.1", 80, "127.0.0.1"),
            ("[::1]:3000", false, "::1", 3000, "[::1]:3000"),
            ("http://x", false, "x", 80, "x"),
            ("https://api.anthropic.com", true, "api.anthropic.com", 443, "api.anthropic.com"),
            ("https://api.anthropic.com/", true, "api.anthropic.com", 443, "api.anthropic.com"),
            ("https://x:8443", true, "x", 8443, "x:8443"),
        ] {
            let address: ServerAddress = written.parse().unwrap();
            assert_eq!((address.tls, address.host.as_str(), address.port), (tls, host, port), "{written}");
            assert_eq!(address.authority(), authority);
        }
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong_with_it() {
        for (written, why) in [
            ("proxy1", "the port is missing"),
            (":3000", "the host is missing"),
            ("proxy1:0", "the port is not one of"),
            ("ftp://x", "the scheme `ftp` is unknown"),
            ("https://x/v1", "more than a host and a port"),
            ("::1:3000", "belongs in brackets"),
            ("https://", "the host is missing"),
        ] {
            let error = written.parse::<ServerAddress>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
