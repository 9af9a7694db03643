//! The stream of a client whose call waits: kept alive until its batch is over, then the answer as events, or what comes in its place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use plugin_api::{BodyStream, Broken, Common, Protocol, Reply, Sending, UpstreamBody, UpstreamRequest, Uuid};
use tokio::time::{Instant, timeout, timeout_at};

use crate::entry::{Failure, Outcome};
use crate::figures::{ANSWERED, Figures};
use crate::hold::Giving;
use crate::waiting::Waiting;
use crate::{events, reply};

/// How long a stream may be silent.
pub(crate) const PING: Duration = Duration::from_secs(15);
/// The largest error of an upstream that is passed on.
const LARGEST_ERROR: usize = 1 << 20;

/// A stream that is on its way.
pub(crate) struct Stream {
    giving: Giving,
    waiting: Option<Waiting>,
    deadline: Instant,
    /// The call as it goes upstream where no batch answers it; `None` where it does not.
    live: Option<UpstreamRequest>,
    /// The live call between its sending and the head of its response.
    sending: Option<Sending>,
    /// The body of that response.
    body: Option<UpstreamBody>,
    common: Arc<Common>,
    figures: Arc<Figures>,
    protocol: &'static Protocol,
    id: Uuid,
    is_first: bool,
}

impl Stream {
    #[expect(clippy::too_many_arguments, reason = "each is a fact of the call")]
    pub(crate) fn new(
        giving: Giving,
        waiting: Waiting,
        deadline: Instant,
        live: Option<UpstreamRequest>,
        common: Arc<Common>,
        figures: Arc<Figures>,
        protocol: &'static Protocol,
        id: Uuid,
    ) -> Self {
        let (waiting, sending, body, is_first) = (Some(waiting), None, None, true);
        Self { giving, waiting, deadline, live, sending, body, common, figures, protocol, id, is_first }
    }

