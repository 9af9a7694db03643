//! From a request to its answer: the endpoint, the content and the headers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::batches::{Asked, Batches, Found, Target};
use super::dialect::Dialect;
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::sleep;

use super::body::AnswerBody;
use super::call::Call;
use super::draws::Draws;
use super::endpoint::{Endpoint, Kind};
use super::failure::Failure;
use super::plan::{Abort, Plan};
use super::settings::Settings;
use super::sse::{Script, json};
use super::tally::{InFlight, Tally};
use super::{chat, completions, embeddings, messages, models, responses, websocket};

/// The largest body that is read.
const MAX_BODY: usize = 64 << 20;

/// Requests that are no calls have numbers from here on, so that they do not shift the numbers of the calls.
const NO_CALL: u64 = 1 << 63;

/// A simulated upstream.
pub(super) struct Simulator {
    settings: Settings,
    /// Its address, as `x-simulator` says it.
    name: HeaderValue,
    tally: Arc<Tally>,
    batches: Batches,
    other_requests: AtomicU64,
}

/// The content of an answer.
enum Content {
    Json(Vec<u8>),
    Events(Script),
}

impl Simulator {
    /// A simulator that says it is at this address.
    pub(super) fn new(address: SocketAddr, settings: Settings) -> Self {
        // An address is printable ASCII, always.
        let name = HeaderValue::from_maybe_shared(Bytes::from(address.to_string()));
        let name = name.unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            settings,
            name,
            tally: Arc::default(),
            batches: Batches::default(),
            other_requests: AtomicU64::new(NO_CALL),
        }
    }

    /// Answers a request. An error closes the connection without an answer.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<AnswerBody>> {
        if let Some((kind, key)) = websocket::asked_for(&request) {
            let response = self.respond(Dialect::OpenAi, self.no_call(), StatusCode::OK, AnswerBody::whole(Vec::new()));
            return Ok(websocket::accept(self, kind, &key, response, request));
        }
        let (head, body) = request.into_parts();
        let dialect = Dialect::of(head.uri.path(), &head.headers);
        let content = match Endpoint::of(&head.method, head.uri.path()) {
            Endpoint::Call(kind) => return self.answer_call(kind, dialect, &head, body).await,
            Endpoint::Batches(target) => return self.answer_batches(&target, dialect, &head, body).await,
            Endpoint::Models(None) => models::list(dialect),
            Endpoint::Models(Some(id)) => models::one(dialect, id),
            Endpoint::Stats => {
                let mut counts = Vec::with_capacity(64);
                json(&mut counts, &self.tally.counts(self.batches.stats()));
                counts
            }
            Endpoint::Health => {
                let body = AnswerBody::whole(b"ok\n".to_vec());
                let mut response = self.respond(dialect, self.no_call(), StatusCode::OK, body);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                return Ok(response);
            }
            Endpoint::Unknown => {
                let failure = Failure::not_found(&head.method, head.uri.path());
                return Ok(self.refuse(dialect, self.no_call(), &failure));
            }
        };
        Ok(self.respond(dialect, self.no_call(), StatusCode::OK, AnswerBody::whole(content)))
    }

    /// How it answers.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts a call and returns its number, from 0.
    pub(super) fn begin(&self) -> (u64, InFlight) {
        self.tally.begin()
    }

    /// The draws of a request that is no call.
    fn no_call(&self) -> Draws {
        Draws::new(self.settings.seed, self.other_requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Answers a call to a model.
    async fn answer_call(
        &self,
        kind: Kind,
        dialect: Dialect,
        head: &Parts,
        body: Incoming,
    ) -> io::Result<Response<AnswerBody>> {
        let (number, in_flight) = self.tally.begin();
        let mut plan = Plan::draw(&self.settings, number);
        let overridden = plan.follow(&head.headers);
        let refuse = |failure: Failure, in_flight| {
            let response = self.refuse(dialect, plan.draws, &failure);
            Ok(response.map(|body| body.watched_by(in_flight)))
        };
        // The body is read whatever comes: a provider refuses after it has the request, and the connection lives on.
        let Some(body) = read(body).await? else { return refuse(Failure::too_large(), in_flight) };
        if let Err(error) = overridden {
            return refuse(Failure::bad_request(error), in_flight);
        }
        if let Some(status) = plan.refusal {
            return refuse(Failure::simulated(status), in_flight);
        }
        let (content, wait) = if kind == Kind::Batches {
            match self.batches.answer(&Target::Create(dialect), &asked(head, &body), &self.settings, plan.draws) {
                Ok(Found::Json(batch) | Found::Lines(batch, _)) => (Content::Json(batch), plan.ttft),
                Err(failure) => return refuse(failure, in_flight),
            }
        } else {
            let call = match Call::parse(&body) {
                Ok(call) => call,
                Err(error) => {
                    return refuse(Failure::bad_request(format!("the body is not a call: {error}")), in_flight);
                }
            };
            let content = match content(kind, &call, &plan) {
                Ok(content) => content,
                Err(error) => return refuse(Failure::bad_request(error), in_flight),
            };
            let wait = match (&content, kind) {
                (Content::Json(_), Kind::Messages | Kind::Chat | Kind::Completions | Kind::Responses) => {
                    let of_stream = || time_to_say(plan.token_gap, call.output(plan.tokens).tokens);
                    plan.whole_after.unwrap_or_else(|| plan.ttft.saturating_add(of_stream()))
                }
                _ => plan.ttft,
            };
            (content, wait)
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        if plan.abort == Some(Abort::Head) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "broken off on purpose"));
        }

        let streams = matches!(content, Content::Events(_));
        let body = match (content, plan.abort) {
            (Content::Json(bytes), None) => AnswerBody::whole(bytes),
            (Content::Json(bytes), Some(_)) => AnswerBody::half(bytes),
            (Content::Events(script), None) => AnswerBody::stream(script, plan.token_gap),
            (Content::Events(script), Some(_)) => AnswerBody::half_stream(script, plan.token_gap),
        };
        let mut response = self.respond(dialect, plan.draws, StatusCode::OK, body.watched_by(in_flight));
        if streams {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        Ok(response)
    }

    /// Answers a request for batches or files that is no call.
    async fn answer_batches(
        &self,
        target: &Target<'_>,
        dialect: Dialect,
        head: &Parts,
        body: Incoming,
    ) -> io::Result<Response<AnswerBody>> {
        let draws = self.no_call();
        let Some(body) = read(body).await? else { return Ok(self.refuse(dialect, draws, &Failure::too_large())) };
        Ok(match self.batches.answer(target, &asked(head, &body), &self.settings, draws) {
            Ok(Found::Json(body)) => self.respond(dialect, draws, StatusCode::OK, AnswerBody::whole(body)),
            Ok(Found::Lines(body, content_type)) => {
                let mut response = self.respond(dialect, draws, StatusCode::OK, AnswerBody::whole(body));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                response
            }
            Err(failure) => self.refuse(dialect, draws, &failure),
        })
    }

    /// A response with an error object.
    fn refuse(&self, dialect: Dialect, draws: Draws, failure: &Failure) -> Response<AnswerBody> {
        let body = AnswerBody::whole(failure.body(dialect, &draws.id(REQUEST_ID)));
        let mut response = self.respond(dialect, draws, failure.status, body);
        if failure.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// A response with the headers that all have, of the type JSON.
    fn respond(&self, dialect: Dialect, draws: Draws, status: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.reserve(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(SIMULATOR, self.name.clone());
        let (id_name, organization, organization_value) = match dialect {
            Dialect::Anthropic => (ANTHROPIC_ID, ANTHROPIC_ORGANIZATION, "00000000-0000-4000-8000-000000000000"),
            Dialect::OpenAi => (OPENAI_ID, OPENAI_ORGANIZATION, "org-simulated"),
        };
        headers.insert(organization, HeaderValue::from_static(organization_value));
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(draws.id(REQUEST_ID))) {
            headers.insert(id_name, id);
        }
        response
    }
}

const REQUEST_ID: &str = "req_";
const SIMULATOR: HeaderName = HeaderName::from_static("x-simulator");
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");
const ANTHROPIC_ORGANIZATION: HeaderName = HeaderName::from_static("anthropic-organization-id");
const OPENAI_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENAI_ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");

/// The content that answers a call, or the refusal of one that cannot be answered.
fn content(kind: Kind, call: &Call<'_>, plan: &Plan) -> Result<Content, String> {
    if !call.stream {
        return whole(kind, call, plan).map(Content::Json);
    }
    Ok(match kind {
        Kind::Messages => Content::Events(messages::stream(call, plan)),
        Kind::Chat => Content::Events(chat::stream(call, plan, now())),
        Kind::Completions => Content::Events(completions::stream(call, plan, now())),
        Kind::Responses => Content::Events(responses::stream(call, plan, now())),
        Kind::CountTokens | Kind::Batches | Kind::Embeddings => Content::Json(whole(kind, call, plan)?),
    })
}

/// The content as one object.
pub(super) fn whole(kind: Kind, call: &Call<'_>, plan: &Plan) -> Result<Vec<u8>, String> {
    Ok(match kind {
        Kind::Messages => messages::whole(call, plan),
        Kind::Chat => chat::whole(call, plan, now()),
        Kind::Completions => completions::whole(call, plan, now()),
        Kind::Responses => responses::whole(call, plan, now()),
        Kind::CountTokens => messages::count(call),
        Kind::Embeddings => embeddings::whole(call)?,
        Kind::Batches => return Err("a batch holds no batches".to_owned()),
    })
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a request for batches says.
fn asked<'a>(head: &'a Parts, body: &'a [u8]) -> Asked<'a> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = head.uri.authority().map_or_else(|| text(HOST), |authority| authority.as_str());
    Asked { query: head.uri.query().unwrap_or_default(), host, content_type: text(CONTENT_TYPE), body }
}

/// The time from the first token to the last.
fn time_to_say(gap: Duration, tokens: u64) -> Duration {
    gap.saturating_mul(u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX))
}

/// Reads a body; `None` if it is larger than is read. Small ones come in one piece, which is not copied.
async fn read(mut body: Incoming) -> io::Result<Option<Bytes>> {
    let announced = body.size_hint();
    if announced.lower() > MAX_BODY as u64 {
        return Ok(None);
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > MAX_BODY {
            return Ok(None);
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve((announced.lower() as usize).max(first.len() + data.len()));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(if whole.is_empty() { first } else { whole.freeze() }))
}
