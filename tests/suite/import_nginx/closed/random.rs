//! Configurations of nginx and requests at random, from the pieces that decide who gets in and where requests go.

use std::collections::BTreeSet;

use crate::harness::Draws;

const PREFIXES: [&str; 9] = ["/", "/", "/a", "/a/", "/a/b", "/a/b/", "/s/", "/s/t", "/s/t/"];
const FINAL_PREFIXES: [&str; 4] = ["/a/", "/s/", "/a/b", "/s/t/"];
const EXACT: [&str; 4] = ["/a", "/a/b", "/s/t/", "/x.php"];
const EXPRESSIONS: [&str; 16] = [
    "~ ^/a",
    "~ b$",
    "~ \\.php$",
    "~* \\.PHP$",
    "~ ^/(a|s)/t",
    "~ ^/(?!a)",
    "~ x(?=y)",
    "~ /([^/]+)\\.php$",
    "~ ^/s/t/",
    "~ /b",
    "~ ^/a/(.*)$",
    "~ ^/[^/]+$",
    "~* ^/S/",
    "~ ^/(x)\\1",
    "~ (?<!a)/b",
    "~ ^/$",
];
const CONDITIONS: [&str; 35] = [
    "$request_method = POST",
    "$request_method !~ ^(GET|HEAD)$",
    "$http_x_kind = a",
    "$http_x_kind != a",
    "$http_x_kind",
    "$http_x_kind ~ ^b",
    "$http_x_kind !~* ^B",
    "$http_x_kind ~ ^(?!a)",
    "$arg_k = 1",
    "$arg_k != 1",
    "$cookie_c",
    "$cookie_c = 1",
    "$cookie_c != 1",
    "$remote_addr = 127.0.0.1",
    "$remote_addr != 127.0.0.1",
    "$uri ~ b",
    "$uri !~ ^/a/b",
    "$request_uri ~ b",
    "$kind = 1",
    "$kind != 2",
    "$flag",
    "$flag = 1",
    "$host = a.test",
    "$http_user_agent = \"\"",
    "$inside",
    "$inside = 0",
    "$http_x_kind$arg_k = a1",
    "!-f $request_filename",
    "$request_method ~ ^(TRACK|DEBUG)$",
    "$both",
    "$both = 2",
    "$arg_k = $flag",
    "$http_x_kind != $kind",
    "$arg_k !~ ^\\d+$",
    "$http_user_agent ~* TEST",
];
const CONSEQUENCES: [&str; 14] = [
    "return 403;",
    "return 403;",
    "return 404;",
    "return 503;",
    "return 302 /login;",
    "return 200 consequence;",
    "return 200 $uri;",
    "set $flag 1;",
    "set $flag 0;",
    "break;",
    "rewrite ^ /s/t break;",
    "rewrite ^/a/(.*)$ /s/$1 last;",
    "add_header X-A 1;",
    "proxy_pass http://two;",
];
const WHO_GETS_IN: [&str; 13] = [
    "deny all;",
    "allow 127.0.0.1; deny all;",
    "allow 127.0.0.0/8; deny all;",
    "allow 10.0.0.0/8; deny all;",
    "allow 203.0.113.7; deny all;",
    "deny 203.0.113.7;",
    "deny 127.0.0.1;",
    "allow all;",
    "internal;",
    "auth_basic inside; auth_basic_user_file users.htpasswd;",
    "satisfy any; allow 10.0.0.0/8; deny all; auth_basic inside; auth_basic_user_file users.htpasswd;",
    "auth_request /refused;",
    "set_real_ip_from 127.0.0.0/8; allow 127.0.0.1; deny all;",
];
const STEPS: [&str; 14] = [
    "limit_except GET { deny all; }",
    "limit_except GET POST { allow 10.0.0.0/8; deny all; }",
    "rewrite ^/a/(.*)$ /$1 break;",
    "rewrite ^/([^/]*)$ /s/$1 break;",
    "rewrite ^(.*)$ /v$1 break;",
    "rewrite ^/(.*)$ /s/$1 last;",
    "rewrite b /s/t/;",
    "rewrite ^/a /b permanent;",
    "set $flag 1;",
    "set $flag $arg_k;",
    "set $flag $cookie_c;",
    "return 403;",
    "return 404;",
    "break;",
];
/// What puts a path in the place of its location's.
const WITH_PATHS: [&str; 3] =
    ["proxy_pass http://one/;\n", "proxy_pass http://one/v/;\n", "proxy_pass http://one/w;\n"];
