//! The dashboard over sockets: who may see it, what browsers are told of it, and how its sessions begin and end.

mod accessible;
mod attempts;
mod guesses;
mod ledger;
mod pages;
mod several_ledgers;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Gateway, RawAnswer, connect, eventually, gateway};

const TOKEN: &str = "an-admin-token-0123456789";
const PAGES: [&str; 6] = [
    "/dashboard",
    "/dashboard/spend",
    "/dashboard/conversations",
    "/dashboard/conversation?id=a",
    "/dashboard/calls",
    "/dashboard/call?id=a",
];

fn yaml(token: &str) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0{token} }}\nupstreams:\n  a: {{ servers: [{{ \
         address: 127.0.0.1:1 }}] }}\nroutes: [{{ upstream: a }}]\n"
    )
}

async fn start() -> Gateway {
    gateway().yaml(yaml(&format!(", token: {TOKEN}"))).start().await
}

/// Sends a request with these header lines and this body.
async fn ask(gateway: &Gateway, request: &str, headers: &str, body: &str) -> RawAnswer {
    let mut admin = connect(gateway.admin()).await;
    let host = format!("host: localhost:{}", gateway.admin().port());
    let length = body.len();
    let head =
        format!("{request} HTTP/1.1\r\n{host}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n");
    admin.send(head + body).await;
    admin.answer_to(request.split(' ').next().unwrap()).await
}

async fn get(gateway: &Gateway, path: &str, headers: &str) -> RawAnswer {
    ask(gateway, &format!("GET {path}"), headers, "").await
}

async fn login(gateway: &Gateway, headers: &str, form: &str) -> RawAnswer {
    let form_type = "content-type: application/x-www-form-urlencoded\r\n";
    ask(gateway, "POST /dashboard/login", &format!("{form_type}{headers}"), form).await
}

/// The header line that carries the cookie of a new session.
async fn session(gateway: &Gateway) -> String {
    let answer = login(gateway, "", &format!("token={TOKEN}")).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let (cookie, _) = answer.header("set-cookie").unwrap().split_once(';').unwrap();
    format!("cookie: {cookie}\r\n")
}

