//! The answer of a route that leads to no upstream: a redirect, or an answer that the YAML gives.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plugin_api::{Body, Outcome, Protocol, Reply, header_value};
use protocols::ApiError;
use url_path::percent_encode;

use crate::routes::{AnswerSettings, Redirect, RouteTemplate, Scope, Use};

/// An answer, with variables perhaps.
pub struct LocalAnswer {
    status: StatusCode,
    headers: Vec<(HeaderName, Text)>,
    content_type: Option<HeaderValue>,
    body: LocalBody,
}

/// The body of such an answer.
enum LocalBody {
    /// None at all.
    Empty,
    /// The same for everybody.
    Fixed(Bytes),
    /// With variables.
    Template(RouteTemplate),
    /// An error object in the caller's dialect.
    Error,
}

/// The value of a header.
enum Text {
    /// The same for everybody.
    Fixed(HeaderValue),
    /// With variables.
    Template(RouteTemplate),
    /// An address, with variables perhaps.
    Location(RouteTemplate),
}

impl From<&Redirect> for LocalAnswer {
    fn from(redirect: &Redirect) -> Self {
        let location = redirect.location.template();
        let fixed = location.as_text().and_then(|text| HeaderValue::from_str(text).ok());
        let location = fixed.map_or_else(|| Text::Location(location.clone()), Text::Fixed);
        let headers = vec![(LOCATION, location)];
        Self { status: redirect.status.get(), headers, content_type: None, body: LocalBody::Empty }
    }
}

impl From<&AnswerSettings> for LocalAnswer {
    fn from(answer: &AnswerSettings) -> Self {
        let value = |text: &RouteTemplate| {
            let fixed = text.as_text().and_then(|text| HeaderValue::from_str(text).ok());
            fixed.map_or_else(|| Text::Template(text.clone()), Text::Fixed)
        };
        let body = match &answer.body {
            None if answer.status.as_u16() >= 400 => LocalBody::Error,
            None => LocalBody::Empty,
            Some(template) => match template.as_text() {
                Some("") => LocalBody::Empty,
                Some(text) => LocalBody::Fixed(Bytes::copy_from_slice(text.as_bytes())),
                None => LocalBody::Template(template.clone()),
            },
        };
        let has_type = matches!(body, LocalBody::Fixed(_) | LocalBody::Template(_));
        Self {
            status: answer.status,
            headers: answer.headers.iter().map(|(name, text)| (name.clone(), value(text))).collect(),
            content_type: has_type.then(|| answer.content_type.value().clone()),
            body,
        }
    }
}

impl LocalAnswer {
    /// Whether it has what a group of the route's expression matched.
    #[must_use]
    pub fn uses_groups(&self) -> bool {
        let of_headers = self.headers.iter().filter_map(|(_, text)| match text {
            Text::Fixed(_) => None,
            Text::Template(template) | Text::Location(template) => Some(template),
        });
        let of_body = match &self.body {
            LocalBody::Template(template) => Some(template),
            LocalBody::Empty | LocalBody::Fixed(_) | LocalBody::Error => None,
        };
        of_headers.chain(of_body).any(|template| template.groups().next().is_some())
    }

    /// The answer to a request in this protocol.
    #[must_use]
    pub fn reply(&self, protocol: &'static Protocol, scope: &Scope<'_>) -> Reply {
        let status = self.status;
        let outcome = if status.as_u16() < 400 { Outcome::Completed } else { Outcome::Refused };
        let whole = |body: Bytes| Reply {
            status,
            headers: HeaderMap::with_capacity(self.headers.len() + 1),
            body: Body::Whole(body),
            outcome,
            saved: None,
            sent: None,
            error_type: None,
        };
        let mut reply = match &self.body {
            LocalBody::Empty => whole(Bytes::new()),
            LocalBody::Fixed(text) => whole(text.clone()),
            LocalBody::Template(template) => whole(template.expand(scope, Use::Text).into()),
            LocalBody::Error => error(protocol, status, scope),
        };
        if let Some(content_type) = &self.content_type {
            reply.headers.insert(CONTENT_TYPE, content_type.clone());
        }
        for (name, text) in &self.headers {
            let value = match text {
                Text::Fixed(value) => Some(value.clone()),
                Text::Template(template) => header_value(template.expand(scope, Use::Text)),
                Text::Location(template) => {
                    HeaderValue::from_bytes(&address(&template.expand(scope, Use::Location))).ok()
                }
            };
            if let Some(value) = value {
                reply.headers.insert(name.clone(), value);
            }
        }
        reply
    }
}