const NAMES: [&str; 9] =
    ["a.test", "b.test", "*.a.test", ".b.test", "*.x.a.test", "b.x.a.test", "c.*", "~^[cd]\\.test$", "_"];

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "DELETE", "DEBUG"];
const PATHS: [&str; 28] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/a/x.php",
    "/a/b.PHP",
    "/ab",
    "/s/",
    "/s/t",
    "/s/t/",
    "/s/t/b",
    "/s/x.php",
    "/b",
    "/x",
    "/xx",
    "/xy",
    "/x.php",
    "/x.php%0a",
    "/a/b%0a",
    "/a/%0ab",
    "/a/b/c%0ac",
    "/s/t/%0a",
    "/a//b",
    "/a/../s/t/",
    "/%61/b",
    "/s/ab",
];
const QUERIES: [&str; 6] = ["", "", "?k=1", "?k=2", "?x", "?k=%D9%A3"];
const HEADERS: [&str; 17] = [
    "x-kind: a",
    "x-kind: b",
    "x-kind: ab",
    "x-kind: 0",
    "cookie: c=1",
    "cookie: c=0; d=1",
    // myuser:mypassword
    "authorization: Basic bXl1c2VyOm15cGFzc3dvcmQ=",
    "authorization: Basic bXl1c2VyOndyb25n",
    "x-forwarded-for: 203.0.113.7",
    "x-forwarded-for: 10.0.0.1",
    "x-forwarded-for: 203.0.113.7, 10.0.0.1",
    "x-forwarded-for: 10.0.0.1, 127.0.0.1",
    "x-real-ip: 203.0.113.7",
    "x-real-ip: 10.0.0.1",
    "forwarded: for=203.0.113.7",
    "user-agent: test",
    "user-agent: \u{e9}Test",
];
const HOSTS: [&str; 12] = [
    "a.test",
    "a.test",
    "A.Test",
    "a.test:8080",
    "b.test.",
    "b.test",
    "c.test",
    "d.test",
    "c.a.test",
    "b.x.a.test",
    "c.x.a.test",
    "other.test",
];

/// A configuration that listens at port 80, before servers at the ports 9001 and 9002.
pub fn configuration(draws: &mut Draws) -> String {
    let mut text = "events {}\nhttp {\nmap $http_x_kind $kind { default 0; a 1; ~^b 2; }\n\
                    map $request_method$kind $both { default 0; ~^DEBUG 1; debug1 2; DELETE0 2; ~^.*2 1; }\n\
                    map $arg_k $pool { default one; 1 two; 2 $http_x_kind; }\ngeo $inside { default 0; 127.0.0.0/8 1; }\n\
                    upstream one { server 127.0.0.1:9001; }\nupstream two { server 127.0.0.1:9002; }\n"
        .to_owned();
    if draws.once_in(4) {
        text += draws
            .of(&["set_real_ip_from 127.0.0.0/8;\n", "set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8;\n"]);
        text += draws.of(&["", "real_ip_header X-Forwarded-For;\n", "real_ip_header X-Real-IP;\n"]);
        text += draws.of(&["", "real_ip_recursive on;\n"]);
    }
    if draws.once_in(8) {
        text += draws.of(&WHO_GETS_IN[..8]);
    }
    let count = draws.of(&[1, 1, 2, 3]);
    let mut names: Vec<&str> = NAMES.to_vec();
    for number in 0..count {
        let is_default =
            if number > 0 && draws.once_in(3) && !text.contains("default_server") { " default_server" } else { "" };
        text += &format!("server {{\nlisten 80{is_default};\n");
        let own: Vec<&str> = (0..1 + draws.below(2)).map(|_| names.remove(draws.below(names.len()))).collect();
        text += &format!("server_name {};\nset $flag \"\";\n", own.join(" "));
        text += "location = /refused { internal; return 403; }\n";
        text += &server(draws);
        text += "}\n";
    }
    text + "}\n"
}

