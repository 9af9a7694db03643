//! What nginx refuses, and what nobody knows whether it does: neither is let through.

use super::*;

#[test]
fn a_server_that_asks_for_certificates_lets_nobody_in_where_its_listener_does_not_ask_for_them() {
    let of = |default: &str, other: &str| {
        unloaded(&format!(
            "server {{ listen 443 ssl; ssl_certificate a.pem; ssl_certificate_key a.key; {default} location / {{ proxy_pass http://a:1; }} }}\n\
             server {{ listen 443 ssl; listen 80; server_name b.test; ssl_certificate b.pem; ssl_certificate_key b.key; {other}\n\
             location / {{ proxy_pass http://b:1; }} }}"
        ))
    };
    let (asks, others) =
        ("ssl_verify_client on; ssl_client_certificate ca.pem;", "ssl_verify_client on; ssl_client_certificate x.pem;");
    let revoked = format!("{asks} ssl_crl crl.pem;");
    for (default, other) in
        [("", asks), (asks, others), (asks, &revoked), ("", "ssl_verify_client on;"), ("", &revoked)]
    {
        let lines = of(default, other);
        has(
            &lines,
            &["- { hosts: [b.test], scheme: https, answer: { status: 403 } }", "- { scheme: http, upstream: b-1"],
        );
    }
    for (default, other) in
        [(asks, asks), (asks, ""), ("", "ssl_verify_client optional; ssl_client_certificate ca.pem;")]
    {
        let lines = of(default, other);
        assert!(!lines.iter().any(|line| line.contains("403")), "{default} {other}: {lines:?}");
    }
    has(&of("ssl_verify_client on;", ""), &["- { scheme: https, answer: { status: 403 } }"]);
}

#[test]
fn names_keep_the_precedence_that_they_have_in_nginx() {
    let hosts = |text: &str| {
        let (lines, left_out) = lines_of(text);
        let upstream = |line: &String| line.split("upstream: ").nth(1).map(|rest| rest[..1].to_owned());
        let host =
            |line: &String| line.split("hosts: [").nth(1).and_then(|rest| rest.split(']').next().map(str::to_owned));
        let routes = lines.iter().filter(|line| line.starts_with("- "));
        let routes = routes
            .map(|line| format!("{} {}", host(line).unwrap_or_default(), upstream(line).unwrap_or("403".to_owned())));
        (routes.collect::<Vec<_>>(), left_out)
    };
    let server = |names: &str, at: &str| {
        format!("server {{ listen 80; server_name {names}; location / {{ proxy_pass http://{at}:1; }} }}\n")
    };
    let (routes, _) =
        hosts(&(server("x.test", "d") + &server("*.a.test b.x.a.test", "a") + &server("*.x.a.test", "b")));
    assert_eq!(routes, ["b.x.a.test a", "\"*.x.a.test\" b", "\"*.a.test\" a", " d"]);
    let (routes, _) = hosts(&(server("b.x.a.test", "d") + &server("*.x.a.test", "b")));
    assert_eq!(routes, ["b.x.a.test d", "\"*.x.a.test\" b", " d"]);
    let (routes, _) = hosts(&(server("x.test", "d") + &server("a.test", "a") + &server("a.test c.test", "b")));
    assert_eq!(routes, ["a.test a", "c.test b", " d"]);
    // whose hosts those are, nobody knows
    let (routes, left_out) = hosts(&(server("x.test", "d") + &server("~^c a.test", "a")));
    assert_eq!(routes, ["x.test d", "a.test a", " 403"]);
    assert!(left_out.contains("hosts that no name takes are answered with 403"), "{left_out}");
}

#[test]
fn an_expression_within_a_location_takes_nothing_outside_of_it() {
    let lines = server(
        "location /app/ { proxy_pass http://a:1; location ~ \\.php$ { proxy_pass http://b:1; } rewrite ^(.*)/old$ $1/new break; }\n\
         location /one { rewrite ^/([^/]*)$ /v/$1 break; proxy_pass http://a:1; } location / { deny all; proxy_pass http://a:1; }",
    );
    has(
        &lines,
        &["paths: [\"/app/ ~ \\\\.php$\"]", "paths: [\"/app/ ~ ^(.*)/old$\"]", "paths: [\"/one ~ ^/([^/]*)$\"]"],
    );
}

