//! What becomes of `if` and `rewrite`.

use super::*;

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
fn a_condition_that_cannot_be_said_and_keeps_nobody_out_is_left_out() {
    let (lines, left_out) = lines_of(
        "server { location / { if ($cookie_x) { set $skip 1; add_header X-A 1; } proxy_cache_bypass $skip; proxy_pass http://a:1; } }",
    );
    has(&lines, &["routes: [{ upstream: a-1"]);
    assert!(left_out.contains("`if ($cookie_x)`"), "{left_out}");
}

#[test]
fn a_condition_that_may_take_the_place_of_another_ones_server_lets_nobody_there() {
    let (lines, _) = lines_of(
        "server { location / { if ($http_x_kind = a) { proxy_pass http://b:1; } if ($cookie_x) { add_header X-A 1; } proxy_pass http://a:1; } }",
    );
    has(&lines, &["headers: { x-kind: a }, answer: { status: 403 }", "upstream: a-1"]);
    assert!(!lines.iter().any(|line| line.contains("upstream: b-1")), "{lines:?}");
}

#[test]
fn what_follows_a_rewrite_sees_its_path() {
    let of =
        |directives: &str| lines_of(&format!("server {{ {directives} location / {{ proxy_pass http://a:1; }} }}")).0;
    let by_path = of("rewrite ^/a/(.*)$ /$1; if ($uri ~ ^/b) { return 403; }");
    has(
        &by_path,
        &["{ paths: [\"~ ^/a/(.*)$\"], answer: { status: 403 } }", "{ paths: [\"~ ^/b\"], answer: { status: 403 } }"],
    );
    assert!(!by_path.iter().any(|line| line.contains("rewrite:")), "{by_path:?}");
    let by_query = of("rewrite ^/a/(.*)$ /$1; if ($arg_k = \"\") { return 403; }");
    let passes = by_query.iter().filter(|line| line.contains("upstream: a-1"));
    assert_eq!(passes.count(), 2, "{by_query:?}");
    assert_eq!(by_query.iter().filter(|line| line.contains("query: { k:")).count(), 2, "{by_query:?}");
    // what one expression asks for has no groups of another
    let (lines, _) = lines_of(
        "server { location /a/ { set $x 0; if ($uri ~ /b) { set $x 1; } rewrite ^/a/(.*)$ /$1 break; proxy_set_header X-Y $x; proxy_pass http://a:1; } }",
    );
    has(&lines, &["{ paths: [\"/a/ ~ /b\"], answer: { status: 403 } }", "paths: [\"~ ^/a/(.*)$\"]"]);
    // the new path is matched once more
    let (lines, _) = lines_of("server { location / { rewrite ^/(.*)$ /x/$1 last; proxy_pass http://a:1; } }");
    has(&lines, &["routes: [{ answer: { status: 403 } }]"]);
}

#[test]
fn what_is_compared_with_may_be_a_variable() {
    let of = |directives: &str, right: &str| {
        lines_of(&format!(
            "map $http_x_kind $least {{ default 1; a 2; }} server {{ {directives} if ($http_x_ver = {right}) {{ return 403; }} location / {{ proxy_pass http://a:1; }} }}"
        ))
        .0
    };
    has(&of("set $blocked v1;", "$blocked"), &["headers: { x-ver: v1 }, answer: { status: 403 }"]);
    has(&of("set $blocked 1;", "\"v${blocked}\""), &["headers: { x-ver: v1 }, answer: { status: 403 }"]);
    has(&of("", "$least"), &["headers: { x-kind: \"~* ^a$\", x-ver: \"2\" }, answer: { status: 403 }"]);
    has(&of("", "${VERSION}"), &["headers: { x-ver: \"${VERSION}\" }, answer: { status: 403 }"]);
    for (directives, right) in [("", "$http_x_other"), ("", "$blocked"), ("set $blocked $arg_v;", "$blocked")] {
        has(&of(directives, right), &["routes: [{ answer: { status: 403 } }]"]);
    }
    // what the environment holds is not known here
    let (lines, _) = lines_of(
        "server { set $open 1; if ($open = ${CLOSED}) { return 403; } location / { proxy_pass http://a:1; } }",
    );
    has(&lines, &["routes: [{ answer: { status: 403 } }]"]);
}

#[test]
fn an_expression_that_is_none_here_is_named() {
    let (lines, left_out) = lines_of(
        "server { location ~ ^/(?!api)/ { proxy_pass http://a:1; }\n location / { proxy_pass http://b:1; }\n \
         location /status { stub_status; } }",
    );
    assert!(
        left_out.starts_with("n.conf:1: left out: `location ~ ^/(?!api)/`: its expression is none here"),
        "{left_out}"
    );
    has(&lines, &["{ paths: [\"~ ^//\", \"/status\"], answer: { status: 403 } }"]);
    assert!(left_out.contains("n.conf:3: left out: `location /status`: what the gateway does is at"), "{left_out}");
}
