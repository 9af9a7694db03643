//! The response cache: answers repeated calls from memory or Redis, and merges identical calls in flight into one upstream call.
//! Answers never cross tenants, and only complete answers are stored. The gateway parses the answers; this crate does not.

mod admin;
mod bypass;
mod cache_key;
mod cacheability;
mod caches;
mod canonical;
mod collector;
mod control;
mod entry;
mod explained;
mod figures;
mod fill;
mod flight;
mod flights;
mod lookup;
mod lru;
mod memory;
mod purges;
mod settings;
mod shared;
mod status;
mod stored_head;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use plugin_api::{
    Body, BuildContext, Call, Chunk, ConfigProblem, Endpoint, Explanation, Flow, MessagesDigest, Needs, Outcome,
    Plugin, Protocol, Record, Reply, Request, Response, tags,
};

use bypass::Bypass;
use cache_key::CacheRequest;
use entry::{X_CACHE, mark};
use fill::Fill;
use lookup::Lookup;
use memory::Memory;
use settings::OnClientsDisconnected;
use shared::Shared;
use status::CacheStatus;

pub use caches::Caches;
pub use settings::{Coalesce, Config, MemoryConfig, RedisConfig, Scope};

/// The digest of a call's JSON, which all its spellings share. `None` if the call bypasses the cache.
///
/// With the digest of its messages, the list of messages is not read again. The digest of the call is then another one.
#[must_use]
pub fn call_digest(endpoint: Endpoint, text: &[u8], messages: Option<&MessagesDigest>) -> Option<[u8; 32]> {
    canonical::digest(endpoint, text, messages).ok()
}

/// The plugin.
#[derive(Debug)]
pub struct ResponseCache {
    caches: Arc<Caches>,
    memory: Arc<Memory>,
    redis: Option<Arc<Shared>>,
    ttl: Duration,
    max_entry: usize,
    budget: usize,
    endpoints: Vec<Endpoint>,
    scope: Scope,
    vary: Vec<HeaderName>,
    coalesce: bool,
    on_clients_disconnected: OnClientsDisconnected,
}

/// The role of the cache in one exchange.
#[derive(Debug, Default)]
pub struct State(Role);

#[derive(Debug, Default)]
enum Role {
    /// The endpoint is not cached.
    #[default]
    Out,
    /// The head has been read, and nothing in it bypasses the cache.
    Requested(CacheRequest),
    /// The call bypasses the cache.
    Bypassed,
    /// The cache has answered.
    Answered,
    /// The call goes upstream. Its answer is shared and may be stored.
    Leading(Fill),
}

impl ResponseCache {
    pub(crate) fn new(
        config: &Config,
        caches: Arc<Caches>,
        memory: Arc<Memory>,
        redis: Option<Arc<Shared>>,
    ) -> Result<Self, String> {
        Ok(Self {
            caches,
            memory,
            redis,
            ttl: config.ttl.get(),
            max_entry: config.max_entry.as_usize(),
            budget: config.memory.max_bytes.as_usize(),
            endpoints: config.endpoints()?,
            scope: config.scope.clone(),
            vary: config.vary_names()?,
            coalesce: config.coalesce == Coalesce::On,
            on_clients_disconnected: config.on_clients_disconnected,
        })
    }

    /// What becomes of a call that was looked up.
    fn looked_up(
        &self,
        looked_up: Result<Lookup, Bypass>,
        state: &mut State,
        call: &mut Call<'_>,
        protocol: &'static Protocol,
    ) -> Flow {
        let id = call.context.id;
        let (status, role, flow) = match looked_up {
            Ok(Lookup::Hit(entry)) => (CacheStatus::Hit, Role::Answered, entry.reply(protocol, id).into()),
            Ok(Lookup::Coalesced(head, follower)) => {
                let headers = entry::headers(&head, protocol, id, CacheStatus::Coalesced);
                let body = Body::Stream(self.followed(follower));
                let outcome = Outcome::Cached;
                let reply =
                    Reply { status: head.status, headers, body, outcome, sent: None, saved: None, error_type: None };
                (CacheStatus::Coalesced, Role::Answered, reply.into())
            }
            Ok(Lookup::Miss(fill)) => {
                call.body.detach_until = fill.detach_until(self);
                (CacheStatus::Miss, Role::Leading(fill), Flow::Continue)
            }
            Err(why) => {
                call.context.tags.set(tags::CACHE_STATUS, CacheStatus::Bypass.as_str());
                self.caches.figures.bypassed(why);
                state.0 = Role::Bypassed;
                return Flow::Continue;
            }
        };
        call.context.tags.set(tags::CACHE_STATUS, status.as_str());
        self.caches.figures.served(status);
        state.0 = role;
        flow
    }
}