    pub(crate) fn into_body(self) -> BodyStream {
        BodyStream::new(stream::unfold(self, |mut stream| async move {
            let piece = stream.next().await?;
            Some((piece, stream))
        }))
    }

    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if let Some(body) = &mut self.body {
            return match body.next().await {
                Ok(piece) => piece.map(Ok),
                Err(_) => {
                    self.body = None;
                    Some(Err(Broken))
                }
            };
        }
        if self.sending.is_some() {
            return self.head().await.map(Ok);
        }
        let waiting = self.waiting.as_mut()?;
        if std::mem::take(&mut self.is_first) {
            return Some(Ok(events::ping(self.giving.api)));
        }
        let until = self.deadline.min(Instant::now() + PING);
        let (why, words, goes_on) = match timeout_at(until, waiting.answer()).await {
            Ok(Some(answer)) => match answer.outcome {
                Outcome::Given(status) => {
                    self.figures.call(ANSWERED);
                    let waiting = self.waiting.take()?;
                    if !self.giving.claims(&answer, &waiting) {
                        // the stream has begun as one whose usage is read
                        self.giving.batched.usage_is_elsewhere();
                    }
                    let events =
                        self.giving.stream.and_then(|usage| events::stream(self.giving.api, &answer.body, usage));
                    let events = events.filter(|_| (200..300).contains(&status));
                    return Some(Ok(events.unwrap_or_else(|| events::error(self.giving.api, &answer.body))));
                }
                Outcome::Failed(why) => (why, answer.body.clone(), false),
            },
            Ok(None) => (Failure::Missing, Bytes::new(), false),
            Err(_) if until < self.deadline => return Some(Ok(events::ping(self.giving.api))),
            Err(_) => {
                let goes_on = self.live.is_none() && waiting.goes_on(self.giving.wait_until);
                if goes_on {
                    waiting.leaves_nothing_behind(false);
                } else {
                    waiting.gives_up();
                }
                (Failure::Late, Bytes::new(), goes_on)
            }
        };
        self.waiting = None;
        if !goes_on {
            self.giving.batched.set_outlives_request(false);
            // what is in the stream is an error that used nothing, or a live answer
            self.giving.batched.set_counts_nothing(self.live.is_none());
        }
        self.figures.failed(why);
        self.otherwise(why, &words).await.map(Ok)
    }

    /// The beginning of what comes in the place of an answer.
    async fn otherwise(&mut self, why: Failure, words: &[u8]) -> Option<Bytes> {
        let Some(request) = self.live.take() else {
            let error = reply::no_answer(self.protocol, why, words, &self.giving.upstream, self.id);
            return Some(events::error(self.giving.api, error.body.whole().map_or(&[], |body| body)));
        };
        self.sending = Some(self.common.upstreams.send(request));
        self.head().await
    }

    /// A ping, while there is no head of the live answer and once there is, or its error.
    async fn head(&mut self) -> Option<Bytes> {
        let api = self.giving.api;
        let Ok(response) = timeout(PING, self.sending.as_mut()?).await else { return Some(events::ping(api)) };
        self.sending = None;
        Some(match response {
            Ok(response) if response.status.is_success() => {
                self.body = Some(response.body);
                events::ping(api)
            }
            Ok(response) => match response.body.whole(LARGEST_ERROR).await {
                Ok(body) => events::error(api, &body),
                Err(error) => self.failed(&error),
            },
            Err(error) => self.failed(&error),
        })
    }

    fn failed(&self, error: &plugin_api::SendError) -> Bytes {
        let error = Reply::send_failed(self.protocol, error, &self.giving.upstream, self.id);
        events::error(self.giving.api, error.body.whole().map_or(&[], |body| body))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures_util::StreamExt;
    use http::{HeaderMap, Method};
    use plugin_api::{Batched, Endpoint, SendError, SendLimits, UpstreamSender};

    use super::*;
    use crate::call::Api;
    use crate::store::failed;
    use crate::tests::{call, opened, terms};

    /// An upstream that says nothing for 40 seconds, and then goes.
    struct Silent;

    impl UpstreamSender for Silent {
        fn send(&self, _: UpstreamRequest) -> Sending {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(40)).await;
                Err(SendError::Stopped)
            })
        }
    }

    fn giving() -> Giving {
        Giving {
            api: Api::Messages,
            stream: Some(true),
            upstream: "up".into(),
            batched: Arc::new(Batched::default()),
            delivery: Arc::new(OnceLock::new()),
            accepted: 0,
            wait_until: 0,
        }
    }

    #[tokio::test]
    async fn a_stream_whose_batch_failed_counts_nothing() {
        let (store, _folder) = opened(terms());
        let (call, body) = call(Api::Messages, 1);
        let (id, deadline) = (call.id, Instant::now() + Duration::from_secs(3600));
        let (waiting, _) = tokio::join!(store.accept(call, body, deadline, |_| {}), async { store.sync() });
        let (giving, protocol) = (giving(), Endpoint::MESSAGES.protocol);
        let batched = giving.batched.clone();
        batched.set_outlives_request(true);
        let (common, figures) = (Arc::default(), Arc::new(Figures::new()));
        let stream = Stream::new(giving, waiting.unwrap(), deadline, None, common, figures, protocol, id);
        // the thread of the store finds that it is late
        store.lock().note(failed(id, Failure::Late, "", "", 0));
        let pieces: Vec<_> = stream.into_body().collect().await;
        assert_eq!(pieces.len(), 2);
        assert_eq!((batched.outlives_request(), batched.counts_nothing()), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_kept_alive_while_the_live_answer_has_no_head() {
        let (store, _folder) = opened(terms());
        let (call, body) = call(Api::Messages, 1);
        let common = Arc::<Common>::default();
        common.upstreams.connect(Arc::new(Silent));
        let live = UpstreamRequest {
            upstream: "up".into(),
            method: Method::POST,
            target: "/v1/messages".into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limits: SendLimits::default(),
            once: false,
        };
        let id = call.id;
        let deadline = Instant::now() + Duration::from_secs(3600);
        let (waiting, _) = tokio::join!(store.accept(call, body, deadline, |_| {}), async { store.sync() });
        let (late, figures) = (Instant::now() + Duration::from_secs(1), Arc::new(Figures::new()));
        let protocol = Endpoint::MESSAGES.protocol;
        let stream = Stream::new(giving(), waiting.unwrap(), late, Some(live), common, figures, protocol, id);
        let (began, mut stream) = (Instant::now(), std::pin::pin!(stream.into_body()));
        let mut at = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = String::from_utf8(piece.unwrap().to_vec()).unwrap();
            at.push((began.elapsed().as_secs(), piece.starts_with("event: ping")));
        }
        // it is late after a second, and the upstream answers 40 seconds later
        assert_eq!(at, [(0, true), (16, true), (31, true), (41, false)]);
    }
}
