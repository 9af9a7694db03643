//! What becomes of servers: their addresses and hosts, logs, and settings of the process.

use super::*;

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
