//! A miss on its way upstream: passes the answer to its followers as it arrives, and stores it if that is allowed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use plugin_api::{Answer, Bytes, Chunk, DetachUntil, Outcome, Record, Response};
use smol_str::SmolStr;

use crate::ResponseCache;
use crate::cache_key::{CacheRequest, Key, tells_apart};
use crate::entry::{self, Entry, Epoch};
use crate::flight::Ended;
use crate::flights::Lead;
use crate::settings::OnClientsDisconnected;
use crate::stored_head::{StoredHead, is_same_for_all, may_be_kept};

/// The largest error response that followers share, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// A call that goes upstream.
#[derive(Debug)]
pub(crate) struct Fill {
    lead: Lead,
    key: Key,
    tenant: Arc<str>,
    model: Arc<str>,
    upstream: SmolStr,
    epoch: Epoch,
    /// The head of the answer, once it has arrived. `None` if the answer may not be shared.
    head: Option<Arc<StoredHead>>,
    may_be_kept: bool,
    /// Whether the followers have the head.
    has_begun: bool,
    /// The body of an error, held back until it is known whether the upstream or the gateway made it.
    error: Vec<u8>,
    /// Whether the last byte has arrived.
    whole: bool,
    /// Whether the facts of the answer have been reported.
    is_reported: bool,
    /// These facts, until they are stored with the answer. `None` if it may not be stored.
    answer: Option<Box<Answer>>,
    /// The bytes that may complete the answer, until its facts are reported.
    held_back: Bytes,
}

impl Fill {
    pub(crate) fn new(lead: Lead, key: Key, cache_request: &CacheRequest, model: Arc<str>, epoch: Epoch) -> Self {
        let (tenant, upstream) = (cache_request.tenant.clone(), cache_request.upstream.clone());
        let (error, may_be_kept, has_begun, whole, is_reported) = (Vec::new(), false, false, false, false);
        let (head, answer, held_back) = (None, None, Bytes::new());
        Self {
            lead,
            key,
            tenant,
            model,
            upstream,
            epoch,
            head,
            may_be_kept,
            has_begun,
            error,
            whole,
            is_reported,
            answer,
            held_back,
        }
    }

    /// How long the call goes on after its client has disconnected.
    pub(crate) fn detach_until(&self, cache: &ResponseCache) -> Option<DetachUntil> {
        let flight = self.lead.flight.clone();
        let detach_until = match cache.on_clients_disconnected {
            OnClientsDisconnected::Fill => DetachUntil::new(async move { flight.ended().await }),
            OnClientsDisconnected::Cancel if cache.coalesce => DetachUntil::new(async move { flight.unwanted().await }),
            OnClientsDisconnected::Cancel => return None,
        };
        let flight = self.lead.flight.clone();
        Some(detach_until.shared_when(async move { flight.followed().await }))
    }

    /// The head of the answer has arrived.
    pub(crate) fn head(&mut self, head: &Response<'_>, cache: &ResponseCache) {
        if self.head.take().is_some() {
            // the gateway's own error answer, in place of one of which nothing has reached the client; the followers have its head
            self.lead.flight.end(Ended::Broken);
            self.lead.close();
            return;
        }
        if !is_same_for_all(head.headers, |name| tells_apart(name, &cache.scope, &cache.vary)) {
            // followers have seen nothing of the answer yet, so each makes its own call
            self.lead.flight.end(Ended::Failed);
            self.lead.close();
            return;
        }
        let copy = Arc::new(StoredHead::of(head.status, head.headers));
        self.may_be_kept = may_be_kept(head.headers);
        if head.status.is_success() {
            self.lead.flight.begin(copy.clone());
            self.has_begun = true;
        }
        self.head = Some(copy);
    }

    /// More of the answer has arrived.
    pub(crate) fn chunk(&mut self, chunk: &Chunk<'_>, cache: &ResponseCache) {
        self.whole |= chunk.last;
        if self.head.is_none() {
            // the answer is for the leader's client alone
            return;
        }
        if self.has_begun {
            if (chunk.last || chunk.complete) && !self.is_reported {
                // followers may see the end in these bytes, and need the facts of the answer then
                self.held_back = chunk.bytes.clone();
                return;
            }
            self.push(chunk.bytes, cache);
            if chunk.last {
                self.end_whole(cache);
            }
        } else if self.error.len() + chunk.bytes.len() <= LARGEST_ERROR {
            self.error.extend_from_slice(chunk.bytes);
        } else {
            self.lead.flight.end(Ended::Failed);
            self.lead.close();
        }
    }

