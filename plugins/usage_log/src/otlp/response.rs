//! What a collector's answer means, by the rules of OTLP over HTTP.

use std::time::Duration;

use http_client::Answer;

use super::protobuf::{Field, fields};

/// The longest message of a collector that is logged, in characters.
const MESSAGE: usize = 200;

/// What becomes of spans.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The collector has them, but for so many; it may say why.
    Taken { rejected: u64, message: Option<String> },
    /// It has none of them, and wants them again; after so long, if it says so.
    Retry(Option<Duration>),
    /// It will never take them.
    Refused(String),
}

/// The verdict of an answer.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    match answer.status.as_u16() {
        200..=299 => {
            let (rejected, message) = partial_success(&answer.body);
            Verdict::Taken { rejected, message }
        }
        429 | 502 | 503 | 504 => Verdict::Retry(answer.retry_after),
        _ => Verdict::Refused(status_message(&answer.body)),
    }
}

/// What `ExportTraceServiceResponse.partial_success` says: how many spans were rejected, and why.
fn partial_success(body: &[u8]) -> (u64, Option<String>) {
    let (mut rejected, mut message) = (0, None);
    for (number, field) in fields(body).unwrap_or_default() {
        if let (1, Field::Bytes(partial)) = (number, field) {
            for (number, field) in fields(partial).unwrap_or_default() {
                match (number, field) {
                    (1, Field::Varint(spans)) => rejected = spans,
                    (2, Field::Bytes(why)) if !why.is_empty() => message = Some(text(why)),
                    _ => {}
                }
            }
        }
    }
    (rejected, message)
}

/// `google.rpc.Status.message`.
fn status_message(body: &[u8]) -> String {
    let message = fields(body).unwrap_or_default().into_iter().find_map(|(number, field)| match field {
        Field::Bytes(message) if number == 2 => Some(text(message)),
        _ => None,
    });
    message.unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|char| !char.is_control()).take(MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use plugin_api::http::StatusCode;

    use super::*;

    fn answer(status: u16, retry_after: Option<u64>, body: &'static [u8]) -> Verdict {
        let (status, retry_after) = (StatusCode::from_u16(status).unwrap(), retry_after.map(Duration::from_secs));
        verdict(&Answer { status, retry_after, body: body.into() })
    }

    #[test]
    fn statuses_mean_what_the_protocol_says() {
        assert_eq!(answer(200, None, b""), Verdict::Taken { rejected: 0, message: None });
        let partial = b"\x0a\x07\x08\x02\x12\x03bad";
        assert_eq!(answer(200, None, partial), Verdict::Taken { rejected: 2, message: Some("bad".into()) });
        for status in [429, 502, 503, 504] {
            assert_eq!(answer(status, None, b""), Verdict::Retry(None));
            assert_eq!(answer(status, Some(7), b""), Verdict::Retry(Some(Duration::from_secs(7))));
        }
        for status in [400, 401, 404, 413, 500] {
            assert_eq!(answer(status, None, b"\x08\x03\x12\x02no"), Verdict::Refused("no".into()));
        }
    }
}
