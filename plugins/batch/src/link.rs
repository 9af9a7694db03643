//! The way to a provider: the gateway's own upstreams, with their servers, credentials and time-outs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use plugin_api::{Common, SendError, SendLimits, UpstreamRequest};

use crate::provider::{Ask, Got, Link, Unsent};

/// The largest results that are read, of as many calls as a batch may hold.
const LARGEST: usize = 512 << 20;
/// The largest of other answers: pages of the list of batches.
const LARGEST_PAGE: usize = 16 << 20;
/// How long a batch may take to be taken, or its results to be downloaded.
const TOTAL: Duration = Duration::from_secs(600);
const FIRST_BYTE: Duration = Duration::from_secs(120);

/// Upstreams by their names.
pub(crate) struct Upstreams(pub(crate) Arc<Common>);

impl Link for Upstreams {
    fn send(&self, ask: Ask) -> BoxFuture<'static, Result<Got, Unsent>> {
        let largest = if ask.is_large { LARGEST } else { LARGEST_PAGE };
        let request = request(ask);
        let sending = request.map(|request| self.0.upstreams.send(request));
        async move {
            let response = sending?.await.map_err(unsent)?;
            let (status, upstream) = (response.status.as_u16(), response.sent.upstream.to_string());
            let retry_after = response.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = response.body.whole(largest).await.map_err(|error| Unsent::Unclear(error.to_string()))?;
            Ok(Got { status, retry_after: retry_after.map(Duration::from_secs), body, upstream })
        }
        .boxed()
    }
}

fn request(ask: Ask) -> Result<UpstreamRequest, Unsent> {
    let invalid = || Unsent::Never("a header cannot be sent".to_owned());
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| invalid())?);
    }
    if let Some(kind) = &ask.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).map_err(|_| invalid())?);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(UpstreamRequest {
        upstream: ask.upstream.into(),
        method: ask.method,
        target: ask.target,
        headers,
        body: ask.body,
        limits: SendLimits { first_byte: Some(FIRST_BYTE), total: Some(TOTAL), ..SendLimits::default() },
        // what is made twice is paid for twice, and no other upstream knows of it
        once: true,
    })
}

/// Whether a request that failed may have reached the provider.
fn unsent(error: SendError) -> Unsent {
    let words = error.to_string();
    match &error {
        SendError::UnknownUpstream(_) | SendError::Invalid => Unsent::Never(words),
        // no server was connected to
        SendError::Failed(failure) if failure.sent.attempts == 0 => Unsent::Never(words),
        SendError::Failed(_) if matches!(error.word(), "connect" | "connect_timeout" | "dns" | "tls") => {
            Unsent::Never(words)
        }
        SendError::Stopped | SendError::TooLarge | SendError::NoMemory | SendError::Failed(_) => Unsent::Unclear(words),
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams")
    }
}