    /// Called just before the last byte is written. Followers get their end, and the answer is stored now, since the client may
    /// repeat the call at once.
    pub(crate) fn before_last_byte(&mut self, record: &Record, cache: &ResponseCache) {
        self.is_reported = true;
        let (held_back, answer) = (std::mem::take(&mut self.held_back), record.answer.as_deref());
        if self.has_begun {
            self.answer = self.own(record);
            if self.whole {
                self.lead.flight.complete(&held_back, answer, self.may_be_stored(record), cache.budget);
                self.keep(cache);
            } else {
                answer.into_iter().for_each(|answer| self.lead.flight.report(answer));
                self.push(&held_back, cache);
            }
        }
        if self.whole {
            // the next call finds it stored or goes upstream
            self.lead.close();
        }
    }

    /// The exchange has ended.
    pub(crate) fn end(mut self, record: &Record, cache: &ResponseCache) {
        if self.whole && !self.is_reported {
            self.before_last_byte(record, cache);
        }
        if self.answer.is_none() && self.head.is_some() {
            self.answer = self.own(record);
        }
        if self.has_begun {
            // a stream may be complete before its last byte; a compressed body has an end of its own
            self.whole |=
                record.outcome == Outcome::Completed && !self.head.as_ref().is_some_and(|head| head.is_encoded());
            if self.whole {
                self.end_whole(cache);
            }
            return;
        }
        // An error. Followers share one of the upstream; after one of the gateway, each makes its own call.
        let left = record.outcome == Outcome::ClientGone;
        let answered = matches!(record.outcome, Outcome::Completed | Outcome::Refused) || left;
        let flight = &self.lead.flight;
        match self.head.take() {
            Some(head) if self.whole && answered => {
                flight.begin(head);
                flight.push(&self.error, usize::MAX);
                flight.end(Ended::Whole);
            }
            None if left => flight.end(Ended::Left),
            _ => flight.end(Ended::Failed),
        }
    }

    /// Passes bytes to the followers.
    fn push(&mut self, bytes: &[u8], cache: &ResponseCache) {
        if !self.lead.flight.push(bytes, cache.budget) {
            // the beginning is gone, so nobody can join any more
            self.lead.close();
        }
    }

    /// The facts of an answer that may be stored.
    fn own(&self, record: &Record) -> Option<Box<Answer>> {
        let (head, answer) = (self.head.as_ref()?, record.answer.as_ref()?);
        let may_be_kept = self.may_be_stored(record) && entry::may_be_kept(head.status, answer);
        may_be_kept.then(|| answer.clone())
    }

    /// Whether its answer may be stored, whatever its facts are: the upstream allows it, and no fallback made it, perhaps with another model.
    fn may_be_stored(&self, record: &Record) -> bool {
        self.may_be_kept && record.upstream.as_deref().is_none_or(|upstream| *upstream == *self.upstream)
    }

    /// The answer is complete: followers end, it is stored if that is allowed, and nobody joins any more.
    fn end_whole(&mut self, cache: &ResponseCache) {
        if self.has_begun {
            self.lead.flight.end(Ended::Whole);
            self.keep(cache);
        }
        // the next call finds it stored or goes upstream; an error reaches the followers once its origin is known
        self.lead.close();
    }

    /// Stores the answer, if its facts are known and allow it.
    fn keep(&mut self, cache: &ResponseCache) {
        let Some(answer) = self.answer.take() else { return };
        let (Some(head), Some(body)) = (self.head.take(), self.lead.flight.body()) else { return };
        let entry = Arc::new(Entry {
            head,
            body,
            answer: Some(answer),
            at: Instant::now(),
            tenant: self.tenant.clone(),
            model: self.model.clone(),
            epoch: self.epoch,
            in_redis: AtomicBool::new(false),
        });
        if entry.weight() > cache.budget || !cache.remember(self.key, &entry) {
            return;
        }
        if let Some(redis) = &cache.redis {
            redis.fill(self.key, &entry, cache.ttl);
        }
    }
}
