//! One request with events, and what its answer says of them.

use std::time::Duration;

use http_client::{Answer, HttpClient, HttpError};
use plugin_api::http::header::CONTENT_TYPE;
use plugin_api::http::{HeaderMap, HeaderValue, Method, StatusCode};
use plugin_api::{Bytes, SecretUrl};

use crate::CloudEventsSettings;
use crate::consumers::SinkError;

const JSON_BATCH: HeaderValue = HeaderValue::from_static("application/cloudevents-batch+json");
/// The answers by which a receiver refuses what it was sent, and will refuse it again.
const REFUSALS: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
];
/// As many characters of an answer are shown.
const SHOWN: usize = 200;
/// A word of a header's value that is as long may be a secret.
const SECRET: usize = 6;

/// Where events are posted.
pub(super) struct Receiver {
    client: HttpClient,
    url: SecretUrl,
    headers: HeaderMap,
    limit: Duration,
}

/// What a receiver says of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// It does not take them, and why.
    Refused(String),
}

impl Receiver {
    pub(super) fn new(settings: &CloudEventsSettings) -> Self {
        let mut headers = settings.headers.headers().clone();
        headers.insert(CONTENT_TYPE, JSON_BATCH);
        let (url, limit) = (settings.url.clone(), settings.timeout.get());
        Self { client: HttpClient::new(), url, headers, limit }
    }

    /// Posts these events.
    ///
    /// # Errors
    /// That the receiver says nothing of them.
    pub(super) async fn post(&self, events: &[Vec<u8>]) -> Result<Verdict, SinkError> {
        let mut body = vec![b'['];
        body.extend_from_slice(&events.join(&b','));
        body.push(b']');
        let answer = self.client.request(Method::POST, self.url.uri(), &self.headers, body.into(), self.limit).await;
        let Answer { status, retry_after, body } = answer.map_err(|error| SinkError {
            kind: match error {
                HttpError::Timeout => "timeout",
                HttpError::Tls(_) => "tls",
                _ => "connection",
            },
            why: format!("{}: {error}", self.url.host()),
            retry_after: None,
        })?;
        if status.is_success() {
            return Ok(Verdict::Taken);
        }
        let why = format!("{}: status {}{}", self.url.host(), status.as_u16(), self.shown(&body));
        if REFUSALS.contains(&status) {
            return Ok(Verdict::Refused(why));
        }
        Err(SinkError { kind: "status", why, retry_after })
    }

    /// The beginning of an answer, without what of the configuration it repeats.
    fn shown(&self, body: &Bytes) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        for value in self.headers.values().filter(|value| value.is_sensitive()) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            for secret in value.split_whitespace().filter(|word| word.len() >= SECRET) {
                text = text.replace(secret, "…");
            }
        }
        let path = self.url.uri().path_and_query().map_or("", |path| path.as_str());
        if path.len() > SECRET {
            text = text.replace(path, "…");
        }
        let text: String = text.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect();
        if text.is_empty() { text } else { format!(": {text}") }
    }
}
