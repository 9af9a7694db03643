//! A call on its way into a batch, and its client, which is held until there is an answer or no more time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use plugin_api::{Batched, BatchedAnswer, Body, Flow, OutgoingCall, Reply, SentTo};
use tokio::time::{Instant, timeout_at};

use crate::call::{Api, Booking, Call, Key, Millis, now};
use crate::entry::{Failure, Outcome};
use crate::settings::{OnClientsDisconnected, Otherwise, milliseconds};
use crate::state::Answer;
use crate::stream::{PING, Stream};
use crate::waiting::{Delivery, Waiting};
use crate::{Batch, Wanted, events, figures, owner, reply, request};

/// How the answer of a batch is given to a client.
#[derive(Debug)]
pub(crate) struct Giving {
    pub(crate) api: Api,
    /// Whether the client wants a stream, and if so whether one that reports its usage.
    pub(crate) stream: Option<bool>,
    pub(crate) upstream: Arc<str>,
    pub(crate) batched: Arc<Batched>,
    pub(crate) delivery: Arc<OnceLock<Delivery>>,
    pub(crate) accepted: Millis,
    pub(crate) wait_until: Millis,
}

impl Batch {
    /// Puts a call into a batch and answers it, or lets it go upstream.
    pub(crate) async fn hold(
        &self,
        wanted: Wanted,
        delivery: Arc<OnceLock<Delivery>>,
        call: &mut OutgoingCall<'_>,
    ) -> Flow {
        let deadline = Instant::now() + wanted.wait;
        let Some((stored, body)) = self.stored(&wanted, call) else {
            return self.otherwise(Failure::Unsuitable, false, &[], call);
        };
        let facts = call.call.call();
        let stream = facts.filter(|facts| facts.stream).map(request::reports_usage);
        let giving = Giving {
            api: wanted.api,
            stream,
            upstream: call.upstream.clone(),
            batched: wanted.batched,
            delivery,
            accepted: stored.accepted,
            wait_until: stored.wait_until,
        };
        let cancels = self.config.on_clients_disconnected == OnClientsDisconnected::Cancel;
        let taken = |waiting: &mut Waiting| {
            giving.batched.set_outlives_request(waiting.is_first());
            giving.batched.set_counts_nothing(!waiting.is_first());
            waiting.leaves_nothing_behind(cancels);
        };
        let mut waiting = match self.store.accept(stored, body, deadline, taken).await {
            Ok(waiting) => waiting,
            Err(why) => return self.otherwise(why, false, &[], call),
        };
        let hold = if stream.is_some() { PING } else { self.config.max_hold.get() };
        let until = deadline.min(Instant::now() + hold);
        match timeout_at(until, waiting.answer()).await {
            Ok(Some(answer)) => match answer.outcome {
                Outcome::Given(status) => {
                    self.shared.figures.call(figures::ANSWERED);
                    giving.reply(status, &answer, &waiting).into()
                }
                Outcome::Failed(why) => self.otherwise(why, false, &answer.body, call),
            },
            Ok(None) => self.otherwise(Failure::Missing, false, &[], call),
            Err(_) if until == deadline => {
                let goes_on = self.config.otherwise == Otherwise::Fail && waiting.goes_on(giving.wait_until);
                if goes_on {
                    waiting.leaves_nothing_behind(false);
                } else {
                    waiting.gives_up();
                }
                self.otherwise(Failure::Late, goes_on, &[], call)
            }
            Err(_) if giving.stream.is_some() => self.stream(giving, waiting, deadline, call).into(),
            Err(_) => {
                self.shared.figures.call(figures::DEFERRED);
                waiting.defer();
                waiting.leaves_nothing_behind(false);
                reply::later(&wanted.path, waiting.id(), self.retry_after()).into()
            }
        }
    }

    /// The client is told to come back after so long.
    pub(crate) fn retry_after(&self) -> Duration {
        self.config.poll.get() * 6
    }

