//! Redirects of a server to itself, made redirects to the gateway: its address in `Location` and `Refresh` becomes the one that the client
//! asked, as nginx's `proxy_redirect default` does.

/// The addresses under which a server knows itself, each as `http://host:port` in lower case.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Box<[Box<str>]>);

impl OwnAddresses {
    /// A server's: of this scheme, under each of these authorities, with the port of the scheme or without it.
    #[must_use]
    pub fn new<'a>(tls: bool, authorities: impl IntoIterator<Item = &'a str>) -> Self {
        let (scheme, port) = if tls { ("https", ":443") } else { ("http", ":80") };
        let mut all: Vec<Box<str>> = Vec::new();
        for authority in authorities {
            let authority = authority.to_ascii_lowercase();
            let bare = authority.strip_suffix(port).unwrap_or(&authority);
            for authority in [bare.to_owned(), format!("{bare}{port}"), authority.clone()] {
                let is_known = all.iter().any(|known| known[scheme.len() + 3..] == *authority);
                // a port of another scheme stays
                let has_two = authority.strip_suffix(port).is_some_and(has_port);
                if !is_known && !has_two {
                    all.push(format!("{scheme}://{authority}").into());
                }
            }
        }
        Self(all.into())
    }

    /// What follows the address in a URL that begins with one of them: a path, a query, a fragment, or nothing.
    fn path_in<'u>(&self, url: &'u [u8]) -> Option<&'u [u8]> {
        self.0.iter().find_map(|own| {
            let (start, rest) = url.split_at_checked(own.len())?;
            let is_whole = matches!(rest, [] | [b'/' | b'?' | b'#', ..]);
            (is_whole && start.eq_ignore_ascii_case(own.as_bytes())).then_some(rest)
        })
    }

    /// The `Location` that the client gets; `None` if it stays. `base` is what the client asked: `https://llm.example`.
    #[must_use]
    pub fn location(&self, value: &[u8], base: &[u8]) -> Option<Vec<u8>> {
        self.path_in(value).map(|path| [base, path].concat())
    }

    /// The same for `Refresh`: `5; url=http://server/path`.
    #[must_use]
    pub fn refresh(&self, value: &[u8], base: &[u8]) -> Option<Vec<u8>> {
        const URL: &[u8] = b"url=";
        let at = value.windows(URL.len()).position(|bytes| bytes.eq_ignore_ascii_case(URL))? + URL.len();
        let (before, url) = value.split_at(at);
        let (quote, url) = match url {
            [quote @ (b'"' | b'\''), ..] => url.split_at(usize::from(*quote > 0)),
            _ => url.split_at(0),
        };
        self.path_in(url).map(|path| [before, quote, base, path].concat())
    }
}

/// Whether an authority has a port.
fn has_port(authority: &str) -> bool {
    let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    authority[host_end..].contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(own: &OwnAddresses, value: &str) -> Option<String> {
        own.location(value.as_bytes(), b"https://llm.example").map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_redirect_of_a_server_to_itself_leads_to_the_gateway() {
        let own = OwnAddresses::new(false, ["10.0.0.1:8080", "Inner.example"]);
        for (value, wanted) in [
            ("http://10.0.0.1:8080/a?b#c", Some("https://llm.example/a?b#c")),
            ("http://10.0.0.1:8080", Some("https://llm.example")),
            ("HTTP://INNER.example/a", Some("https://llm.example/a")),
            ("http://inner.example:80/a", Some("https://llm.example/a")),
            ("http://inner.example?q", Some("https://llm.example?q")),
            ("https://inner.example/a", None),
            ("http://10.0.0.1:80800/a", None),
            ("http://10.0.0.1/a", None),
            ("http://inner.example.evil.test/", None),
            ("http://inner.example@evil.test/", None),
            ("/a", None),
            ("//inner.example/a", None),
            ("", None),
        ] {
            assert_eq!(location(&own, value).as_deref(), wanted, "{value}");
        }
        let tls = OwnAddresses::new(true, ["api.example:443"]);
        assert_eq!(location(&tls, "https://api.example/a").as_deref(), Some("https://llm.example/a"));
        assert_eq!(location(&tls, "https://api.example:443/a").as_deref(), Some("https://llm.example/a"));
        let v6 = OwnAddresses::new(false, ["[::1]:8080", "[::2]"]);
        assert_eq!(location(&v6, "http://[::1]:8080/a").as_deref(), Some("https://llm.example/a"));
        assert_eq!(location(&v6, "http://[::2]:80/a").as_deref(), Some("https://llm.example/a"));
        assert_eq!(location(&v6, "http://[::1]:8080:80/a"), None);
    }

    #[test]
    fn a_refresh_is_changed_behind_its_url() {
        let own = OwnAddresses::new(false, ["a:1"]);
        let refresh =
            |value: &str| own.refresh(value.as_bytes(), b"http://b").map(|value| String::from_utf8(value).unwrap());
        assert_eq!(refresh("5; url=http://a:1/x").as_deref(), Some("5; url=http://b/x"));
        assert_eq!(refresh("0;URL='http://a:1/x'").as_deref(), Some("0;URL='http://b/x'"));
        assert_eq!(refresh("5"), None);
        assert_eq!(refresh("5; url=/x"), None);
        assert_eq!(refresh("5; url="), None);
    }
}
