//! What happened to a model that was chosen, by the record of the call and by the beginning of an error's body.

use plugin_api::http::StatusCode;
use plugin_api::{AnswerState, Outcome, PastCall, Record};

use crate::settings::Trouble;

/// How much of an error's body is looked at, in bytes.
const MOST_BYTES: usize = 4096;

/// What APIs say where a call does not fit into a model's context: `OpenAI`'s code, and parts of messages of Anthropic and of vLLM.
const CONTEXT: [&[u8]; 5] = [
    b"context_length_exceeded",
    b"prompt is too long",
    b"maximum context length",
    b"exceed context limit",
    b"context window",
];
const CONTEXT_STOPS: [&str; 1] = ["model_context_window_exceeded"];
const REFUSAL_STOPS: [&str; 2] = ["refusal", "content_filter"];

/// The beginning of the body of an error.
#[derive(Debug, Default)]
pub(crate) struct ErrorBody(Vec<u8>);

impl ErrorBody {
    /// Whether a response with this status may say that a call is too long.
    pub(crate) fn is_wanted(status: StatusCode) -> bool {
        matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let room = MOST_BYTES.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn says_too_long(&self) -> bool {
        CONTEXT.iter().any(|words| self.0.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words)))
    }
}

/// What happened, if anything did. The client's own doing is none.
pub(crate) fn of(record: &Record, body: Option<&ErrorBody>) -> Option<Trouble> {
    let answer = record.answer.as_ref();
    Signs {
        outcome: record.outcome.as_str(),
        status: record.status.map(|status| status.as_u16()),
        stop_reason: answer.and_then(|answer| answer.stop_reason.as_deref()),
        says_too_long: body.is_some_and(ErrorBody::says_too_long),
        has_error: record.is_success() && answer.is_some_and(|answer| answer.state == AnswerState::Failed),
    }
    .trouble()
}

/// The same of a past call, as far as its row says so.
pub(crate) fn of_past(call: &PastCall<'_>) -> Option<Trouble> {
    signs_of_past(call, false).trouble()
}

/// What may have happened to it besides, which the row of an error does not say: that it was too long.
pub(crate) fn possible_of_past(call: &PastCall<'_>) -> Option<Trouble> {
    let status = call.status.and_then(|status| StatusCode::from_u16(status).ok());
    signs_of_past(call, status.is_some_and(ErrorBody::is_wanted)).trouble()
}

fn signs_of_past<'a>(call: &PastCall<'a>, says_too_long: bool) -> Signs<'a> {
    let PastCall { outcome, status, stop_reason, .. } = *call;
    Signs { outcome, status, stop_reason, says_too_long, has_error: false }
}

/// By what trouble is known.
struct Signs<'a> {
    /// How the call ended, as the ledger has it.
    outcome: &'a str,
    status: Option<u16>,
    stop_reason: Option<&'a str>,
    /// Whether its error says that it was too long.
    says_too_long: bool,
    /// Whether there is an error within its answer.
    has_error: bool,
}

impl Signs<'_> {
    fn trouble(&self) -> Option<Trouble> {
        let stopped_by = |reasons: &[&str]| self.stop_reason.is_some_and(|reason| reasons.contains(&reason));
        let failed =
            self.status.is_some_and(|status| status >= 500 || status == StatusCode::TOO_MANY_REQUESTS.as_u16());
        if [Outcome::Refused, Outcome::ClientGone].iter().any(|outcome| outcome.as_str() == self.outcome) {
            None
        } else if stopped_by(&REFUSAL_STOPS) {
            Some(Trouble::Refusal)
        } else if stopped_by(&CONTEXT_STOPS) || self.says_too_long {
            Some(Trouble::Context)
        } else if failed || self.outcome == Outcome::UpstreamFailed.as_str() || self.has_error {
            Some(Trouble::Error)
        } else {
            None
        }
    }
}
