//! Each family of directives: what becomes of it.

use super::*;

/// The lines of the YAML behind its comments, without their indentation, and what was left out.
pub(super) fn lines_of(text: &str) -> (Vec<String>, String) {
    let (_, yaml, left_out) = imported(text);
    (yaml.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()).collect(), left_out)
}

/// The same lines of a configuration that is not loaded.
pub(super) fn unloaded(text: &str) -> Vec<String> {
    let Imported { yaml, .. } = of_directives("n.conf", &parser::parse(&Rc::from("n.conf"), text).unwrap()).unwrap();
    yaml.lines().map(|line| line.trim().to_owned()).collect()
}

/// A server at the usual port with these directives, of which nothing is left out.
pub(super) fn server(directives: &str) -> Vec<String> {
    let (lines, left_out) = lines_of(&format!("server {{ listen 80;\n{directives}\n}}"));
    assert_eq!(left_out, "", "{directives}");
    lines
}

#[track_caller]
pub(super) fn has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted} in\n{}", lines.join("\n"));
    }
}

#[test]
fn an_upstream_keeps_its_servers_and_their_parameters() {
    let (lines, left_out) = lines_of(
        "upstream a { hash $http_x_user consistent; server a:1 weight=3 max_fails=2 fail_timeout=5s max_conns=9; server b:2 backup;\n \
         server c:3 down slow_start=30s; keepalive 16; keepalive_timeout 20s; zone a 64k; }\n\
         server { location / { proxy_pass http://a; proxy_set_header Host $host; proxy_next_upstream error http_503 non_idempotent;\n \
         proxy_next_upstream_tries 2; } }",
    );
    assert_eq!(left_out, "");
    has(
        &lines,
        &[
            "balance: { hash: \"header:x-user\" }",
            "- { address: \"a:1\", weight: 3, max_fails: 2, fail_timeout: \"5s\", max_conns: 9 }",
            "- { address: \"b:2\", backup: true }",
            "- { address: \"c:3\", down: true, slow_start: \"30s\" }",
            "keepalive: { connections: 16, idle_timeout: \"20s\" }",
            "retry: { attempts: 2, \"on\": [connect, error, http_503, non_idempotent] }",
            "eject: { \"on\": [503] }",
        ],
    );
}

#[test]
fn without_a_rule_servers_take_turns() {
    let (lines, _) = lines_of("upstream a { server a:1; server b:2; } server { location / { proxy_pass http://a; } }");
    has(&lines, &["balance: round_robin", "host: a", "redirects: own", "\"on\": [connect, error, timeout]"]);
}

#[test]
fn two_locations_that_want_different_hosts_have_two_upstreams() {
    let lines = server(
        "location /a { proxy_pass http://x:1; } location / { proxy_pass http://x:1; proxy_set_header Host $host; }",
    );
    has(&lines, &["x-1: {", "x-1-2: {", "host: \"x:1\""]);
}

#[test]
fn a_server_with_https_has_its_name_and_its_authorities() {
    let lines = server(
        "location / { proxy_pass https://api.example.com; proxy_set_header Host api.example.com; proxy_ssl_server_name on;\n \
         proxy_ssl_name inner.example.com; }",
    );
    has(&lines, &["address: \"https://api.example.com\"", "tls: { server_name: inner.example.com }"]);
    let (_, yaml, left_out) =
        imported("server { location / { proxy_pass https://a.example.com; proxy_set_header Host $host; } }");
    assert!(left_out.contains("cannot go to a server with `https`") && yaml.contains("status: 403"), "{yaml}");
}

#[test]
fn several_servers_at_an_address_are_told_apart_by_their_hosts() {
    let (lines, left_out) = lines_of(
        "server { listen 80; server_name a.example.com; location / { proxy_pass http://a:1; } }\n\
         server { listen 80 default_server; server_name b.example.com; location /b { proxy_pass http://b:1; } }\n\
         server { listen 80; server_name .c.example.com www.d.*; location / { proxy_pass http://c:1; } }\n\
         server { listen 80; server_name _; location / { proxy_pass http://d:1; } }",
    );
    let routes: Vec<&String> = lines.iter().skip_while(|line| !line.starts_with("routes")).skip(1).collect();
    let begins =
        ["- { hosts: [a.example.com], upstream: a-1", "- { hosts: [b.example.com], paths: [\"/b\"], upstream: b-1"];
    assert!(routes[0].starts_with(begins[0]) && routes[1].starts_with(begins[1]), "{routes:?}");
    assert!(routes[3].contains("hosts: [c.example.com, \"*.c.example.com\"]"), "{routes:?}");
    // it may be one of `www.d.*`
    assert!(routes[4].starts_with("- { answer: { status: 403 } }"), "{routes:?}");
    let left_out: Vec<&str> = left_out.lines().collect();
    assert!(left_out[0].starts_with("n.conf:3: left out: `server_name .c.example.com www.d.*`"), "{left_out:?}");
    assert!(left_out[2].starts_with("n.conf:4: left out: `server`: no name is its own"), "{left_out:?}");
}

