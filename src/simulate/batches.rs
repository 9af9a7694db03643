//! Anthropic's message batches: takes one and says that it is under way. It never ends.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::call::Call;
use super::plan::Plan;
use super::sse::json;

const DAY: Duration = Duration::from_secs(86_400);

/// The answer to `POST /v1/messages/batches`.
pub(super) fn created(call: &Call<'_>, plan: &Plan, now: SystemTime) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    json(
        &mut out,
        &Batch {
            id: plan.draws.id("msgbatch_"),
            kind: "message_batch",
            processing_status: "in_progress",
            request_counts: Counts { processing: call.batched, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
            created_at: humantime::format_rfc3339_seconds(now).to_string(),
            expires_at: humantime::format_rfc3339_seconds(now + DAY).to_string(),
            ended_at: None,
            archived_at: None,
            cancel_initiated_at: None,
            results_url: None,
        },
    );
    out
}

#[derive(Serialize)]
struct Batch {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    processing_status: &'static str,
    request_counts: Counts,
    created_at: String,
    expires_at: String,
    ended_at: Option<String>,
    archived_at: Option<String>,
    cancel_initiated_at: Option<String>,
    results_url: Option<String>,
}

#[derive(Serialize)]
struct Counts {
    processing: usize,
    succeeded: usize,
    errored: usize,
    canceled: usize,
    expired: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::settings::Settings;
    use super::*;

    #[test]
    fn a_batch_counts_its_requests() {
        let call =
            Call::parse(br#"{"requests":[{"custom_id":"a","params":{}},{"custom_id":"b","params":{}}]}"#).unwrap();
        let plan = Plan::draw(&Settings::default(), 0);
        let body: Value = serde_json::from_slice(&created(&call, &plan, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(body["request_counts"]["processing"], 2);
        assert_eq!(body["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!(body["expires_at"], "1970-01-02T00:00:00Z");
    }
}