#[test]
fn what_is_for_nginx_itself_or_for_some_methods_is_so_before_a_directive_runs() {
    for directives in [
        "internal; return 200 in;",
        "internal; if ($arg_x) { return 200 in; } proxy_pass http://a:1;",
        "internal; rewrite ^ /x break; proxy_pass http://a:1;",
        "internal; location /a/b/ { proxy_pass http://a:1; }",
    ] {
        let lines = server(&format!("location /a/ {{ {directives} }}"));
        assert!(
            !lines.iter().any(|line| line.contains("upstream:") || line.contains("200")),
            "{directives}: {lines:?}"
        );
    }
    let lines = server("location / { limit_except GET { deny all; } return 200 in; }");
    has(
        &lines,
        &["routes: [{ methods: [GET, HEAD], answer: { status: 200, body: in } }, { answer: { status: 403 } }]"],
    );
}

#[test]
fn what_keeps_somebody_out_and_cannot_be_said_keeps_everybody_out() {
    for directives in [
        "auth_request /check; proxy_pass http://a:1;",
        "auth_pam x; proxy_pass http://a:1;",
        "auth_ldap Forbidden; proxy_pass http://a:1;",
        "rewrite_by_lua_file x.lua; proxy_pass http://a:1;",
        "ModSecurityEnabled on; proxy_pass http://a:1;",
        "shib_request /shibauthorizer; proxy_pass http://a:1;",
        "coraza on; proxy_pass http://a:1;",
        "wallarm_mode block; proxy_pass http://a:1;",
        "set $in 1; set_by_lua_file $in x.lua; if ($in = 0) { return 403; } proxy_pass http://a:1;",
        "ssl_ocsp on; proxy_pass http://a:1;",
        "frobnicate on; proxy_pass http://a:1;",
        "include allowed.conf; proxy_pass http://a:1;",
        "${RULES}\n proxy_pass http://a:1;",
        "satisfy any; allow 10.0.0.0/8; deny all; auth_basic x; auth_basic_user_file f; proxy_pass http://a:1;",
        "if ($remote_addr != 10.0.0.1) { return 403; } proxy_pass http://a:1;",
        "if ($cookie_key = \"\") { return 401; } proxy_pass http://a:1;",
        "if ($invalid_referer) { return 503; } proxy_pass http://a:1;",
        "if ($cookie_key) { proxy_pass http://b:1; } proxy_pass http://a:1;",
        "if ($cookie_key) { set $inside 1; } if ($inside = \"\") { return 401; } proxy_pass http://a:1;",
        "if ($http_x_key ~ (?!a)) { return 401; } proxy_pass http://a:1;",
        "if ($cookie_key) { break; } return 200 in;",
    ] {
        let (lines, left_out) = lines_of(&format!("server {{ location / {{ {directives} }} }}"));
        has(&lines, &["routes: [{ answer: { status: 403 } }]"]);
        assert!(left_out.contains("are answered with 403"), "{left_out}");
    }
}

#[test]
fn what_is_not_there_closes_each_route_that_its_place_becomes() {
    let missing = "include auth.conf; proxy_pass http://closed:1;";
    let tried_twice = |directives: &str| {
        format!(
            "server {{ location /a/ {{ location ~ \\.js$ {{ proxy_pass http://u:1; }} proxy_pass http://u:1; }}\n\
             location ~ \\.json$ {{\n{directives} }} }}"
        )
    };
    for text in [
        tried_twice(missing),
        tried_twice("${RULES}\n proxy_pass http://closed:1;"),
        format!(
            "server {{ listen 80 default_server; server_name x.test; location / {{ proxy_pass http://u:1; }} }}\n\
             server {{ listen 80; server_name *.a.test a.test; location / {{ {missing} }} }}\n\
             server {{ listen 80; server_name b.a.test *.b.a.test; location / {{ proxy_pass http://u:1; }} }}"
        ),
    ] {
        let (lines, _) = lines_of(&text);
        let closed = lines.iter().filter(|line| line.contains("answer: { status: 403 }")).count();
        assert!(closed > 1 && !lines.iter().any(|line| line.contains("upstream: closed")), "{text}\n{lines:?}");
    }
}

#[test]
fn what_is_closed_below_a_prefix_stays_before_what_is_open_there() {
    let lines = server(
        "location = /health { proxy_pass http://u:1; } location /a/ { location ~ secret { deny all; root /; }\n\
         location /a/b { proxy_pass http://u:1; } proxy_pass http://u:1; }",
    );
    let at = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
    assert!(at("/a/ ~ secret") < at("/a/b"), "{lines:?}");
}

