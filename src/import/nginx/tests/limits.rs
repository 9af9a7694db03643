//! What becomes of rules by address and of limits.

use super::*;

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
fn a_zone_by_the_servers_name_counts_for_each_server() {
    let (lines, _) = lines_of(
        "limit_req_zone $server_name zone=a:1m rate=10r/s;\n\
         server { server_name a.test; location / { limit_req zone=a; proxy_pass http://a:1; } }\n\
         server { server_name b.test; location / { limit_req zone=a; proxy_pass http://a:1; } }",
    );
    has(&lines, &["by: all, name: \"a of a.test\"", "by: all, name: \"a of b.test\""]);
}
