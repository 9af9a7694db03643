//! The cookie of a session: how it is read from requests, and set and removed by answers.

use hyper::HeaderMap;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};

use super::sessions::LIFETIME;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The cookie of the dashboard at the address where a request found it. Browsers have one jar for all ports of a host, so that the port is
/// a part of the name: sessions of several gateways on one host live side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    name: String,
    is_secure: bool,
}

impl Cookie {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| is_number(port));
        let name = port.map_or_else(|| "tollgate_dashboard".to_owned(), |port| format!("tollgate_dashboard_{port}"));
        // a browser says by which scheme it sends a form, a reverse proxy by which one it was asked
        let by_browser = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
        let by_proxy = headers.get(X_FORWARDED_PROTO).is_some_and(|scheme| scheme == "https");
        Self { name, is_secure: by_browser || by_proxy }
    }

    /// The ids of sessions that a request carries. More than one means that somebody else can set cookies for this host.
    pub(super) fn ids<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == self.name).map(|(_, id)| id)
    }

    /// `set-cookie` with the id of a session.
    pub(super) fn set(&self, id: &str) -> Option<HeaderValue> {
        self.value(id, LIFETIME.as_secs())
    }

    /// `set-cookie` that removes it.
    pub(super) fn remove(&self) -> Option<HeaderValue> {
        self.value("", 0)
    }

    fn value(&self, id: &str, max_age: u64) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let attributes = format!("Path=/dashboard; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&format!("{}={id}; {attributes}", self.name)).ok()
    }
}

fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn each_port_of_a_host_has_a_cookie_of_its_own() {
        for (host, name) in [
            ("localhost:9090", "tollgate_dashboard_9090"),
            ("[::1]:9091", "tollgate_dashboard_9091"),
            ("admin.example.com", "tollgate_dashboard"),
            ("[::1]", "tollgate_dashboard"),
            ("a:b; Domain=x", "tollgate_dashboard"),
            ("a:123456", "tollgate_dashboard"),
        ] {
            assert_eq!(Cookie::of(&headers(&[("host", host)])).name, name, "{host}");
        }
    }

    #[test]
    fn ids_are_read_among_other_cookies() {
        let cookie = Cookie::of(&headers(&[("host", "a:1")]));
        let ids = |value: &str| {
            let headers = headers(&[("cookie", value)]);
            cookie.ids(&headers).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(ids("a=b; tollgate_dashboard_1=x; c=d"), ["x"]);
        assert_eq!(ids("tollgate_dashboard_1=x;tollgate_dashboard_1=y=z"), ["x", "y=z"]);
        assert!(ids("tollgate_dashboard=x; Tollgate_dashboard_1=x; tollgate_dashboard_1").is_empty());
    }

    #[test]
    fn no_script_and_no_other_site_gets_it_and_over_https_it_stays_there() {
        let text = |pairs: &[(&'static str, &str)]| {
            let set = Cookie::of(&headers(pairs)).set("id").unwrap();
            set.to_str().unwrap().to_owned()
        };
        let plain = "tollgate_dashboard=id; Path=/dashboard; Max-Age=43200; HttpOnly; SameSite=Strict";
        assert_eq!(text(&[]), plain);
        assert_eq!(text(&[("origin", "http://a")]), plain);
        for secure in [("origin", "https://a"), ("x-forwarded-proto", "https")] {
            assert_eq!(text(&[secure]), format!("{plain}; Secure"));
        }
        let removed = Cookie::of(&HeaderMap::new()).remove().unwrap();
        assert_eq!(removed, "tollgate_dashboard=; Path=/dashboard; Max-Age=0; HttpOnly; SameSite=Strict");
    }
}
