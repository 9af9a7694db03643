//! The dashboard at `/dashboard`: pages that show what the gateway and its ledger know, and change nothing. The admin token opens them, as
//! `authorization` or once by a form, whose session is good for nothing else on the admin listener.

mod assets;
mod cookie;
mod gateway;
mod login;
mod sessions;

use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::json;

use crate::settings::AdminToken;

use super::Admin;
use super::answer::{self, Answer};
use super::guard;
use super::requests::of_plugin;

use cookie::Cookie;
use login::Guesses;
use sessions::Sessions;

const HTML: &str = "text/html; charset=utf-8";

/// The paths of its pages.
const PAGES: [&str; 6] = [
    "/dashboard",
    "/dashboard/spend",
    "/dashboard/conversations",
    "/dashboard/conversation",
    "/dashboard/calls",
    "/dashboard/call",
];

/// What browsers are told of every answer. Scripts and styles come from here alone, none is inline, and no text becomes markup.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // not `no-referrer`, with which a form has the origin `null`
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What the dashboard keeps between requests.
#[derive(Debug, Default)]
pub struct Dashboard {
    sessions: Sessions,
    guesses: Guesses,
}

/// Whether this path is one of the dashboard.
pub(super) fn has_path(path: &str) -> bool {
    path.strip_prefix("/dashboard").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for one of its paths.
pub(super) async fn answer(request: Request<Incoming>, admin: &Admin) -> Answer {
    let mut answer = answer_bare(request, admin).await;
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, value);
    }
    answer
}

async fn answer_bare(request: Request<Incoming>, admin: &Admin) -> Answer {
    let is_page = PAGES.contains(&request.uri().path());
    let is_link = is_page && guard::follows_link(&request);
    let site = if is_link { Ok(()) } else { guard::check_site(request.headers()) };
    if let Err(forbidden) = guard::check_host(&request, &admin.known_host).and(site) {
        return answer::error(StatusCode::FORBIDDEN, "forbidden", forbidden.message());
    }
    let token = (admin.token)();
    let token = token.as_ref();
    match request.uri().path() {
        "/dashboard/login" => return login::login(request, &admin.dashboard, token).await,
        "/dashboard/logout" => return login::logout(request.method(), request.headers(), &admin.dashboard),
        _ => {}
    }
    let (method, path) = (request.method(), request.uri().path());
    let access = Access::of(request.headers(), &admin.dashboard, token);
    if access == Access::None && !assets::is_of_login(path) {
        return if is_page { login::form() } else { answer::unauthorized(guard::Forbidden::Token.message()) };
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/dashboard/api/session" if reads => {
            answer::json(StatusCode::OK, &json!({ "signed_in": access == Access::Session }))
        }
        "/dashboard/api/gateway" if reads => answer::json(StatusCode::OK, &gateway::figures(admin)),
        "/dashboard/api/session" | "/dashboard/api/gateway" => answer::not_allowed(method, "GET, HEAD"),
        _ if is_page && reads => assets::page(),
        _ if is_page => answer::not_allowed(method, "GET, HEAD"),
        _ => match assets::file(path, request.headers()) {
            Some(file) if reads => file,
            Some(_) => answer::not_allowed(method, "GET, HEAD"),
            None => of_plugin(&request, &admin.plugins).await,
        },
    }
}

/// By what a request may see the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// No token is asked for.
    Open,
    /// It carries the token.
    Bearer,
    /// It carries the cookie of a session.
    Session,
    None,
}

impl Access {
    fn of(headers: &HeaderMap, dashboard: &Dashboard, token: Option<&AdminToken>) -> Self {
        let Some(token) = token else { return Self::Open };
        if guard::shows(headers, token) {
            return Self::Bearer;
        }
        let now = Instant::now();
        let has_session = Cookie::of(headers).ids(headers).any(|id| dashboard.sessions.has(id, token, now));
        if has_session { Self::Session } else { Self::None }
    }
}
