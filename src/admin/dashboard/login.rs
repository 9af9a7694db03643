//! The login form of the dashboard: takes the admin token, begins and ends sessions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::Semaphore;

use crate::admin::answer::{self, Answer};
use crate::settings::AdminToken;

use super::cookie::Cookie;
use super::{Dashboard, HTML};

/// The page with the form, and where its message stands.
const PAGE: &str = include_str!("assets/login.html");
const MESSAGE: &str = "<!-- message -->";

/// The longest form, in bytes: a token and the address of a page.
const MAX_FORM: usize = 16 * 1024;
/// Time limit for reading a form.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay of the answer to a wrong token.
const DELAY: Duration = Duration::from_millis(500);
/// The most answers that are delayed at a time. Further tokens are not compared, so that there are 16 guesses a
/// second at most.
const DELAYED: usize = 8;

/// Bounds the guesses of the token.
#[derive(Debug)]
pub(super) struct Guesses(Semaphore);

impl Default for Guesses {
    fn default() -> Self {
        Self(Semaphore::new(DELAYED))
    }
}

/// 401 with the form.
pub(super) fn form() -> Answer {
    page(StatusCode::UNAUTHORIZED, "")
}

/// Answers a form: begins a session and leads to the page that was asked for, or shows the form again.
pub(super) async fn login(request: Request<Incoming>, dashboard: &Dashboard, token: Option<&AdminToken>) -> Answer {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return if reads(&head.method) {
            to("/dashboard")
        } else {
            answer::not_allowed(&head.method, "GET, HEAD, POST")
        };
    }
    let Some(token) = token else { return to("/dashboard") };
    let form = match read(body).await {
        Ok(form) => form,
        Err(status) => return page(status, "The form could not be read. Try again."),
    };
    let Ok(guess) = dashboard.guesses.0.try_acquire() else {
        let mut answer = page(StatusCode::TOO_MANY_REQUESTS, "Too many attempts. Try again in a moment.");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    if !token.is(form.token.trim().as_bytes()) {
        tokio::time::sleep(DELAY).await;
        drop(guess);
        return page(StatusCode::UNAUTHORIZED, "This is not the token of this gateway.");
    }
    let cookie = Cookie::of(&head.headers);
    let Some(set) = dashboard.sessions.begin(token, Instant::now()).and_then(|id| cookie.set(&id)) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, "The system has no random numbers. Try again.");
    };
    let mut answer = to(if is_page(&form.next) { &form.next } else { "/dashboard" });
    answer.headers_mut().insert(SET_COOKIE, set);
    answer
}

/// Ends the session of a browser.
pub(super) fn logout(method: &Method, headers: &HeaderMap, dashboard: &Dashboard) -> Answer {
    if *method != Method::POST {
        return answer::not_allowed(method, "POST");
    }
    let cookie = Cookie::of(headers);
    cookie.ids(headers).for_each(|id| dashboard.sessions.end(id));
    let mut answer = to("/dashboard");
    if let Some(remove) = cookie.remove() {
        answer.headers_mut().insert(SET_COOKIE, remove);
    }
    answer
}

/// The fields of the form.
#[derive(Debug, Default)]
struct Form {
    token: String,
    /// The page to go on with.
    next: String,
}

async fn read(body: Incoming) -> Result<Form, StatusCode> {
    let body = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, MAX_FORM).collect()).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|error| {
        if error.is::<LengthLimitError>() { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
    })?;
    Ok(Form::parse(&body.to_bytes()))
}

impl Form {
    fn parse(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "token" => form.token = value.into_owned(),
                "next" => form.next = value.into_owned(),
                _ => {}
            }
        }
        form
    }
}

/// Whether a form may lead there: to pages of the dashboard only, whatever a browser makes of odd characters.
fn is_page(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    super::PAGES.contains(&path) && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn page(status: StatusCode, message: &'static str) -> Answer {
    // without a message there is nothing that a screen reader would read out
    let message = if message.is_empty() { String::new() } else { format!("<p role=\"alert\">{message}</p>") };
    let mut answer = answer::answer(status, HTML, PAGE.replace(MESSAGE, &message).into());
    if status == StatusCode::UNAUTHORIZED {
        answer::challenge(&mut answer);
    }
    answer
}

fn to(page: &str) -> Answer {
    let mut answer = answer::answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    if let Ok(page) = HeaderValue::from_str(page) {
        answer.headers_mut().insert(LOCATION, page);
    }
    answer
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_to_pages_of_the_dashboard_only() {
        for page in
            ["/dashboard", "/dashboard?window=5m", "/dashboard/spend?by=key&model=a%20b", "/dashboard/calls#top"]
        {
            assert!(is_page(page), "{page}");
        }
        for other in [
            "",
            "/",
            "/dashboard/",
            "/dashboard/../reload",
            "//evil.example/dashboard",
            "https://evil.example/dashboard",
            "/dashboard/nothing",
            "/dashboard?a\r\nset-cookie: a=b",
            "/dashboard?\\",
            "\t/dashboard",
        ] {
            assert!(!is_page(other), "{other}");
        }
    }

    #[test]
    fn a_form_is_read_by_its_names() {
        let form = Form::parse(b"next=%2Fdashboard%3Fa%3D1&token=a%2Bb+c%26&x=y");
        assert_eq!((&*form.token, &*form.next), ("a+b c&", "/dashboard?a=1"));
        assert_eq!(Form::parse(b"\xff%zz").token, "");
    }

    #[test]
    fn the_message_has_its_place_in_the_page() {
        assert_eq!(PAGE.matches(MESSAGE).count(), 1);
    }
}
