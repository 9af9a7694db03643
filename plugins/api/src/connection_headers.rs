//! The names of headers that belong to one connection or frame one message: each side makes its own, so no setting may name them.

/// Whether a header belongs to one connection, and is not passed on (RFC 9110 §7.6.1). `Connection` may name others.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "upgrade")
}

/// Whether a header, by its name in lower case, is hop-by-hop, says where a message ends, or says what its sender's connection can: the
/// gateway sets it, where it is set at all.
#[must_use]
pub fn is_of_connection(name: &str) -> bool {
    is_hop_by_hop(name)
        || matches!(name, "content-length" | "transfer-encoding" | "trailer" | "te" | "expect" | "http2-settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_on_is_not_of_the_connection() {
        for name in ["connection", "keep-alive", "proxy-connection", "upgrade"] {
            assert!(is_hop_by_hop(name) && is_of_connection(name), "{name}");
        }
        for name in ["content-length", "transfer-encoding", "trailer", "te", "expect", "http2-settings"] {
            assert!(is_of_connection(name) && !is_hop_by_hop(name), "{name}");
        }
        for name in ["host", "content-type", "content-encoding", "authorization", "x-request-id"] {
            assert!(!is_of_connection(name), "{name}");
        }
    }
}
