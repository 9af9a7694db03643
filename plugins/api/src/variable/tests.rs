use std::sync::Arc;

use http::{HeaderValue, Method, Version};

use super::*;
use crate::testing::context;
use crate::{ClientCertificate, ConnectionInfo, TlsInfo};

/// A request of 192.0.2.7 through a trusted proxy, with its response.
struct World {
    context: Context,
    method: Method,
    target: &'static str,
    version: Version,
    host: &'static str,
    server_name: &'static str,
    headers: HeaderMap,
    response: Option<(StatusCode, HeaderMap)>,
    upstream_addrs: UpstreamAddrs,
}

fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in all {
        map.append(*name, HeaderValue::from_static(value));
    }
    map
}

impl World {
    fn new() -> Self {
        let mut context = context();
        context.client = Some([192, 0, 2, 7].into());
        context.peer_is_trusted = true;
        context.set_connection(Arc::new(ConnectionInfo {
            peer: Some("10.0.0.1:4242".parse().unwrap()),
            local: Some("10.0.0.9:8443".parse().unwrap()),
            listener: Some("0.0.0.0:8443".parse().unwrap()),
            proxied: None,
            tls: None,
        }));
        context.principal_mut().key_name = Some("alice".into());
        let request = [
            ("cookie", "a=1; Session=xyz"),
            ("cookie", "b=2"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-tag", "one"),
            ("x-tag", "two"),
            ("content-type", "application/json"),
        ];
        Self {
            context,
            method: Method::POST,
            target: "/a%20b/c?x=1&Name=v%20w&flag",
            version: Version::HTTP_11,
            host: "LLM.Example",
            server_name: "*.example",
            headers: headers(&request),
            response: Some((StatusCode::OK, headers(&[("server", "origin"), ("vary", "a"), ("vary", "b")]))),
            upstream_addrs: UpstreamAddrs::default(),
        }
    }

    fn says(&self, text: &str) -> String {
        let template = VariableTemplate::try_from(text.to_owned()).unwrap();
        let variables = Variables {
            context: &self.context,
            request: RequestHead {
                method: &self.method,
                target: self.target.as_bytes(),
                path: "/a b/c",
                version: self.version,
                host: self.host,
                server_name: self.server_name,
                headers: &self.headers,
            },
            response: self.response.as_ref().map(|(status, headers)| (*status, headers)),
            upstream_addrs: &self.upstream_addrs,
        };
        let mut out = Vec::new();
        template.expand(&mut out, &variables);
        String::from_utf8(out).unwrap()
    }
}

#[test]
fn every_variable_of_a_request_has_nginxs_value() {
    let world = World::new();
    for (text, wanted) in [
        ("$host", "llm.example"),
        ("$remote_addr", "192.0.2.7"),
        ("$remote_port", ""),
        ("$remote_user", "alice"),
        ("$scheme$https", "http"),
        ("$server_addr:$server_port", "10.0.0.9:8443"),
        ("$server_name", "*.example"),
        ("$server_protocol", "HTTP/1.1"),
        ("$request", "POST /a%20b/c?x=1&Name=v%20w&flag HTTP/1.1"),
        ("$request_method", "POST"),
        ("https://$host$request_uri", "https://llm.example/a%20b/c?x=1&Name=v%20w&flag"),
        ("$uri|$document_uri", "/a b/c|/a b/c"),
        ("$is_args$args", "?x=1&Name=v%20w&flag"),
        ("$arg_x,$arg_name,$arg_flag,$arg_none", "1,v%20w,,"),
        ("$cookie_session,$cookie_b,$cookie_none", "xyz,2,"),
        ("$http_x_tag", "one, two"),
        ("$http_cookie", "a=1; Session=xyz; b=2"),
        ("$content_type", "application/json"),
        ("$proxy_add_x_forwarded_for", "192.0.2.7, 10.0.0.1"),
        ("<$proxy_add_x_forwarded_for>", "<192.0.2.7, 10.0.0.1>"),
        ("$realip_remote_addr:$realip_remote_port", "10.0.0.1:4242"),
        ("$proxy_protocol_addr$ssl_protocol$ssl_client_verify", ""),
    ] {
        assert_eq!(world.says(text), wanted, "{text}");
    }
    assert_eq!(world.says("$request_id"), world.context.id.to_string());
    let (seconds, millis) = world.says("$msec").split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_600_000_000 && millis.len() == 3);
}

