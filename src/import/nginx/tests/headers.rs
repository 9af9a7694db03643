//! What becomes of headers, of requests and of responses, and who is believed in them.

use super::*;

#[test]
fn headers_replace_those_around_them_wholesale() {
    let lines = server(
        "proxy_set_header Host $host; proxy_set_header X-Outer 1; add_header X-A 1 always;\n\
         location /inner { proxy_pass http://a:1; proxy_set_header X-Inner $request_method; }\n\
         location / { proxy_pass http://b:1; proxy_hide_header X-Powered-By; add_header X-B $upstream_addr; proxy_set_header Proxy \"\"; }",
    );
    has(
        &lines,
        &[
            "host: \"a:1\"",
            "request: { set: { X-Inner: \"$request_method\" } }",
            "response: { add: { X-A: \"1\" } }",
            "request: { remove: [Proxy] }",
            "response: { remove: [X-Powered-By] }",
            "success: { add: { X-B: \"$upstream_addr\" } }",
        ],
    );
    assert!(!lines.iter().any(|line| line.contains("X-Outer")), "{lines:?}");
}

#[test]
fn a_header_of_an_answer_may_depend_on_the_request() {
    let lines = server(
        "location / { set $x $scheme; if ($http_x_kind = a) { set $x b; } add_header X-B $x; add_header X-C 1; return 200 in; }",
    );
    has(&lines, &["headers: { x-kind: a }", "add: { X-B: b, X-C: \"1\" }", "add: { X-B: \"$scheme\", X-C: \"1\" }"]);
    let (lines, left_out) = lines_of(
        "map $http_x_kind $kind { default c; a d; } server { listen 80; location / { add_header X-B $kind; add_header X-C 1; return 200 in; } }",
    );
    assert_eq!(left_out, "");
    has(&lines, &["add: { X-B: d, X-C: \"1\" }", "add: { X-B: c, X-C: \"1\" }"]);
}

#[test]
fn proxies_before_it_are_trusted_as_they_were() {
    let (lines, left_out) = lines_of(
        "set_real_ip_from 10.0.0.0/8; set_real_ip_from unix:; real_ip_header CF-Connecting-IP;\n\
         server { location / { proxy_pass http://a:1; proxy_set_header X-Forwarded-Proto $scheme; } }",
    );
    has(
        &lines,
        &[
            "trusted_proxies: [\"10.0.0.0/8\"]",
            "header: cf-connecting-ip",
            "recursive: false",
            "set: { X-Forwarded-Proto: \"$scheme\" }",
        ],
    );
    assert_eq!(left_out, "");
}

#[test]
fn a_server_that_hands_requests_on_to_another_of_its_own_is_believed_there() {
    let of = |address: &str, value: &str| {
        lines_of(&format!(
            "map $http_x_forwarded_proto $proto {{ default $http_x_forwarded_proto; '' $scheme; }}\n\
             server {{ listen 81; location / {{ proxy_pass http://{address}; proxy_set_header X-Forwarded-Proto $scheme; }} }}\n\
             server {{ listen 80; location / {{ proxy_pass http://a:1; proxy_set_header X-Forwarded-Proto {value}; }} }}"
        ))
        .0
    };
    for (address, value) in
        [("localhost:80", "$proto"), ("127.0.0.1", "$proto"), ("localhost:80", "$http_x_forwarded_proto")]
    {
        let lines = of(address, value);
        has(&lines, &["trusted_proxies: [\"127.0.0.1\", \"::1\"]"]);
        // the first server sets it: a client at the loopback address would be believed
        has(&lines, &["set: { X-Forwarded-Proto: \"$scheme\" }"]);
    }
    for (address, value) in [("localhost:80", "$scheme"), ("localhost:82", "$proto"), ("10.0.0.1:80", "$proto")] {
        let lines = of(address, value);
        assert!(!lines.iter().any(|line| line.contains("trusted_proxies")), "{address} {value} {lines:?}");
    }
}

#[test]
fn nobody_is_believed_for_it_where_rules_are_by_address() {
    let of = |http: &str, rule: &str| {
        lines_of(&format!(
            "{http}\n\
             server {{ listen 81; location / {{ proxy_pass http://localhost:80; proxy_set_header X-Forwarded-Proto $scheme; }} }}\n\
             server {{ listen 80; location / {{ proxy_pass http://a:1; proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto; {rule} }} }}"
        ))
        .0
    };
    let zone = "limit_req_zone $binary_remote_addr zone=a:1m rate=1r/s;";
    for (http, rule) in [("", "allow 10.0.0.0/8; deny all;"), ("", "deny 127.0.0.1;"), (zone, "limit_req zone=a;")] {
        let lines = of(http, rule);
        assert!(!lines.iter().any(|line| line.contains("trusted_proxies: [")), "{rule} {lines:?}");
    }
    for rule in ["allow all;", "deny all;"] {
        has(&of("", rule), &["trusted_proxies: [\"127.0.0.1\", \"::1\"]"]);
    }
}

#[test]
fn websockets_pass_where_nginx_passes_the_wish_for_one() {
    let lines = server(
        "location /a { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }\n\
         location /b { proxy_pass http://b:1; }",
    );
    let ignoring: Vec<&String> = lines.iter().filter(|line| line.contains("ignore")).collect();
    assert_eq!(ignoring, ["- { paths: [\"/b\"], upstream: b-1, websocket: ignore, max_body: \"1MiB\" }"]);
}
