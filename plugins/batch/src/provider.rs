//! What a provider is asked for batches, in words that both share, and how it is sent. Decides nothing about calls.

mod anthropic;
mod openai;
mod results;
#[cfg(test)]
mod tests;
mod uploads;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use plugin_api::Uuid;

use crate::call::{Api, Group, Millis, now, wall};
use crate::entry::{Failure, Outcome};

pub(crate) use results::{Files, Results, delete, results};
pub(crate) use uploads::Uploads;

/// When nothing more is expected of a batch, in milliseconds: three days.
const GIVE_UP: Millis = 3 * 24 * 3_600_000;

/// Sends requests to upstreams.
pub(crate) trait Link: fmt::Debug + Send + Sync {
    fn send(&self, ask: Ask) -> BoxFuture<'static, Result<Got, Unsent>>;
}

/// A request to an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) upstream: String,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Whether the answer may be as long as the results of a batch.
    pub(crate) is_large: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
    /// The upstream that answered.
    pub(crate) upstream: String,
}

/// Nothing came back.
#[derive(Clone, Debug)]
pub(crate) enum Unsent {
    /// Nothing has reached the provider.
    Never(String),
    /// Something may have.
    Unclear(String),
}

/// What became of a submission.
#[derive(Debug)]
pub(crate) enum Submitted {
    Made {
        batch: String,
        upstream: String,
    },
    /// The provider does not take it.
    Refused(String),
    /// The provider does not take it for what it holds: others of its calls may be taken.
    Invalid(String),
    /// The provider takes it later.
    Wait(Option<Duration>, String),
    /// Nothing has reached it.
    NotSent(String),
    /// It may have it.
    Unclear(String),
}

/// Whether the provider has a submission.
#[derive(Debug)]
pub(crate) enum Search {
    Found {
        batch: String,
        upstream: String,
    },
    /// One that is not over may be it.
    Perhaps,
    Nothing,
    Failed(String),
}

/// How far a batch is.
#[derive(Debug)]
pub(crate) enum Progress {
    Running(Option<Duration>),
    /// It is over, and has left this.
    Over(Files),
    /// What came of its calls, in no order.
    Ended(Results),
    /// The provider says that it failed as a whole.
    Failed(String),
    /// It does not know the batch.
    Unknown(String),
    /// It does not say.
    Unclear(Option<Duration>, String),
}

/// What came of a call.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) call: Uuid,
    pub(crate) outcome: Outcome,
    pub(crate) body: Bytes,
}

/// A submission, as a provider is asked about it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) id: Uuid,
    pub(crate) group: Group,
    pub(crate) calls: Vec<Uuid>,
    pub(crate) at: Millis,
    /// When it came into doubt whether the provider has it.
    pub(crate) in_doubt_since: Millis,
}

impl Handed {
    /// Whether it should have been over long ago: providers end a batch within a day.
    pub(crate) fn is_given_up(&self) -> bool {
        self.at + GIVE_UP < now()
    }

    /// When it was handed in at the latest, by the clock that providers have: what lies before that is another.
    fn handed_in(&self) -> Millis {
        self.at.min(wall().saturating_sub(now().saturating_sub(self.at)))
    }
}

/// Whether calls that are sent to this path can be in a batch.
pub(crate) fn takes(api: Api, path: &str) -> bool {
    match api {
        Api::Messages => path.ends_with("/messages"),
        Api::Chat | Api::Responses | Api::Embeddings => openai::base(api, path).is_some(),
    }
}

/// Submits calls. Their bodies are what the endpoint itself would be sent.
pub(crate) async fn submit(link: &dyn Link, handed: &Handed, bodies: Vec<Bytes>, uploads: &Uploads) -> Submitted {
    match handed.group.api {
        Api::Messages => anthropic::submit(link, handed, bodies).await,
        Api::Chat | Api::Responses | Api::Embeddings => openai::submit(link, handed, bodies, uploads).await,
    }
}

/// Looks for a submission among the provider's batches, apart from those that are known by name.
pub(crate) async fn find(link: &dyn Link, handed: &Handed, known: &(dyn Fn(&str) -> bool + Sync)) -> Search {
    match handed.group.api {
        Api::Messages => anthropic::find(link, handed, known).await,
        Api::Chat | Api::Responses | Api::Embeddings => openai::find(link, handed).await,
    }
}

/// Asks how far a batch is.
pub(crate) async fn poll(link: &dyn Link, group: &Group, upstream: &str, batch: &str) -> Progress {
    match group.api {
        Api::Messages => anthropic::poll(link, group, upstream, batch).await,
        Api::Chat | Api::Responses | Api::Embeddings => openai::poll(link, group, upstream, batch).await,
    }
}

/// Has a batch cancelled; whether the provider took that, or has nothing to cancel any more.
pub(crate) async fn cancel(link: &dyn Link, group: &Group, upstream: &str, batch: &str) -> bool {
    let path = match group.api {
        Api::Messages => anthropic::path(group, &format!("/{batch}/cancel")),
        Api::Chat | Api::Responses | Api::Embeddings => openai::path(group, &format!("/batches/{batch}/cancel")),
    };
    let got = link.send(Ask::new(group, upstream, Method::POST, path)).await;
    got.is_ok_and(|got| got.status < 500 && got.status != 429)
}

impl Ask {
    fn new(group: &Group, upstream: &str, method: Method, target: String) -> Self {
        let (upstream, headers) = (upstream.to_owned(), group.headers.clone());
        Self { upstream, method, target, content_type: None, headers, body: Bytes::new(), is_large: false }
    }

    fn with(self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { content_type: Some(content_type.into()), body: body.into(), ..self }
    }
}

impl Got {
    /// What the answer to something that makes a batch says, where that is no success.
    fn refusal(&self) -> Option<Submitted> {
        match self.status {
            200..=299 => None,
            429 => Some(Submitted::Wait(self.retry_after, self.words())),
            // a server that fails may have done it before
            408 | 409 | 500.. => Some(Submitted::Unclear(self.words())),
            400 | 413 | 422 => Some(Submitted::Invalid(self.words())),
            _ => Some(Submitted::Refused(self.words())),
        }
    }

    /// Status and error message, for logs and callers.
    fn words(&self) -> String {
        let json = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str());
        match message {
            Some(message) => format!("{}: {message}", self.status),
            None => self.status.to_string(),
        }
    }
}

impl From<Unsent> for Submitted {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Never(why) => Self::NotSent(why),
            Unsent::Unclear(why) => Self::Unclear(why),
        }
    }
}

impl Unsent {
    fn words(self) -> String {
        match self {
            Self::Never(why) | Self::Unclear(why) => why,
        }
    }
}

/// What came of a call to which a provider gave this status: an error that the call is to blame for is its answer.
fn outcome_of(status: u16) -> Outcome {
    match status {
        200..=299 | 400 | 402 | 403 | 404 | 413 | 422 => Outcome::Given(status),
        _ => Outcome::Failed(Failure::Errored),
    }
}
