//! Where trusted proxies say a client's address.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where trusted proxies say a client's address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAddress {
    /// The header with the address, such as `CF-Connecting-IP`, or with a chain of them; `proxy_protocol`: none, since the PROXY protocol
    /// says it. Absent: `X-Forwarded-For`, else `Forwarded`, else `X-Real-IP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<AddressHeader>,
    /// Whether addresses of trusted proxies at the end of the chain are passed over.
    #[serde(default = "default_recursive")]
    pub recursive: bool,
}

impl Default for ClientAddress {
    fn default() -> Self {
        Self { header: None, recursive: default_recursive() }
    }
}

fn default_recursive() -> bool {
    true
}

/// What says a client's address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum AddressHeader {
    /// The PROXY protocol header of the connection, and no other.
    ProxyProtocol,
    /// This header of a request.
    Named(HeaderName),
}

const PROXY_PROTOCOL: &str = "proxy_protocol";

impl TryFrom<String> for AddressHeader {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if written == PROXY_PROTOCOL {
            return Ok(Self::ProxyProtocol);
        }
        let name = HeaderName::try_from(&written);
        name.map(Self::Named).map_err(|_| format!("`{written}` is not the name of a header"))
    }
}

impl From<AddressHeader> for String {
    fn from(header: AddressHeader) -> Self {
        match header {
            AddressHeader::ProxyProtocol => PROXY_PROTOCOL.to_owned(),
            AddressHeader::Named(name) => name.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_header_or_in_the_proxy_protocol() {
        for written in ["proxy_protocol", "cf-connecting-ip"] {
            assert_eq!(String::from(AddressHeader::try_from(written.to_owned()).unwrap()), written);
        }
        assert!(AddressHeader::try_from("a b".to_owned()).unwrap_err().contains("not the name of a header"));
    }
}
