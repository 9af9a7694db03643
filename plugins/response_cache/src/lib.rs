//! Answers repeated calls again, from memory or from Redis, and makes one call of those that are under way at the same
//! time. Never across tenants; only whole answers. Reads no answers itself; the gateway tells what they are.

mod asked;
mod bypass;
mod caches;
mod canonical;
mod collector;
mod control;
mod decide;
mod entry;
mod figures;
mod flight;
mod flights;
mod leading;
mod memory;
mod purges;
mod replayed;
mod rules;
mod settings;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use plugin_api::{
    Body, CacheStatus, Chunk, Endpoint, Flow, ModelCall, Outcome, Plugin, Record, Reply, RequestHead, ResponseHead,
    async_trait,
};

use asked::Asked;
use decide::Decided;
use entry::{X_CACHE, mark};
use leading::Leading;
use memory::Memory;
use settings::OnAllGone;
use shared::Shared;

pub use caches::{Caches, Purged};
pub use collector::CacheCollector;
pub use purges::Purge;
pub use settings::{Coalesce, Config, MemoryConfig, RedisConfig, Scope};

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
    on_all_gone: OnAllGone,
}

/// What the cache is to an exchange.
#[derive(Debug, Default)]
pub struct State(Role);

#[derive(Debug, Default)]
enum Role {
    /// Nothing.
    #[default]
    Out,
    /// The call's head has come, and it may be one to answer.
    Asked(Box<Asked>),
    /// Something keeps it out.
    Bypassed,
    /// It has its answer from here.
    Answered,
    /// It asks the upstream, and others may have its answer, too.
    Leading(Box<Leading>),
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
            on_all_gone: config.on_all_gone,
        })
    }
}

#[async_trait]
impl Plugin for ResponseCache {
    const NAME: &'static str = "response_cache";
    const READS_BODY: bool = true;
    const READS_ANSWER: bool = true;
    const OUTLIVES: bool = true;
    type State = State;

    async fn request_head(&self, state: &mut State, head: &mut RequestHead<'_>) -> Flow {
        let Some(endpoint) = head.endpoint.filter(|endpoint| self.endpoints.contains(endpoint)) else {
            return Flow::Continue;
        };
        let role = match Asked::of(head, endpoint, &self.scope, &self.vary) {
            Ok(asked) => Role::Asked(Box::new(asked)),
            Err(why) => {
                self.caches.figures.bypassed(why);
                Role::Bypassed
            }
        };
        state.0 = role;
        Flow::Continue
    }

    async fn request_body(&self, state: &mut State, call: &mut ModelCall) -> Flow {
        let asked = match &mut state.0 {
            Role::Asked(asked) => asked,
            Role::Bypassed => {
                call.cache = Some(CacheStatus::Bypass);
                return Flow::Continue;
            }
            Role::Out | Role::Answered | Role::Leading(_) => return Flow::Continue,
        };
        let (dialect, id) = (asked.endpoint.dialect(), asked.id);
        let (status, role, flow) = match self.decide(asked, call).await {
            Ok(Decided::Given(entry)) => (CacheStatus::Hit, Role::Answered, Flow::Answer(entry.reply(dialect, id))),
            Ok(Decided::Shared(head, follower)) => {
                let headers = entry::headers(&head, dialect, id, CacheStatus::Coalesced);
                let body = Body::Stream(self.followed(follower));
                let reply = Reply {
                    status: head.status,
                    headers,
                    body,
                    outcome: Outcome::Cached,
                    saved: None,
                    error_type: None,
                };
                (CacheStatus::Coalesced, Role::Answered, Flow::Answer(reply))
            }
            Ok(Decided::Led(leading)) => {
                call.outlive = leading.outlive(self);
                (CacheStatus::Miss, Role::Leading(leading), Flow::Continue)
            }
            Err(why) => {
                call.cache = Some(CacheStatus::Bypass);
                self.caches.figures.bypassed(why);
                state.0 = Role::Bypassed;
                return Flow::Continue;
            }
        };
        call.cache = Some(status);
        self.caches.figures.served(status);
        state.0 = role;
        flow
    }

    async fn response_head(&self, state: &mut State, head: &mut ResponseHead<'_>) {
        match &mut state.0 {
            Role::Out | Role::Answered => {}
            // a refusal between the phases, or a call that went past
            Role::Asked(_) | Role::Bypassed => head.edits.set(X_CACHE, mark(CacheStatus::Bypass)),
            Role::Leading(leading) => {
                head.edits.set(X_CACHE, mark(CacheStatus::Miss));
                leading.head(head, self);
            }
        }
    }

    fn response_chunk(&self, state: &mut State, chunk: &Chunk<'_>) {
        if let Role::Leading(leading) = &mut state.0 {
            leading.chunk(chunk, self);
        }
    }

    fn ending(&self, state: &mut State, record: &Record) {
        if let Role::Leading(leading) = &mut state.0 {
            leading.ending(record, self);
        }
    }

    fn log(&self, state: &mut State, record: &Record) {
        if let Role::Leading(leading) = std::mem::take(&mut state.0) {
            leading.end(record, self);
        }
    }
}

#[cfg(test)]
mod tests;
