//! A call that goes upstream: its answer is passed to those who share it as it comes, and kept if it may be.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use plugin_api::{Answer, Bytes, Chunk, Outcome, Outlive, Record, Response};

use crate::ResponseCache;
use crate::cache_key::{CacheRequest, Key, tells_apart};
use crate::entry::{self, Entry, Epoch};
use crate::flight::Ended;
use crate::flights::Lead;
use crate::settings::OnClientsDisconnected;
use crate::stored_head::{StoredHead, is_same_for_all, may_be_kept};

/// The largest answer with an error that followers share, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// A call that goes upstream.
#[derive(Debug)]
pub(crate) struct Fill {
    lead: Lead,
    key: Key,
    tenant: Box<str>,
    model: Box<str>,
    upstream: Box<str>,
    epoch: Epoch,
    /// Its head, once it has come; none where others may not have it.
    head: Option<StoredHead>,
    may_be_kept: bool,
    /// An answer that is no success is held back until it is known whose it is.
    error: Vec<u8>,
    /// Whether its last byte has come.
    whole: bool,
    /// Whether it has been told what it says of itself.
    told: bool,
    /// That, until it is kept with the answer; none of an answer that the next call would not get.
    answer: Option<Box<Answer>>,
    /// Bytes with which it may be complete, until it has been told what it says of itself.
    held_back: Bytes,
}

impl Fill {
    pub(crate) fn new(lead: Lead, key: Key, cache_request: &CacheRequest, model: &str, epoch: Epoch) -> Self {
        let (tenant, upstream, model) = (cache_request.tenant.clone(), cache_request.upstream.clone(), model.into());
        let (error, may_be_kept, whole, told) = (Vec::new(), false, false, false);
        let (head, answer, held_back) = (None, None, Bytes::new());
        Self { lead, key, tenant, model, upstream, epoch, head, may_be_kept, error, whole, told, answer, held_back }
    }

    /// Who keeps the call going after its client has left.
    pub(crate) fn outlive(&self, cache: &ResponseCache) -> Option<Outlive> {
        let flight = self.lead.flight.clone();
        let outlive = match cache.on_clients_disconnected {
            OnClientsDisconnected::Fill => Outlive::until(async move { flight.ended().await }),
            OnClientsDisconnected::Cancel if cache.coalesce => Outlive::until(async move { flight.unwanted().await }),
            OnClientsDisconnected::Cancel => return None,
        };
        let flight = self.lead.flight.clone();
        Some(outlive.shared_once(async move { flight.followed().await }))
    }

    /// The head of the answer has come.
    pub(crate) fn head(&mut self, head: &Response<'_>, cache: &ResponseCache) {
        if !is_same_for_all(head.headers, |name| tells_apart(name, &cache.scope, &cache.vary)) {
            // those who wait have nothing of it yet: each may ask for itself
            self.lead.flight.end(Ended::Failed);
            self.lead.close();
            return;
        }
        let copy = StoredHead::of(head.status, head.headers);
        self.may_be_kept = may_be_kept(head.headers);
        if head.status.is_success() {
            self.lead.flight.begin(copy.clone());
        }
        self.head = Some(copy);
    }

    /// More of the answer has come.
    pub(crate) fn chunk(&mut self, chunk: &Chunk<'_>, cache: &ResponseCache) {
        self.whole |= chunk.last;
        if self.head.is_none() {
            // it is for its own client alone
            return;
        }
        let flight = &self.lead.flight;
        if flight.has_begun() {
            if (chunk.last || chunk.complete) && !self.told {
                // those who share it may take these for its end, and must know then what it says of itself
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
            flight.end(Ended::Failed);
            self.lead.close();
        }
    }

    /// Its last bytes go to the client. Those who share it may end now: they know what it says of itself. It is kept before
    /// its own client has it all, which may ask again at once.
    pub(crate) fn before_last_byte(&mut self, record: &Record, cache: &ResponseCache) {
        self.told = true;
        let flight = &self.lead.flight;
        if flight.has_begun() {
            if let Some(answer) = &record.answer {
                flight.tell(answer);
            }
            let held_back = std::mem::take(&mut self.held_back);
            self.push(&held_back, cache);
            self.answer = self.own(record);
        }
        if self.whole {
            self.end_whole(cache);
        }
    }

    /// The exchange is over.
    pub(crate) fn end(mut self, record: &Record, cache: &ResponseCache) {
        if self.whole && !self.told {
            self.before_last_byte(record, cache);
        }
        if self.answer.is_none() && self.head.is_some() {
            self.answer = self.own(record);
        }
        let flight = &self.lead.flight;
        if flight.has_begun() {
            // a stream may be complete before its last byte; what is compressed has an end of its own
            self.whole |=
                record.outcome == Outcome::Completed && !self.head.as_ref().is_some_and(StoredHead::is_encoded);
            if self.whole {
                self.end_whole(cache);
            }
            return;
        }
        // No success. Followers have it as it is, if it is the upstream's; each may try for itself, if it is the gateway's.
        let left = record.outcome == Outcome::ClientGone;
        let answered = matches!(record.outcome, Outcome::Completed | Outcome::Refused) || left;
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

    /// Hands bytes on to those who share it.
    fn push(&mut self, bytes: &[u8], cache: &ResponseCache) {
        if !self.lead.flight.push(bytes, cache.budget) {
            // one who came late could not have all of it
            self.lead.close();
        }
    }

    /// What the answer says of itself, if it is what the next call would get: not that of a fallback, perhaps of another model.
    fn own(&self, record: &Record) -> Option<Box<Answer>> {
        let own = record.upstream.as_deref().is_none_or(|upstream| *upstream == *self.upstream);
        record.answer.clone().filter(|_| own).map(Box::new)
    }

    /// All of the answer has come: nobody joins any more, those who share it end, and it is kept, if it may be.
    fn end_whole(&mut self, cache: &ResponseCache) {
        if self.lead.flight.has_begun() {
            self.lead.flight.end(Ended::Whole);
            self.keep(cache);
        }
        // by now the next one finds it kept, or has to ask; an error goes to those who wait once it is known whose it is
        self.lead.close();
    }

    /// Keeps the answer, if it may be and it is known what it says of itself.
    fn keep(&mut self, cache: &ResponseCache) {
        let Some(answer) = self.answer.take() else { return };
        let may_be_kept =
            self.may_be_kept && self.head.as_ref().is_some_and(|head| entry::may_be_kept(head.status, &answer));
        let Some(head) = self.head.take_if(|_| may_be_kept) else { return };
        let Some(body) = self.lead.flight.body() else { return };
        let entry = Arc::new(Entry {
            head,
            body,
            answer: Some(answer),
            at: Instant::now(),
            tenant: std::mem::take(&mut self.tenant),
            model: std::mem::take(&mut self.model),
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