#[test]
fn servers_at_different_addresses_are_told_apart_by_scheme_or_listener() {
    let (lines, _) = lines_of(
        "server { listen 8001; location / { proxy_pass http://a:1; } } server { listen 8002; location / { proxy_pass http://b:1; } }",
    );
    has(&lines, &["listeners: [\"0.0.0.0:8001\"], upstream: a-1", "listeners: [\"0.0.0.0:8002\"], upstream: b-1"]);
    let lines = unloaded(
        "server { listen 80; return 301 https://$host$request_uri; }\n\
         server { listen 443 ssl proxy_protocol; ssl_certificate a.pem; ssl_certificate_key a.key; ssl_protocols TLSv1.3;\n \
         ssl_verify_client on; ssl_client_certificate ca.pem; location / { proxy_pass http://a:1; } }",
    );
    has(
        &lines,
        &[
            "- { scheme: http, redirect: \"https://$host$request_uri\" }",
            "scheme: https, upstream: a-1",
            "proxy_protocol: true",
            "certificates: [{ certificate: a.pem, private_key: a.key }]",
            "min_version: \"1.3\"",
            "client_ca: ca.pem",
            "client_certificates: required",
        ],
    );
}

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
fn rules_for_addresses_keep_their_order() {
    let lines = server(
        "location /a { deny 10.0.0.1; allow 10.0.0.0/8; deny all; proxy_pass http://a:1; }\n\
         location / { allow 10.0.0.0/8; deny all; proxy_pass http://a:1; }",
    );
    has(
        &lines,
        &[
            "access: { rules: [{ deny: \"10.0.0.1\" }, { allow: \"10.0.0.0/8\" }, { deny: all }] }",
            "access: { allow: [\"10.0.0.0/8\"], deny: [all] }",
        ],
    );
}