/// An error object in the caller's dialect.
fn error(protocol: &'static Protocol, status: StatusCode, scope: &Scope<'_>) -> Reply {
    let id = scope.variables.context.id.to_string();
    let kind = protocol.error_type_of(None, status);
    let message = format!("The gateway itself answers this request with {status}");
    let error = ApiError { kind, code: None, message: &message, request_id: &id, resets_at: None };
    let body = (protocol.errors.object)(&error).to_string();
    let reply = Reply { error_type: Some(kind), ..Reply::json(status, body) };
    let may_help =
        status.is_server_error() || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if may_help { reply } else { reply.not_to_be_retried() }
}

/// An address as it can be sent: what no address has is percent-encoded.
fn address(text: &[u8]) -> Vec<u8> {
    let mut address = Vec::with_capacity(text.len());
    percent_encode(text, &mut address, |byte| byte.is_ascii_graphic());
    address
}

#[cfg(test)]
mod tests {
    use http::Method;
    use plugin_api::testing::{TestRequest, context};

    use super::*;
    use crate::routes::{RouteSettings, Target};

    /// The answer of the route with this target to a GET of `/a%20b?q=1`.
    fn answer(json: &str, protocol: &'static Protocol) -> (Reply, String) {
        let route: RouteSettings = serde_json::from_str(json).unwrap();
        let answer = match &route.target {
            Target::Redirect(redirect) => LocalAnswer::from(redirect),
            Target::Answer(answer) => LocalAnswer::from(&**answer),
            Target::Upstream(_) => unreachable!("tests of answers"),
        };
        let (test, mut context) = (TestRequest::asking(Method::GET, "/a%20b?q=1"), context());
        let request = test.header("x-line", "a\tb").header("host", "a.test");
        let request = request.request(&mut context);
        let reply = answer.reply(protocol, &Scope { variables: request.variables(), groups: None });
        let body = String::from_utf8(reply.body.whole().unwrap().to_vec()).unwrap();
        (reply, body)
    }

    #[test]
    fn a_redirect_says_where_and_nothing_else() {
        let (reply, body) = answer(r#"{"redirect":"https://new.test$request_uri"}"#, Protocol::OPENAI);
        assert_eq!((reply.status.as_u16(), &*body, reply.outcome), (301, "", Outcome::Completed));
        assert_eq!(reply.headers[LOCATION], "https://new.test/a%20b?q=1");
        let (reply, _) = answer(r#"{"redirect":"/b?x=$http_x_line","status":308}"#, Protocol::OPENAI);
        assert_eq!((reply.status.as_u16(), &reply.headers[LOCATION]), (308, &HeaderValue::from_static("/b?x=a%09b")));
    }

    #[test]
    fn an_answer_has_the_body_of_the_yaml_or_an_error_object() {
        let (reply, body) = answer(
            r#"{"answer":{"body":"ok $arg_q\n","headers":{"x-a":"$http_x_none","x-b":"$arg_q"}}}"#,
            Protocol::OPENAI,
        );
        assert_eq!((reply.status.as_u16(), &*body, reply.outcome), (200, "ok 1\n", Outcome::Completed));
        assert_eq!((reply.headers.get("x-a"), &reply.headers["x-b"]), (None, &HeaderValue::from_static("1")));
        assert_eq!(reply.headers[CONTENT_TYPE], "text/plain");
        let (reply, body) = answer(r#"{"answer":{"status":204}}"#, Protocol::OPENAI);
        assert_eq!((reply.status.as_u16(), &*body, reply.headers.len()), (204, "", 0));
        let (reply, body) = answer(r#"{"answer":{"status":404}}"#, Protocol::ANTHROPIC);
        assert_eq!((reply.error_type, reply.outcome), (Some("not_found_error"), Outcome::Refused));
        assert!(body.contains("not_found_error") && reply.headers.contains_key("x-should-retry"), "{body}");
        let (reply, body) = answer(r#"{"answer":{"status":404,"body":""}}"#, Protocol::ANTHROPIC);
        assert_eq!((reply.headers.len(), &*body), (0, ""));
    }
}
