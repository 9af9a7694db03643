//! Error objects, in the shape of the provider whose endpoint was called.

use std::borrow::Cow;

use super::dialect::Dialect;
use http::StatusCode;
use serde::Serialize;

use super::sse::json;

/// A call that is refused.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: Cow<'static, str>,
}

impl Failure {
    /// A request that cannot be understood.
    pub(super) fn bad_request(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// Nothing is at that path, or not for that method.
    pub(super) fn not_found(method: &http::Method, path: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: format!("nothing at {method} {path}").into() }
    }

    /// There is nothing of this kind with this id.
    pub(super) fn no_such(kind: &str, id: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: format!("there is no {kind} `{id}`").into() }
    }

    /// A body over the limit.
    pub(super) fn too_large() -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: "the body is larger than 64 MiB".into() }
    }

    /// A refusal that the settings or the request asked for.
    pub(super) fn simulated(status: StatusCode) -> Self {
        let message = match status.as_u16() {
            401 => "The key is not valid.",
            402 => "There is a problem with the billing of this account.",
            403 => "The key may not do this.",
            404 => "There is no such model.",
            408 | 504 => "The request took too long.",
            413 => "The request is too large.",
            429 => "This request would exceed the rate limit of the account.",
            529 | 503 => "Overloaded",
            500.. => "Internal server error",
            _ => "The request is not valid.",
        };
        Self { status, message: message.into() }
    }

    /// Its body in a dialect.
    pub(super) fn body(&self, dialect: Dialect, request_id: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match dialect {
            Dialect::Anthropic => {
                let error = AnthropicDetail { kind: anthropic_type(self.status), message: &self.message };
                json(&mut out, &AnthropicError { kind: "error", error, request_id });
            }
            Dialect::OpenAi => {
                let (kind, code) = openai_type(self.status);
                json(
                    &mut out,
                    &OpenAiError { error: OpenAiDetail { message: &self.message, kind, param: None, code } },
                );
            }
        }
        out
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI's `type` and `code`.
fn openai_type(status: StatusCode) -> (&'static str, Option<&'static str>) {
    match status.as_u16() {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: AnthropicDetail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    error: OpenAiDetail<'a>,
}

#[derive(Serialize)]
struct OpenAiDetail<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn anthropics_errors_carry_the_id_of_the_request() {
        let failure = Failure::simulated(super::super::values::OVERLOADED);
        let body: Value = serde_json::from_slice(&failure.body(Dialect::Anthropic, "req_1")).unwrap();
        let error = json!({ "type": "overloaded_error", "message": "Overloaded" });
        assert_eq!(body, json!({ "type": "error", "error": error, "request_id": "req_1" }));
    }

    #[test]
    fn openais_errors_have_all_four_keys() {
        let failure = Failure::bad_request("no \"model\"".to_owned());
        let body: Value = serde_json::from_slice(&failure.body(Dialect::OpenAi, "req_1")).unwrap();
        let error = json!({ "message": "no \"model\"", "type": "invalid_request_error", "param": null, "code": null });
        assert_eq!(body, json!({ "error": error }));
    }
}
