//! How plugins reach the workers with requests of their own, from any thread. What becomes of a request there is in `plugin_request`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use pingora_core::protocols::http::HttpTask;
use plugin_api::{SendError, Sending, UpstreamBody, UpstreamRequest, UpstreamResponse, UpstreamSender};
use tokio::sync::oneshot;

use crate::exchange::hop_by_hop;

use super::plugin_request::{Begun, Report};
use super::worker::WeakWorkers;

/// Sends plugins' requests by the workers, for as long as these run.
pub struct PluginSender(WeakWorkers);

impl PluginSender {
    /// Sends by these workers, and does not keep them running.
    #[must_use]
    pub fn new(workers: WeakWorkers) -> Self {
        Self(workers)
    }
}

impl UpstreamSender for PluginSender {
    fn send(&self, request: UpstreamRequest) -> Sending {
        let workers = self.0.clone();
        Box::pin(async move {
            let (begun, begins) = oneshot::channel();
            if !workers.send(request, begun) {
                return Err(SendError::Stopped);
            }
            response(begins.await.map_err(|_| SendError::Stopped)??).await
        })
    }
}

/// The response of a request that has begun.
async fn response(mut begun: Begun) -> Result<UpstreamResponse, SendError> {
    loop {
        match begun.response.recv().await {
            Some(HttpTask::Header(head, _)) if head.status.is_informational() => {}
            Some(HttpTask::Header(mut head, is_end)) => {
                let Some(sent) = begun.report.sent() else { return Err(begun.failure().await) };
                let sent = Box::new(sent.clone());
                for name in hop_by_hop::names(&head.headers, false) {
                    head.remove_header(&name);
                }
                let parts = head.as_owned_parts();
                let body = UpstreamBody::new(Pieces::new(begun, is_end));
                return Ok(UpstreamResponse { status: parts.status, headers: parts.headers, body, sent });
            }
            Some(HttpTask::Failed(_)) | None => return Err(begun.failure().await),
            Some(_) => {}
        }
    }
}

impl Begun {
    /// Why there is no whole response.
    async fn failure(&mut self) -> SendError {
        // whatever the request had to tell, it has told by its end
        let _ = (&mut self.over).await;
        failure(&self.report)
    }
}

fn failure(report: &Report) -> SendError {
    report.failure().map_or(SendError::Stopped, |failure| SendError::Failed(Box::new(failure.clone())))
}

/// The pieces of a response's body.
struct Pieces {
    begun: Begun,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Broken,
    Over,
}

impl Pieces {
    fn new(begun: Begun, is_end: bool) -> Self {
        let mut pieces = Self { begun, state: State::Reading };
        if is_end {
            pieces.end();
        }
        pieces
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.begun.report.set_received();
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, SendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.state {
                State::Over => return Poll::Ready(None),
                State::Broken => {
                    let _ = ready!(Pin::new(&mut self.begun.over).poll(cx));
                    self.state = State::Over;
                    return Poll::Ready(Some(Err(failure(&self.begun.report))));
                }
                State::Reading => {}
            }
            match ready!(self.begun.response.poll_recv(cx)) {
                Some(HttpTask::Body(piece, is_end)) => {
                    if is_end {
                        self.end();
                    }
                    if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Some(HttpTask::Done | HttpTask::Trailer(_)) => self.end(),
                Some(HttpTask::Header(..) | HttpTask::UpgradedBody(..)) => {}
                Some(HttpTask::Failed(_)) | None => self.state = State::Broken,
            }
        }
    }
}
