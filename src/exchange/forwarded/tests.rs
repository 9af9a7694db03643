use proptest::prelude::*;

use super::*;

fn trusted() -> Vec<Network> {
    ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).to_vec()
}

/// The client behind the proxy 10.0.0.1, which sends these headers.
fn client(headers: &[(&'static str, &str)]) -> String {
    believed_client([10, 0, 0, 1].into(), &map(headers), Proxies { trusted: &trusted(), recursive: true }).to_string()
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[test]
fn one_header_alone_may_say_it_and_its_last_address_may_count() {
    let headers = map(&[("x-forwarded-for", "6.6.6.6"), ("cf-connecting-ip", "192.0.2.7, 10.0.0.2")]);
    let name = HeaderName::from_static("cf-connecting-ip");
    for (recursive, wanted) in [(true, "192.0.2.7"), (false, "10.0.0.2")] {
        let proxies = Proxies { trusted: &trusted(), recursive };
        assert_eq!(client_in(&name, [10, 0, 0, 1].into(), &headers, proxies).to_string(), wanted);
    }
    let proxies = Proxies { trusted: &trusted(), recursive: true };
    assert_eq!(client_in(&X_REAL_IP, [10, 0, 0, 1].into(), &headers, proxies).to_string(), "10.0.0.1");
}

#[test]
fn the_client_is_the_last_of_the_chain_that_is_no_trusted_proxy() {
    for (chain, wanted) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("6.6.6.6,192.0.2.7,10.0.0.3 ,  10.0.0.2,", "192.0.2.7"),
        ("10.0.0.4, 10.0.0.3", "10.0.0.4"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db9::1]:4711, 2001:db8::5", "2001:db9::1"),
        ("2001:db9::1", "2001:db9::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("192.0.2.7, unknown", "10.0.0.1"),
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.7:port", "10.0.0.1"),
    ] {
        assert_eq!(client(&[("x-forwarded-for", chain)]), wanted, "{chain}");
    }
}

#[test]
fn lines_are_read_from_the_last_as_one_chain() {
    let lines =
        [("x-forwarded-for", "6.6.6.6, 192.0.2.7"), ("x-forwarded-for", "10.0.0.3"), ("x-forwarded-for", "10.0.0.2")];
    assert_eq!(client(&lines), "192.0.2.7");
}

#[test]
fn forwarded_is_read_as_its_standard_says() {
    for (header, wanted) in [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=\"192.0.2.7:4711\";proto=https;by=10.0.0.1", "192.0.2.7"),
        ("proto=https; for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        ("for=6.6.6.6, for=\"[2001:db9::1]:80\", for=\"[2001:db8::2]\"", "2001:db9::1"),
        ("for=6.6.6.6, for=_hidden", "10.0.0.1"),
        ("for=192.0.2.7;host=\"a, for=6.6.6.6\"", "192.0.2.7"),
        ("for=192.0.2.7;host=\"a\\\", for=6.6.6.6\"", "192.0.2.7"),
        ("for=6.6.6.6, proto=https", "10.0.0.1"),
    ] {
        assert_eq!(client(&[("forwarded", header)]), wanted, "{header}");
    }
}

#[test]
fn x_forwarded_for_goes_before_forwarded_and_that_before_x_real_ip() {
    let (real, forwarded) = (("x-real-ip", "192.0.2.1"), ("forwarded", "for=192.0.2.2"));
    assert_eq!(client(&[real]), "192.0.2.1");
    assert_eq!(client(&[real, forwarded]), "192.0.2.2");
    assert_eq!(client(&[real, forwarded, ("x-forwarded-for", "192.0.2.3")]), "192.0.2.3");
    assert_eq!(client(&[]), "10.0.0.1");
}

#[test]
fn an_address_reads_as_the_standard_library_writes_it() {
    for address in ["127.0.0.1", "255.255.255.255", "1.20.100.9", "0.0.0.0", "10.99.200.105", "::1", "2001:db8::1"] {
        let client: IpAddr = address.parse().unwrap();
        assert_eq!(address_text(client), client.to_string());
    }
}

#[test]
fn this_proxy_stands_behind_those_before_it() {
    let before = ["10.0.0.1", "10.0.0.2"].map(HeaderValue::from_static);
    assert_eq!(joined(&before, b"10.0.0.3").unwrap(), "10.0.0.1, 10.0.0.2, 10.0.0.3");
    assert_eq!(joined(&[], b"10.0.0.3").unwrap(), "10.0.0.3");
}

#[test]
fn an_element_of_forwarded_quotes_what_is_no_token() {
    for (address, host, wanted) in [
        ("192.0.2.7", Some("llm.example"), "for=192.0.2.7;host=llm.example;proto=http"),
        ("2001:db8::1", Some("[::1]:80"), "for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=http"),
        ("192.0.2.7", Some("a:8080"), "for=192.0.2.7;host=\"a:8080\";proto=http"),
        ("192.0.2.7", Some("a\";for=6.6.6.6"), "for=192.0.2.7;proto=http"),
        ("192.0.2.7", None, "for=192.0.2.7;proto=http"),
    ] {
        let element = forwarded_element(address.as_bytes(), host.map(str::as_bytes), b"http");
        assert_eq!(String::from_utf8(element).unwrap(), wanted);
    }
}

#[test]
fn the_port_is_that_of_the_host_else_that_of_the_scheme() {
    for (host, tls, wanted) in [
        (Some("a:8080"), false, "8080"),
        (Some("a"), false, "80"),
        (Some("a"), true, "443"),
        (Some("[::1]:8443"), true, "8443"),
        (Some("[::1]"), true, "443"),
        (Some("a:"), false, "80"),
        (Some("10.0.0.1"), true, "443"),
        (None, true, "443"),
    ] {
        let host = host.map(HeaderValue::from_static);
        assert_eq!(port_text(host.as_ref(), tls), wanted, "{host:?}");
    }
}

proptest! {
    /// What stands before the first untrusted address from the end was written by somebody who is not trusted.
    #[test]
    fn nothing_that_an_untrusted_client_writes_is_believed(
        lies in "[ -~]{0,40}",
        proxies in prop::collection::vec(any::<[u8; 3]>(), 0..4),
    ) {
        let mut chain = format!("{lies}, 192.0.2.7");
        for [a, b, c] in proxies {
            chain += &format!(", 10.{a}.{b}.{c}");
        }
        prop_assert_eq!(client(&[("x-forwarded-for", &chain)]), "192.0.2.7");
    }

    #[test]
    fn anything_is_read(header in "[ -~]{0,60}") {
        client(&[("x-forwarded-for", &header)]);
        client(&[("forwarded", &header)]);
        client(&[("x-real-ip", &header)]);
    }
}