    /// The call as it is stored; `None` if it cannot be in a batch.
    fn stored(&self, wanted: &Wanted, call: &OutgoingCall<'_>) -> Option<(Call, Bytes)> {
        if !call.upstream_has_credential {
            return None;
        }
        let model = call.call.upstream_model().unwrap_or_default();
        let group = request::group_of(wanted.api, call.upstream, call.target, model, &call.headers)?;
        let body = request::without_stream(call.call.text())?;
        let caller = call.context.principal();
        let owner = owner::owner(caller, wanted.api_key);
        let again = call.headers.get("idempotency-key").map(|value| value.as_bytes()).unwrap_or_default();
        let of_group = serde_json::to_vec(&group).ok()?;
        let accepted = now();
        let text = |text: Option<&Arc<str>>| text.map(ToString::to_string);
        let stored = Call {
            id: call.context.id,
            owner,
            digest: Key::of([of_group.as_slice(), again, &body]),
            group,
            accepted,
            wait_until: accepted + milliseconds(wanted.wait),
            close_at: accepted + milliseconds(self.config.window.get()),
            max_calls: self.config.max_calls.as_usize(),
            max_bytes: self.config.max_bytes.as_usize(),
            booking: Booking {
                ledger: text(wanted.batched.ledger()),
                domain: wanted.host.clone(),
                tenant: text(caller.tenant.as_ref()),
                key_name: text(caller.key_name.as_ref()),
                api_key_hash: wanted.api_key.map(|key| key.fingerprint()),
            },
            cost: wanted.batched.cost().cloned(),
        };
        Some((stored, body))
    }

    /// There is no answer from a batch. `goes_on` is whether there may be one yet, without this request.
    fn otherwise(&self, why: Failure, goes_on: bool, words: &[u8], call: &OutgoingCall<'_>) -> Flow {
        self.shared.figures.failed(why);
        if let Some(batched) = call.context.batched.as_ref().filter(|_| !goes_on) {
            batched.set_outlives_request(false);
            batched.set_counts_nothing(false);
        }
        match self.config.otherwise {
            Otherwise::Live => Flow::Continue,
            Otherwise::Fail => reply::failed(call.call.protocol(), why, words, call.upstream, call.context.id),
        }
    }

    /// A stream that is kept alive until there is an answer.
    fn stream(&self, giving: Giving, waiting: Waiting, deadline: Instant, call: &OutgoingCall<'_>) -> Reply {
        let upstream = giving.upstream.clone();
        let live = (self.config.otherwise == Otherwise::Live).then(|| call.request(call.call.text().clone()));
        let (protocol, id) = (call.call.protocol(), call.context.id);
        let figures = self.shared.figures.clone();
        let stream = Stream::new(giving, waiting, deadline, live, self.common.clone(), figures, protocol, id);
        let sent = Box::new(SentTo { attempts: 1, ..SentTo::nowhere(upstream) });
        Reply::from_upstream(StatusCode::OK, reply::event_stream(), Body::Stream(stream.into_body()), sent)
    }
}

impl Giving {
    /// The answer of a batch as a reply.
    pub(crate) fn reply(&self, status: u16, answer: &Answer, waiting: &Waiting) -> Reply {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let events = self.stream.filter(|_| status.is_success());
        let (headers, body) = match events.and_then(|usage| events::stream(self.api, &answer.body, usage)) {
            Some(events) => (reply::event_stream(), events),
            None => (reply::json_headers(), answer.body.clone()),
        };
        if self.claims(answer, waiting) {
            let sent = SentTo { attempts: 1, ..SentTo::nowhere(self.upstream.clone()) };
            Reply::from_upstream(status, headers, body, Box::new(sent))
        } else {
            reply::again(status, headers, body)
        }
    }

    /// Whether the row of this request is the one that has the usage of the answer.
    pub(crate) fn claims(&self, answer: &Answer, waiting: &Waiting) -> bool {
        let waited = Duration::from_millis(answer.at.saturating_sub(self.accepted));
        self.batched.set_outlives_request(false);
        self.batched.set_counts_nothing(false);
        if waiting.is_counted() {
            self.batched.set_counted();
        }
        self.batched.answered(BatchedAnswer { batch: answer.batch.clone(), waited });
        // a row has the usage of what is sent, and some streams have none
        let shows_usage = self.api != Api::Chat || self.stream != Some(false);
        let delivery = waiting.delivery(shows_usage);
        let is_claimed = delivery.claim.is_some();
        self.delivery.set(delivery).is_ok() && is_claimed
    }
}