#[test]
fn a_path_with_a_line_end_gets_past_no_expression() {
    let of = |directives: &str| {
        let lines =
            server(&format!("location /a/ {{ deny 10.0.0.1; {directives} }} location / {{ proxy_pass http://b:1; }}"));
        lines.into_iter().find(|line| line.contains("~ ")).unwrap()
    };
    let refused = r#"- { paths: ["~ \\n"], answer: { status: 403 } }"#;
    assert_eq!(of("rewrite ^/a/(.*)$ /$1 break; proxy_pass http://a:1;"), refused);
    assert_eq!(of("rewrite ^(.*)$ /v$1 break; proxy_pass http://a:1;"), refused);
    let with_path = of("proxy_pass http://a:1/b/;");
    assert!(with_path.contains(r#"["~ ^/a/((?s:.*))"]"#), "{with_path}");
}

#[test]
fn what_is_closed_or_answers_before_it_asks_who_calls_is_said_as_it_is() {
    let lines = server(
        "location ~ /\\.ht { deny all; root /srv; } location /in { allow 10.0.0.0/8; deny all; return 204; }\n\
         location / { proxy_pass http://a:1; include /etc/letsencrypt/options-ssl-nginx.conf; }",
    );
    has(
        &lines,
        &[
            "paths: [\"~ /\\\\.ht\"], answer: { status: 403 }",
            "paths: [\"/in\"], answer: { status: 204 }",
            "upstream: a-1",
        ],
    );
}

#[test]
fn a_named_location_keeps_its_own_rules_and_those_of_who_leads_to_it() {
    let of = |outer: &str, inner: &str| {
        lines_of(&format!(
            "server {{ location / {{ {outer} try_files $uri @api; }} location @api {{ {inner} proxy_pass http://a:1; }} }}"
        ))
        .0
    };
    let both =
        of("allow 10.0.0.0/8; deny all;", "auth_basic x; auth_basic_user_file f; rewrite ^/old/(.*)$ /new/$1 break;");
    has(&both, &["access: {", "basic_auth: {", "rewrite: \"/new/$1\""]);
    has(&of("", "if ($http_x_kind = a) { return 403; }"), &["headers: { x-kind: a }, answer: { status: 403 }"]);
    has(
        &of("allow 10.0.0.0/8; deny all;", "allow 192.0.2.0/24; deny all;"),
        &["routes: [{ answer: { status: 403 } }]"],
    );
    has(&of("", "auth_request /x;"), &["routes: [{ answer: { status: 403 } }]"]);
    has(&of("if ($cookie_x) { add_header X-A 1; }", ""), &["routes: [{ answer: { status: 403 } }]"]);
}

#[test]
fn rules_for_addresses_that_other_proxies_say_let_nobody_in() {
    let rules = "location / { allow 192.0.2.7; deny all; proxy_pass http://a:1; }";
    let of = |http: &str, server: &str| lines_of(&format!("{http} server {{ {server} {rules} }}")).0;
    let trusts = "set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;";
    has(&of(trusts, ""), &["header: x-forwarded-for", "access: { allow: [\"192.0.2.7\"]"]);
    for (http, server) in [
        (trusts, "real_ip_header X-Real-IP;"),
        (trusts, "real_ip_recursive off;"),
        (trusts, "set_real_ip_from 10.1.0.0/16;"),
        (trusts, "listen 80 proxy_protocol;"),
        ("set_real_ip_from 10.0.0.0/8; real_ip_header proxy_protocol;", ""),
        ("set_real_ip_from proxy.example.com; set_real_ip_from 10.0.0.0/8;", ""),
    ] {
        let lines = of(http, server);
        has(&lines, &["answer: { status: 403 }"]);
        assert!(!lines.iter().any(|line| line.contains("access:")), "{http} {server}: {lines:?}");
    }
    // no other place believes anybody
    for rules in ["allow 10.0.0.0/8; deny all;", "deny 192.0.2.7;"] {
        let (lines, _) = lines_of(&format!(
            "server {{ location /admin/ {{ set_real_ip_from 10.0.0.0/8; {rules} proxy_pass http://a:1; }} location / {{ proxy_pass http://a:1; }} }}"
        ));
        has(&lines, &["{ paths: [\"/admin/\"], answer: { status: 403 } }", "upstream: a-1"]);
    }
    has(&of("", "set_real_ip_from unix:;"), &["access: { allow: [\"192.0.2.7\"]"]);
}
