//! The head of a client's request as every hook sees it, that of its response included.

use http::{HeaderMap, Method, Version};

/// The head of a client's request. Copying it copies references.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target as the client sent it: path and query, or in absolute form.
    pub target: &'a [u8],
    /// The path that goes upstream, which is the client's unless the route changes it, in its normal form: decoded, with dots resolved and
    /// slashes merged. The request is understood by it.
    pub path: &'a str,
    /// The version of HTTP.
    pub version: Version,
    /// The host asked for, as the client wrote it, without the port.
    pub host: &'a str,
    /// The first of the route's `hosts` as the YAML writes it; empty where the route names none.
    pub server_name: &'a str,
    /// The headers, hop-by-hop ones included.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// Path and query as the client sent them, without the scheme and the authority of an absolute form.
    #[must_use]
    pub fn request_uri(&self) -> &'a [u8] {
        if let [b'/' | b'*', ..] = self.target {
            return self.target;
        }
        let Some(scheme) = self.target.windows(3).position(|bytes| bytes == b"://") else { return self.target };
        let rest = &self.target[scheme + 3..];
        rest.iter().position(|byte| matches!(byte, b'/' | b'?')).map_or(b"/", |path| &rest[path..])
    }

    /// The query, without its question mark; `None` where there is no question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        let uri = self.request_uri();
        uri.iter().position(|byte| *byte == b'?').map(|mark| &uri[mark + 1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_form_has_a_path_too() {
        for (target, uri, query) in [
            ("/a?b=c", "/a?b=c", Some("b=c")),
            ("/a", "/a", None),
            ("/a?", "/a?", Some("")),
            ("http://h/a?b", "/a?b", Some("b")),
            ("http://h", "/", None),
            ("http://h?b", "?b", Some("b")),
            ("*", "*", None),
        ] {
            let head = RequestHead {
                method: &Method::GET,
                target: target.as_bytes(),
                path: "/",
                version: Version::HTTP_11,
                host: "",
                server_name: "",
                headers: &HeaderMap::new(),
            };
            assert_eq!(head.request_uri(), uri.as_bytes(), "{target}");
            assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        }
    }
}