#[tokio::test]
async fn every_page_and_figure_is_401_without_the_token() {
    let gateway = start().await;
    let cookie = format!("cookie: tollgate_dashboard_{}={:064}\r\n", gateway.admin().port(), 0);
    let figures =
        ["/dashboard/api/gateway", "/dashboard/api/session", "/dashboard/api/calls", "/dashboard/api/nothing"];
    let others = ["/dashboard/nothing", "/dashboard/", "/dashboard/assets/main.js", "/dashboard/assets/page.html"];
    for path in PAGES.iter().chain(&figures).chain(&others) {
        for wrong in ["", "authorization: Bearer wrong\r\n", &cookie] {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
                let answer = ask(&gateway, &format!("{method} {path}"), wrong, "").await;
                assert_eq!(answer.status, 401, "{method} {path} {wrong}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tollgate\""));
                let has_form = answer.text().contains("action=\"/dashboard/login\"");
                assert_eq!(has_form, PAGES.contains(path) && method != "HEAD", "{method} {path}");
            }
        }
    }
    // what the form itself needs
    for path in ["base.css", "login.css", "login.js", "icon.svg"] {
        assert_eq!(get(&gateway, &format!("/dashboard/assets/{path}"), "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_token_opens_it_as_a_header_and_by_a_session() {
    let gateway = start().await;
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    for (access, signed_in) in [(bearer, false), (session(&gateway).await, true)] {
        for path in PAGES {
            let answer = get(&gateway, path, &access).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some("text/html; charset=utf-8")),
                "{path}"
            );
            assert!(answer.text().contains("/dashboard/assets/main.js"), "{path}");
        }
        let told = get(&gateway, "/dashboard/api/session", &access).await;
        assert_eq!(serde_json::from_slice::<Value>(&told.body).unwrap()["signed_in"], signed_in);
        assert_eq!(get(&gateway, "/dashboard/api/gateway", &access).await.status, 200);
        assert_eq!(get(&gateway, "/dashboard/nothing", &access).await.status, 404);
        let answer = ask(&gateway, "HEAD /dashboard", &access, "").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        for path in
            PAGES.iter().chain(&["/dashboard/api/gateway", "/dashboard/api/session", "/dashboard/assets/main.js"])
        {
            let answer = ask(&gateway, &format!("POST {path}"), &access, "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_token_the_pages_are_open() {
    let gateway = gateway().yaml(yaml("")).start().await;
    for path in PAGES {
        assert_eq!(get(&gateway, path, "").await.status, 200, "{path}");
    }
    assert_eq!(get(&gateway, "/dashboard/api/gateway", "").await.status, 200);
    let answer = login(&gateway, "", "token=anything").await;
    assert_eq!(
        (answer.status, answer.header("location"), answer.header("set-cookie")),
        (303, Some("/dashboard"), None)
    );
}

#[tokio::test]
async fn a_session_reads_the_dashboard_and_nothing_else() {
    let gateway = start().await;
    let session = session(&gateway).await;
    for request in ["GET /metrics", "GET /upstreams", "GET /config", "POST /reload", "DELETE /cache?all"] {
        assert_eq!(ask(&gateway, request, &session, "").await.status, 401, "{request}");
    }
}

#[tokio::test]
async fn browsers_are_told_to_run_nothing_from_elsewhere_and_to_keep_nothing() {
    let gateway = start().await;
    let session = session(&gateway).await;
    let paths = ["/dashboard", "/dashboard/api/gateway", "/dashboard/nothing", "/dashboard/assets/main.js"];
    for (access, path) in paths.iter().flat_map(|path| [("", path), (&*session, path)]) {
        let answer = get(&gateway, path, access).await;
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        let is_file = answer.status == 200 && path.contains("assets");
        assert_eq!(answer.header("cache-control"), Some(if is_file { "no-cache" } else { "no-store" }), "{path}");
    }
    let etag = get(&gateway, paths[3], &session).await.header("etag").unwrap().to_owned();
    let again = get(&gateway, paths[3], &format!("{session}if-none-match: {etag}\r\n")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn the_cookie_is_for_this_site_alone_and_its_session_ends() {
    let gateway = start().await;
    let port = gateway.admin().port();
    let form = format!("token={TOKEN}&next=%2Fdashboard%2Fspend%3Fgroup%3Dkey");
    let answer = login(&gateway, "", &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard/spend?group=key")));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with(&format!("tollgate_dashboard_{port}=")), "{cookie}");
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/dashboard", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]);
    assert!(!cookie.contains(TOKEN));
    let over_https = login(&gateway, &format!("origin: https://localhost:{port}\r\n"), &form).await;
    assert!(over_https.header("set-cookie").unwrap().ends_with("; Secure"));

    // an address of another site is not gone to
    let answer = login(&gateway, "", &format!("token={TOKEN}&next=%2F%2Fevil.example%2Fdashboard")).await;
    assert_eq!(answer.header("location"), Some("/dashboard"));

    let session = session(&gateway).await;
    assert_eq!(ask(&gateway, "GET /dashboard/logout", &session, "").await.status, 405);
    assert_eq!(get(&gateway, "/dashboard", &session).await.status, 200);
    let answer = ask(&gateway, "POST /dashboard/logout", &session, "").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard")));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"), "{:?}", answer.headers);
    assert_eq!(get(&gateway, "/dashboard", &session).await.status, 401);
}

#[tokio::test]
async fn a_changed_token_ends_all_sessions_and_another_reload_none() {
    let gateway = start().await;
    let old = session(&gateway).await;
    gateway.rewrite(yaml(&format!(", token: {TOKEN}")) + "log: { level: debug }\n");
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&gateway, "POST /reload", &bearer, "").await.status, 200);
    assert_eq!(get(&gateway, "/dashboard", &old).await.status, 200);

    gateway.rewrite(yaml(", token: another-token-0123456789"));
    gateway.signal(Signal::SIGHUP);
    eventually("an end of the session", async || get(&gateway, "/dashboard", &old).await.status == 401).await;
    assert_eq!(login(&gateway, "", &format!("token={TOKEN}")).await.status, 401);
    assert_eq!(login(&gateway, "", "token=another-token-0123456789").await.status, 303);
}

#[tokio::test]
async fn no_other_site_signs_in_or_out_reads_or_frames_it() {
    let gateway = start().await;
    let session = session(&gateway).await;
    let foreign = ["origin: http://evil.example\r\n", "sec-fetch-site: cross-site\r\n", "origin: null\r\n"];
    for headers in foreign {
        for request in [
            "POST /dashboard/login",
            "POST /dashboard/logout",
            "GET /dashboard",
            "GET /dashboard/api/gateway",
            "GET /dashboard/assets/main.js",
        ] {
            let headers = format!("{session}{headers}");
            assert_eq!(
                ask(&gateway, request, &headers, &format!("token={TOKEN}")).await.status,
                403,
                "{request} {headers}"
            );
        }
    }
    assert_eq!(get(&gateway, "/dashboard", &session).await.status, 200, "nobody has ended the session");
    // a link of another site opens a page in a window of its own; a frame does not
    let visit =
        |dest: &str| format!("sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: {dest}\r\n");
    assert_eq!(get(&gateway, "/dashboard", &visit("document")).await.status, 401, "the form, to begin with");
    assert_eq!(get(&gateway, "/dashboard", &format!("{session}{}", visit("document"))).await.status, 200);
    for (path, dest) in
        [("/dashboard", "iframe"), ("/dashboard/api/gateway", "document"), ("/dashboard/login", "document")]
    {
        assert_eq!(get(&gateway, path, &format!("{session}{}", visit(dest))).await.status, 403, "{path} {dest}");
    }
}