impl Plugin for ResponseCache {
    const NAME: &'static str = "response_cache";
    const NEEDS: Needs = Needs { body: true, answer: true, messages_digest: true, detach: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = Caches;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        Ok(config.check()?)
    }

    fn memory(configs: &[&Config]) -> u64 {
        // configurations with equal bounds share one memory; answers in flight may take as much again
        let mut bounds: Vec<_> =
            configs.iter().map(|config| (config.memory.max_entries, config.memory.max_bytes.get())).collect();
        bounds.sort_unstable();
        bounds.dedup();
        bounds.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(bytes.saturating_mul(2)))
    }

    fn build(config: &Config, context: &BuildContext<'_, Caches>) -> Result<Self, ConfigProblem> {
        Ok(context.shared.install(config)?)
    }

    /// Without Redis: what is stored is not looked up.
    fn build_to_explain(config: &Config, context: &BuildContext<'_, Caches>) -> Result<Self, ConfigProblem> {
        Ok(context.shared.install(&Config { redis: None, ..config.clone() })?)
    }

    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        let Some(endpoint) = request.endpoint.filter(|endpoint| self.endpoints.contains(endpoint)) else {
            return Some(Flow::Continue);
        };
        let role = match CacheRequest::of(request, endpoint, &self.scope, &self.vary) {
            Ok(cache_request) => Role::Requested(cache_request),
            Err(why) => {
                self.caches.figures.bypassed(why);
                Role::Bypassed
            }
        };
        state.0 = role;
        Some(Flow::Continue)
    }

    /// Redis, a large body and an equal call in flight alone are waited for.
    fn try_on_call(&self, state: &mut State, call: &mut Call<'_>) -> Option<Flow> {
        let cache_request = match &mut state.0 {
            Role::Requested(cache_request) => cache_request,
            Role::Bypassed => {
                call.context.tags.set(tags::CACHE_STATUS, CacheStatus::Bypass.as_str());
                return Some(Flow::Continue);
            }
            Role::Out | Role::Answered | Role::Leading(_) => return Some(Flow::Continue),
        };
        let protocol = cache_request.endpoint.protocol;
        let looked_up = self.try_lookup(cache_request, call.body)?;
        Some(self.looked_up(looked_up, state, call, protocol))
    }

    async fn on_call(&self, state: &mut State, call: &mut Call<'_>) -> Flow {
        let Role::Requested(cache_request) = &mut state.0 else { return Flow::Continue };
        let protocol = cache_request.endpoint.protocol;
        let looked_up = self.lookup(cache_request, call.body).await;
        self.looked_up(looked_up, state, call, protocol)
    }

    async fn explain_request(
        &self,
        state: &mut State,
        request: &mut Request<'_>,
        explanation: &mut Explanation,
    ) -> Flow {
        self.explain_head(request, explanation);
        plugin_api::on_request(self, state, request).await
    }

    async fn explain_call(&self, state: &mut State, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        if let Role::Requested(cache_request) = &mut state.0 {
            self.explain_key(cache_request, call.body, explanation).await;
        }
        Flow::Continue
    }

    fn try_on_response(&self, state: &mut State, response: &mut Response<'_>) -> Option<()> {
        match &mut state.0 {
            Role::Out | Role::Answered => {}
            // refused by another plugin between the hooks, or bypassed
            Role::Requested(_) | Role::Bypassed => response.edits.set(X_CACHE, mark(CacheStatus::Bypass)),
            Role::Leading(fill) => {
                response.edits.set(X_CACHE, mark(CacheStatus::Miss));
                fill.head(response, self);
            }
        }
        Some(())
    }

    fn on_chunk(&self, state: &mut State, chunk: &mut Chunk<'_>) {
        if let Role::Leading(fill) = &mut state.0 {
            fill.chunk(chunk, self);
        }
    }

    fn before_last_byte(&self, state: &mut State, record: &Record) {
        if let Role::Leading(fill) = &mut state.0 {
            fill.before_last_byte(record, self);
        }
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        if let Role::Leading(fill) = std::mem::take(&mut state.0) {
            fill.end(record, self);
        }
    }
}

#[cfg(test)]
mod tests;
