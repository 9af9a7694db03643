//! Access to the admin listener: by its token, if it has one, and never for web pages of other sites, nor by host names that were pointed
//! here (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request};
use plugin_api::without_bearer;

use crate::routes::host_of;
use crate::settings::AdminToken;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// Its host is not a name of this listener.
    Host,
    /// A page of another site sent it.
    Site,
    /// It lacks the token.
    Token,
}

impl Forbidden {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Host => "unknown Host: wanted an IP address, a name without dots, or one of `admin.hosts`",
            Self::Site => "requests from pages of other sites are refused",
            Self::Token => "wanted `authorization: Bearer TOKEN` with the token of `admin.token`",
        }
    }
}

/// Admits a request that passes all of the checks below.
pub(super) fn admit<B>(
    request: &Request<B>,
    known: impl Fn(&str) -> bool,
    token: Option<&AdminToken>,
) -> Result<(), Forbidden> {
    check_host(request, known)?;
    check_site(request.headers())?;
    match token {
        Some(token) if !shows(request.headers(), token) => Err(Forbidden::Token),
        _ => Ok(()),
    }
}

/// Admits a request whose host is an IP address, a name without dots (`localhost`, a service of Kubernetes or Docker; public DNS has no
/// such names), or a `known` name.
pub(super) fn check_host<B>(request: &Request<B>, known: impl Fn(&str) -> bool) -> Result<(), Forbidden> {
    let is_ours = |authority: &str| {
        let host = host_of(authority);
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ip = host.parse::<Ipv4Addr>().is_ok() || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        is_ip || !host.contains('.') || known(host)
    };
    // a request without a host is HTTP/1.0, which browsers do not speak
    let mut hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str());
    let in_target = request.uri().authority().is_none_or(|authority| is_ours(authority.as_str()));
    if in_target && hosts.all(|host| host.is_ok_and(is_ours)) { Ok(()) } else { Err(Forbidden::Host) }
}

/// Admits a request unless a page of another site sent it.
pub(super) fn check_site(headers: &HeaderMap) -> Result<(), Forbidden> {
    let same_site = |value: &HeaderValue| value == "same-origin" || value == "none";
    let same_origin = |value: &HeaderValue| {
        let origin = value.to_str().ok().and_then(|origin| origin.split_once("://"));
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        origin.zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host))
    };
    let from_here =
        headers.get_all(SEC_FETCH_SITE).iter().all(same_site) && headers.get_all(ORIGIN).iter().all(same_origin);
    if from_here { Ok(()) } else { Err(Forbidden::Site) }
}

/// Whether a browser asks for a page because somebody followed a link, which may be one of another site: what it gets is shown in a window
/// of its own, and no page can read it.
pub(super) fn follows_link<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let says = |name: HeaderName, wanted: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().is_some_and(|value| value == wanted) && values.next().is_none()
    };
    *request.method() == Method::GET
        && says(SEC_FETCH_MODE, "navigate")
        && says(SEC_FETCH_DEST, "document")
        && !headers.contains_key(ORIGIN)
}

/// Whether a request carries the token.
pub(super) fn shows(headers: &HeaderMap, token: &AdminToken) -> bool {
    bearer(headers).is_some_and(|presented| token.is(presented))
}

/// The token that a request carries, if it carries one alone.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(without_bearer(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(target: &str, headers: &[(&str, &str)]) -> Result<(), Forbidden> {
        let request =
            headers.iter().fold(Request::builder().uri(target), |all, (name, value)| all.header(*name, *value));
        let request = request.body(()).unwrap();
        let token = AdminToken::try_from("0123456789abcdef".to_owned()).unwrap();
        let token = request.headers().contains_key(AUTHORIZATION).then_some(&token);
        admit(&request, |host| host.eq_ignore_ascii_case("admin.example.com"), token)
    }

    #[test]
    fn a_listener_is_asked_by_address_by_a_local_name_or_by_its_own() {
        for host in [
            "127.0.0.1:9090",
            "10.1.2.3",
            "[::1]:9090",
            "[fd00::1]",
            "localhost:9090",
            "LOCALHOST",
            "tollgate-admin:9090",
            "admin.example.com",
            "Admin.Example.com.:9090",
        ] {
            assert_eq!(admitted("/metrics", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(admitted("/metrics", &[]), Ok(()));
        for host in ["evil.example", "127.0.0.1.nip.io:9090", "admin.example.com.evil.example", "0x7f.1"] {
            assert_eq!(admitted("/metrics", &[("host", host)]), Err(Forbidden::Host), "{host}");
        }
        assert_eq!(admitted("/metrics", &[("host", "localhost"), ("host", "evil.example")]), Err(Forbidden::Host));
        assert_eq!(admitted("http://evil.example/metrics", &[("host", "localhost")]), Err(Forbidden::Host));
    }

    #[test]
    fn a_token_is_read_where_it_stands_alone() {
        let asked = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            admitted("/metrics", &[&[("host", "localhost")], &*headers].concat())
        };
        assert_eq!(asked(&["Bearer 0123456789abcdef"]), Ok(()));
        assert_eq!(asked(&["bearer 0123456789abcdef"]), Ok(()));
        assert_eq!(asked(&["Bearer wrong"]), Err(Forbidden::Token));
        // two contradict each other: the request counts as one without
        assert_eq!(asked(&["Bearer 0123456789abcdef", "Bearer wrong"]), Err(Forbidden::Token));
        assert_eq!(asked(&["Basic c2VjcmV0"]), Err(Forbidden::Token));
    }

    #[test]
    fn a_page_of_another_site_may_not_ask() {
        let asked = |name: &str, value: &str| admitted("/reload", &[("host", "localhost:9090"), (name, value)]);
        for (name, value) in
            [("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin"), ("origin", "http://localhost:9090")]
        {
            assert_eq!(asked(name, value), Ok(()), "{name}: {value}");
        }
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
        ] {
            assert_eq!(asked(name, value), Err(Forbidden::Site), "{name}: {value}");
        }
    }

    #[test]
    fn a_link_is_followed_into_a_window_of_its_own() {
        let follows = |method: &str, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method).uri("/dashboard");
            let request = headers.iter().fold(request, |all, (name, value)| all.header(*name, *value));
            follows_link(&request.body(()).unwrap())
        };
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(follows("GET", &link));
        assert!(!follows("POST", &link));
        assert!(!follows("GET", &link[..2]) && !follows("GET", &[link[0], link[2]]));
        let framed = [link[0], link[1], ("sec-fetch-dest", "iframe")];
        assert!(!follows("GET", &framed) && !follows("GET", &[link[0], ("sec-fetch-mode", "no-cors"), link[2]]));
        assert!(!follows("GET", &[&link[..], &[("origin", "https://evil.example")]].concat()));
    }
}