#[test]
fn what_an_untrusted_client_says_of_its_way_is_no_part_of_the_chain() {
    let mut world = World::new();
    world.context.peer_is_trusted = false;
    world.context.client = Some([10, 0, 0, 1].into());
    assert_eq!(world.says("$proxy_add_x_forwarded_for"), "10.0.0.1");
    assert_eq!(world.says("<$proxy_add_x_forwarded_for>"), "<10.0.0.1>");
    assert_eq!(world.says("$remote_addr:$remote_port"), "10.0.0.1:4242");
    world.context.peer_is_trusted = true;
    world.headers.remove("x-forwarded-for");
    assert_eq!(world.says("<$proxy_add_x_forwarded_for>"), "<10.0.0.1>");
}

#[test]
fn a_response_is_the_upstreams_only_where_one_was_asked() {
    let mut world = World::new();
    let all = "$status $sent_http_server|$sent_http_vary|$upstream_http_server|$upstream_status|$upstream_addr";
    assert_eq!(world.says(all), "200 origin|a, b|||");
    world.upstream_addrs.push("10.0.1.1:80".parse().unwrap());
    world.upstream_addrs.push("10.0.1.2:80".parse().unwrap());
    assert_eq!(world.says(all), "200 origin|a, b|origin|200|10.0.1.1:80, 10.0.1.2:80");
    world.response = None;
    assert_eq!(world.says(all), " ||||10.0.1.1:80, 10.0.1.2:80");
}

#[test]
fn tls_is_told_as_openssl_names_it() {
    let mut world = World::new();
    let client = Some(ClientCertificate { subject: "CN=alice,O=team-a".into(), common_name: Some("alice".into()) });
    let tls = TlsInfo {
        protocol: "TLSv1.3",
        cipher: Some("TLS_AES_128_GCM_SHA256"),
        server_name: Some("llm.example".into()),
        client,
    };
    world.context.set_connection(Arc::new(ConnectionInfo { tls: Some(tls), ..ConnectionInfo::UNKNOWN }));
    world.version = Version::HTTP_2;
    assert_eq!(world.says("$scheme $https $server_protocol"), "https on HTTP/2.0");
    assert_eq!(world.says("$ssl_protocol $ssl_cipher $ssl_server_name"), "TLSv1.3 TLS_AES_128_GCM_SHA256 llm.example");
    assert_eq!(world.says("$ssl_client_s_dn $ssl_client_verify"), "CN=alice,O=team-a SUCCESS");
}

#[test]
fn every_name_is_a_variable_and_no_other() {
    for name in Variable::NAMES {
        assert!(Variable::named(name).is_some(), "{name}");
    }
    assert_eq!(
        Variable::named("http_x_forwarded_for"),
        Some(Variable::Http(HeaderName::from_static("x-forwarded-for")))
    );
    for name in ["", "hosts", "http_", "arg_", "cookie_", "sent_http_", "Host", "http"] {
        assert_eq!(Variable::named(name), None, "{name}");
    }
}

#[test]
fn a_host_that_was_not_named_is_that_of_the_route_and_nothing_where_it_has_none() {
    let mut world = World::new();
    world.host = "";
    assert_eq!(world.says("$host|$server_name"), "*.example|*.example");
    world.server_name = "";
    assert_eq!(world.says("$host|$server_name"), "|");
}

#[test]
fn a_header_value_has_no_control_characters_and_is_never_empty() {
    let mut world = World::new();
    world.context.principal_mut().key_name = Some("a\r\nx: y\u{7f}".into());
    let value = |world: &World, text: &str| {
        let template = VariableTemplate::try_from(text.to_owned()).unwrap();
        let request = RequestHead {
            method: &world.method,
            target: b"/",
            path: "/",
            version: world.version,
            host: world.host,
            server_name: "",
            headers: &world.headers,
        };
        let (context, upstream_addrs) = (&world.context, &world.upstream_addrs);
        template.header_value(&Variables { context, request, response: None, upstream_addrs })
    };
    assert_eq!(value(&world, "<$remote_user>").unwrap(), "<ax: y>");
    assert_eq!(value(&world, " $arg_x "), None);
}