#[test]
fn limits_count_as_their_zones_say() {
    let (lines, left_out) = lines_of(
        "limit_req_zone $binary_remote_addr zone=a:1m rate=10r/s; limit_req_zone $cookie_x zone=c:1m rate=1r/s;\n\
         limit_conn_zone $http_x_key zone=b:1m;\n\
         server { location / { limit_req zone=a burst=5 nodelay; limit_conn b 3; proxy_pass http://a:1; }\n\
         location /c { limit_req zone=c; proxy_pass http://a:1; } }",
    );
    has(
        &lines,
        &[
            "- { by: client_ip, name: a, requests: \"10/s\", burst: 6 }",
            "- { by: \"header:x-key\", name: b, concurrent: 3 }",
        ],
    );
    assert!(left_out.starts_with("n.conf:4: left out: `limit_req zone=c`: limits count by"), "{left_out}");
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
fn a_zone_by_the_servers_name_counts_for_each_server() {
    let (lines, _) = lines_of(
        "limit_req_zone $server_name zone=a:1m rate=10r/s;\n\
         server { server_name a.test; location / { limit_req zone=a; proxy_pass http://a:1; } }\n\
         server { server_name b.test; location / { limit_req zone=a; proxy_pass http://a:1; } }",
    );
    has(&lines, &["by: all, name: \"a of a.test\"", "by: all, name: \"a of b.test\""]);
}

#[test]
fn a_condition_becomes_a_route_above() {
    let lines = server(
        "location / { if ($request_method !~ ^(GET|POST)$) { return 405; } if ($http_x_old) { return 301 https://old.example.com; }\n \
         proxy_pass http://a:1; }",
    );
    let routes: Vec<&String> = lines.iter().skip_while(|line| !line.starts_with("routes")).skip(1).collect();
    assert!(routes[0].contains("methods: [GET, POST], headers: { x-old: \"~ ^(?:[^0]|0.)\" }, redirect"), "{routes:?}");
    assert!(routes[1].contains("methods: [GET, POST], upstream: a-1"), "{routes:?}");
    assert!(routes[2].contains("- { answer: { status: 405 } }"), "{routes:?}");
}

#[test]
fn spans_of_time_and_sizes_are_those_of_the_route_or_of_its_upstream() {
    let lines = server(
        "location /a { proxy_pass http://a:1; proxy_read_timeout 1h; proxy_connect_timeout 3; client_max_body_size 0; }\n\
         location / { proxy_pass http://a:1; client_max_body_size 2m; }",
    );
    has(
        &lines,
        &[
            "timeouts: { connect: \"3s\", first_byte: \"1h\", idle: \"1h\", upgraded: \"1h\", total: \"24h\" }",
            "max_body: \"2MiB\"",
        ],
    );
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
fn one_access_log_is_carried_over() {
    let (lines, left_out) = lines_of(
        "log_format own '$remote_addr - $remote_user [$time_local] \"$request\" '\n'$status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"';\naccess_log /var/log/a.log own;\n\
         server { access_log /var/log/b.log; location / { proxy_pass http://a:1; } location /q { access_log off; proxy_pass http://a:1; } }",
    );
    has(&lines, &["path: \"/var/log/a.log\"", "format: combined", "access_log: off"]);
    assert!(
        left_out.contains("n.conf:4: left out: `access_log /var/log/b.log`: there is one access log"),
        "{left_out}"
    );
}

#[test]
fn the_settings_of_the_process_are_carried_over() {
    let (lines, left_out) = lines_of(
        "worker_processes 4; worker_shutdown_timeout 30s; keepalive_timeout 65 60; client_header_timeout 10s; client_body_timeout 20s;\n\
         large_client_header_buffers 4 32k; server { location / { proxy_pass http://a:1; } }",
    );
    has(
        &lines,
        &[
            "threads: 4",
            "drain_timeout: \"30s\"",
            "keepalive_timeout: \"65s\"",
            "header_timeout: \"10s\"",
            "body_timeout: \"20s\"",
            "max_header: \"128KiB\"",
        ],
    );
    assert_eq!(left_out, "");
}

#[test]
fn a_default_server_may_be_asked_for_any_host() {
    let lines = server(
        "server_name a.example.com www.example.com; if ($host = a.example.com) { return 301 https://$host$request_uri; }\n \
         if ($host = www.example.com) { return 302 https://a.example.com$request_uri; } return 404;",
    );
    has(
        &lines,
        &[
            "- { hosts: [a.example.com], redirect: \"https://$host$request_uri\" }",
            "- { hosts: [www.example.com], redirect: \"https://a.example.com$request_uri\", status: 302 }",
        ],
    );
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
fn headers_with_odd_names_reach_the_servers_of_all_or_of_none() {
    let proxied = |name: &str, more: &str| {
        format!("server {{ server_name {name}; {more} location / {{ proxy_pass http://a:1; }} }}\n")
    };
    let says_so = "underscores_in_headers on; ignore_invalid_headers off;";
    let of = |servers: &[String]| lines_of(&servers.concat());
    let (lines, left_out) = of(&[proxied("a.test", says_so), "server { server_name b.test; return 404; }".to_owned()]);
    assert_eq!(left_out, "");
    has(&lines, &["underscores_in_headers: true", "ignore_invalid_headers: false"]);
    let (lines, left_out) = of(&[proxied("a.test", says_so), proxied("b.test", "")]);
    assert_eq!(left_out.lines().count(), 2, "{left_out}");
    assert!(left_out.contains("n.conf:1: left out: `underscores_in_headers on`"), "{left_out}");
    assert!(!lines.iter().any(|line| line.starts_with("server:")), "{lines:?}");
}

#[test]
fn what_a_server_decides_holds_for_every_path() {
    let (lines, left_out) = lines_of(
        "server { root /srv; if ($http_x_key = \"\") { return 401; } location /a/ { proxy_pass http://a:1; } location = /b { return 200; } }",
    );
    assert!(left_out.contains("left out: `root /srv`: files are not served"), "{left_out}");
    has(
        &lines,
        &["- { paths: [\"= /a\"], headers: { x-key: \"~ .\" }, redirect: \"$scheme://$host$uri/$is_args$args\" }"],
    );
    let last = lines.iter().rposition(|line| line.starts_with("- {")).map(|at| &*lines[at]);
    assert_eq!(last, Some("- { answer: { status: 401 } }"));
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