fn server(draws: &mut Draws) -> String {
    let mut text = String::new();
    if draws.once_in(5) {
        text += &condition(draws, false);
    }
    if draws.once_in(6) {
        text += draws.of(&WHO_GETS_IN[..8]);
        text.push('\n');
    }
    if draws.once_in(10) {
        text +=
            draws.of(&["rewrite ^/a/(.*)$ /s/$1;\n", "rewrite ^/a/(.*)$ /s/$1 last;\n", "rewrite ^/b$ /a/b break;\n"]);
        text += &condition(draws, false);
    }
    text += &locations(draws, "", 0);
    text + "location @named {\n" + &body(draws, Kind::Named) + "}\n"
}

fn locations(draws: &mut Draws, around: &str, depth: usize) -> String {
    let mut text = String::new();
    let mut known = BTreeSet::new();
    for _ in 0..1 + draws.below(if depth == 0 { 4 } else { 2 }) {
        let (mark, path, kind) = match draws.below(10) {
            0 => ("= ", draws.of(&EXACT), Kind::Path),
            1 => ("^~ ", draws.of(&FINAL_PREFIXES), Kind::Path),
            2..=4 => ("", draws.of(&EXPRESSIONS), Kind::Expression),
            _ => ("", draws.of(&PREFIXES), Kind::Path),
        };
        let is_expression = matches!(kind, Kind::Expression);
        if !is_expression && !path.starts_with(around)
            || !known.insert(if mark == "= " { format!("={path}") } else { path.to_owned() })
        {
            continue;
        }
        text += &format!("location {mark}{path} {{\n{}", body(draws, kind));
        if depth < 2 && mark != "= " && draws.once_in(3) {
            text += &if is_expression { nested_expression(draws) } else { locations(draws, path, depth + 1) };
        }
        text += "}\n";
    }
    text
}

fn nested_expression(draws: &mut Draws) -> String {
    format!("location {} {{\n{}}}\n", draws.of(&EXPRESSIONS), body(draws, Kind::Expression))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Path,
    Expression,
    Named,
}

fn body(draws: &mut Draws, kind: Kind) -> String {
    let mut text = String::new();
    if draws.once_in(4) {
        text += draws.of(&WHO_GETS_IN);
        text.push('\n');
    }
    for _ in 0..draws.below(3) {
        match draws.below(3) {
            0 if !text.contains("limit_except") => text += draws.of(&STEPS),
            _ => text += &condition(draws, true),
        }
        text.push('\n');
    }
    let with_path = if kind == Kind::Path { draws.of(&WITH_PATHS) } else { "proxy_pass http://one;\n" };
    text += draws.of(&[
        "proxy_pass http://one;\n",
        "proxy_pass http://one;\n",
        "proxy_pass http://two;\n",
        with_path,
        with_path,
        "return 200 here;\n",
        "proxy_pass http://$pool;\n",
        "proxy_pass http://$pool$request_uri;\n",
        "root none;\n",
        if kind == Kind::Named { "proxy_pass http://two;\n" } else { "try_files /none @named;\n" },
    ]);
    text
}

fn condition(draws: &mut Draws, is_location: bool) -> String {
    // what goes on elsewhere is for locations
    let consequences = if is_location { &CONSEQUENCES[..] } else { &CONSEQUENCES[..9] };
    format!("if ({}) {{ {} }}\n", draws.of(&CONDITIONS), draws.of(consequences))
}

/// A request: `METHOD TARGET`, then headers.
pub fn request(draws: &mut Draws) -> String {
    let mut text = format!("{} {}{}", draws.of(&METHODS), draws.of(&PATHS), draws.of(&QUERIES));
    text += &format!("\nhost: {}", draws.of(&HOSTS));
    for _ in 0..draws.below(3) {
        let header = draws.of(&HEADERS);
        let name = header.split(':').next().unwrap_or_default();
        if !text.contains(&format!("\n{name}:")) {
            text += &format!("\n{header}");
        }
    }
    text
}
