//! Spans to a collector, by OTLP over HTTP: a sink of the ledger's consumers. What is to be sent was decided with the request, and stands
//! in its row.

mod attributes;
mod names;
mod protobuf;
mod response;
mod span;

use std::io::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_client::{HttpClient, HttpError};
use journal::Entry;
use log::warn;
use plugin_api::http::{HeaderMap, HeaderValue, Method, header};
use plugin_api::{Bytes, LogLimit, OtlpCompression, OtlpSettings};

use crate::consumers::{Delivery, Sink, SinkContext, SinkError};
use crate::encoding::{self, SPANS};
use crate::{Record, Row};
use response::{Verdict, verdict};

/// The level of compression: spans repeat themselves so much that more effort gains little.
const FAST: u32 = 1;

/// Sends spans.
pub(crate) struct OtlpSink {
    settings: OtlpSettings,
    client: HttpClient,
    context: SinkContext,
}

impl OtlpSink {
    pub(crate) fn new(settings: &OtlpSettings, context: SinkContext) -> Self {
        Self { settings: settings.clone(), client: HttpClient::new(), context }
    }

    /// The body of a request for these spans, and its headers.
    fn request(&self, spans: Vec<u8>) -> (HeaderMap, Bytes) {
        let mut headers = self.settings.headers.headers().clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let packed = match self.settings.compression {
            OtlpCompression::None => None,
            OtlpCompression::Gzip => gzip(&spans),
        };
        if packed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        (headers, packed.unwrap_or(spans).into())
    }

    /// Sends spans, of which there are so many.
    async fn send(&self, spans: Vec<u8>, count: u64) -> Result<(), SinkError> {
        let (url, limit) = (self.settings.traces(), self.settings.timeout.get());
        let (headers, body) = self.request(spans);
        let answer = self.client.request(Method::POST, &url, &headers, body, limit).await;
        let answer = answer.map_err(|error| failed(&error))?;
        match verdict(&answer) {
            Verdict::Taken { rejected: 0, message: None } => {}
            Verdict::Taken { rejected, message } => {
                self.context.rejected(rejected);
                static PARTLY: LogLimit = LogLimit::new();
                if let Some(suppressed) = PARTLY.pass(()) {
                    let message = message.unwrap_or_default();
                    warn!(rejected, message, suppressed; "the collector has not taken all spans; it does not want them again");
                }
            }
            Verdict::Retry(retry_after) => {
                let why = format!("the collector answers with status {}", answer.status.as_u16());
                return Err(SinkError { kind: "status", why, retry_after });
            }
            Verdict::Refused(message) => {
                self.context.rejected(count);
                static REFUSED: LogLimit<u16> = LogLimit::new();
                let status = answer.status.as_u16();
                if let Some(suppressed) = REFUSED.pass(status) {
                    warn!(status, spans = count, message, suppressed; "the collector refuses spans for good; they are dropped");
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for OtlpSink {
    fn wants(&self, entry: &Entry<'_>) -> bool {
        encoding::has_field(entry, SPANS)
    }

    async fn deliver(&mut self, Delivery { records, .. }: &Delivery) -> Result<(), SinkError> {
        let rows: Vec<&Row> = records.iter().filter_map(with_spans).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let (spans, count) = span::request(&rows, &self.settings);
        self.send(spans, count).await
    }
}

fn with_spans(record: &Record) -> Option<&Row> {
    match record {
        Record::Request(row) if row.spans.is_some() => Some(row),
        _ => None,
    }
}

fn failed(error: &HttpError) -> SinkError {
    let kind = match error {
        HttpError::Timeout => "timeout",
        _ => "connection",
    };
    SinkError { kind, why: error.to_string(), retry_after: None::<Duration> }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(FAST));
    encoder.write_all(bytes).ok()?;
    encoder.try_finish().ok()?;
    Some(std::mem::take(encoder.get_mut()))
}
