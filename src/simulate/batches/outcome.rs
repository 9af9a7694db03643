//! What came of one request of a batch, and how each provider writes it into its results.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::dialect::Dialect;
use super::super::draws::{Draws, Purpose};
use super::super::endpoint::Kind;
use super::super::failure::Failure;
use super::super::plan::Plan;
use super::super::settings::Settings;
use super::BATCHED;

/// A request of a batch.
pub(super) struct Line {
    pub(super) custom_id: String,
    pub(super) outcome: Outcome,
}

/// What came of it, unless its batch was cancelled before.
pub(super) enum Outcome {
    /// The answer that the endpoint itself would have given.
    Succeeded(Box<RawValue>),
    /// The status and the error object.
    Errored {
        status: u16,
        error: Value,
        request: String,
    },
    Canceled,
    Expired,
}

impl Line {
    /// What comes of the `number`-th of all requests in batches.
    pub(super) fn draw(custom_id: String, kind: Kind, call: &str, settings: &Settings, number: u64) -> Self {
        let plan = Plan::draw(settings, BATCHED + number).of_batch();
        let happens = |purpose| plan.draws.get(purpose, 0);
        let dialect = if kind == Kind::Messages { Dialect::Anthropic } else { Dialect::OpenAi };
        let outcome = if settings.batch_expiry_rate.hits(happens(Purpose::Expiry)) {
            Outcome::Expired
        } else if settings.batch_error_rate.hits(happens(Purpose::BatchError)) {
            Outcome::failed(&Failure::simulated(settings.error_status), dialect, plan.draws)
        } else {
            match answer(kind, call, &plan) {
                Ok(body) => Outcome::Succeeded(body),
                Err(why) => Outcome::failed(&Failure::bad_request(why), dialect, plan.draws),
            }
        };
        Self { custom_id, outcome }
    }
}

/// The answer to a call.
fn answer(kind: Kind, call: &str, plan: &Plan) -> Result<Box<RawValue>, String> {
    let call = Call::parse(call.as_bytes()).map_err(|error| format!("the request is not a call: {error}"))?;
    if call.stream {
        return Err("stream: a batch has no streams".to_owned());
    }
    let body = super::super::answer::whole(kind, &call, plan)?;
    String::from_utf8(body).ok().and_then(|body| RawValue::from_string(body).ok()).ok_or_else(|| "no JSON".to_owned())
}

impl Outcome {
    fn failed(failure: &Failure, dialect: Dialect, draws: Draws) -> Self {
        let request = draws.id("req_");
        let error = serde_json::from_slice(&failure.body(dialect, &request)).unwrap_or_default();
        Self::Errored { status: failure.status.as_u16(), error, request }
    }

    /// Its line in Anthropic's results.
    pub(super) fn anthropic(&self, custom_id: &str) -> Vec<u8> {
        let result = match self {
            Self::Succeeded(message) => {
                let id = Value::from(custom_id);
                return format!(r#"{{"custom_id":{id},"result":{{"type":"succeeded","message":{message}}}}}"#).into();
            }
            Self::Errored { error, .. } => json!({ "type": "errored", "error": error }),
            Self::Canceled => json!({ "type": "canceled" }),
            Self::Expired => json!({ "type": "expired" }),
        };
        json!({ "custom_id": custom_id, "result": result }).to_string().into()
    }

    /// Its line in one of OpenAI's files.
    pub(super) fn openai(&self, custom_id: &str) -> Vec<u8> {
        let error = |code: &str, message: &str| {
            let error = json!({ "code": code, "message": message });
            json!({ "id": format!("batch_req_{custom_id}"), "custom_id": custom_id, "response": null, "error": error })
        };
        let line = match self {
            Self::Succeeded(body) => {
                let id = Value::from(custom_id);
                let head = format!(r#"{{"id":"batch_req_{custom_id}","custom_id":{id}"#);
                let response = format!(r#"{{"status_code":200,"request_id":"req_{custom_id}","body":{body}}}"#);
                return format!(r#"{head},"response":{response},"error":null}}"#).into();
            }
            Self::Errored { status, error, request } => {
                let response = json!({ "status_code": status, "request_id": request, "body": error });
                json!({
                    "id": format!("batch_req_{custom_id}"), "custom_id": custom_id, "response": response, "error": null
                })
            }
            Self::Canceled => error("batch_cancelled", "This request was not executed: its batch was cancelled."),
            Self::Expired => {
                error("batch_expired", "This request could not be executed before the completion window expired.")
            }
        };
        line.to_string().into()
    }
}
