//! What becomes of upstreams: their servers, hosts, certificates and spans of time.

use super::*;

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
