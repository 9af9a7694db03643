//! Batches: calls that may wait are collected, submitted as a provider's batch at its price, and answered when it is over. What was
//! accepted survives a kill, and is submitted once. The batch formats of providers are known here; how requests are sent is not.

mod call;
mod driver;
mod entry;
mod events;
mod fetch;
mod figures;
mod follower;
mod hold;
mod ledger;
mod link;
mod log_file;
mod owner;
mod plan;
mod provider;
mod reply;
mod request;
mod settings;
mod shared;
mod state;
mod store;
mod stream;
mod task;
#[cfg(test)]
mod tests;
mod turn;
mod wait_header;
mod waiting;

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use plugin_api::{
    AnswerState, Batched, BuildContext, Call, CheckContext, Common, ConfigProblem, Endpoint, Explanation, Flow,
    KeyDigest, ModelCall, Needs, Outcome, OutgoingCall, Plugin, Record, Refusal, RefusalKind, Request,
};

use call::Api;
use store::{Store, Terms};
use waiting::Delivery;

pub use settings::{Config, OnClientsDisconnected, Otherwise};
pub use shared::Shared;

/// The plugin.
#[derive(Debug)]
pub struct Batch {
    config: Config,
    terms: Terms,
    store: Arc<Store>,
    shared: Arc<Shared>,
    common: Arc<Common>,
}

/// What it remembers of one request.
#[derive(Debug, Default)]
pub struct State {
    /// The call asks for a batch.
    wanted: Option<Box<Wanted>>,
    /// The answer on its way to the client, once there is one.
    delivery: Option<Arc<OnceLock<Delivery>>>,
    /// Whether a ledger keeps the row of the request.
    has_ledger: bool,
}

/// What the head of a call that asks for a batch says.
#[derive(Debug)]
struct Wanted {
    wait: Duration,
    api: Api,
    api_key: Option<KeyDigest>,
    host: String,
    /// The path that the client asked for, where it may fetch the answer.
    path: String,
    batched: Arc<Batched>,
}

impl Plugin for Batch {
    const NAME: &'static str = "batch";
    const NEEDS: Needs = Needs { body: true, answer: true, send: true, ..Needs::NOTHING };
    type Config = Config;
    type Shared = Shared;
    type State = State;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.check()
    }

    /// One folder is one store, which cannot be kept in two ways.
    fn conflict(config: &Config, other: &Config, context: &CheckContext<'_>) -> Option<ConfigProblem> {
        let setting = config.differs_from(other, context.base)?;
        let message = format!(
            "its `path` is that of {}, too, whose `{setting}` is another; give it a `path` of its own",
            context.other
        );
        Some(message.into())
    }

    fn check_files(config: &Config, base: &Path) -> Result<(), ConfigProblem> {
        let folder = config.folder(base);
        if folder.exists() && !folder.is_dir() {
            return Err(format!("`path` is {}, which is no folder", folder.display()).into());
        }
        Ok(())
    }

    fn without_credential(config: &Config) -> Option<&'static str> {
        Some(match config.otherwise {
            Otherwise::Live => {
                "its calls go live, since batches have no client's credential; give it one in its `headers`"
            }
            Otherwise::Fail => {
                "its calls fail, since batches have no client's credential; give it one in its `headers`"
            }
        })
    }

    fn memory(configs: &[&Config]) -> u64 {
        // all that is stored is in memory, too, and what is submitted once more
        let mut stores: Vec<_> = configs.iter().map(|config| (&config.path, config.max_stored.get())).collect();
        stores.sort_unstable();
        stores.dedup();
        stores.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(bytes.saturating_mul(2)))
    }

    fn build(config: &Config, context: &BuildContext<'_, Shared>) -> Result<Self, ConfigProblem> {
        let (shared, common, terms) = (context.shared.clone(), context.common.clone(), config.terms());
        let store = shared.store(config.folder(context.base), terms, &common);
        Ok(Self { config: config.clone(), terms, store, shared, common })
    }

    fn activate(&self) {
        self.store.set_terms(self.terms);
        self.shared.drive(&self.store, &self.common);
    }

    fn try_on_request(&self, state: &mut State, request: &mut Request<'_>) -> Option<Flow> {
        if let Some(flow) = self.fetch(request) {
            return Some(flow);
        }
        let wait = match wait_header::wait(request.head.headers) {
            Ok(None) => return Some(Flow::Continue),
            Ok(Some(wait)) => wait,
            Err(why) => return Some(Refusal::new(RefusalKind::InvalidRequest, "bad_wait", why).into()),
        };
        let api = request.endpoint.filter(|_| !request.reads_messages).and_then(request::api_of);
        let Some(api) = api else {
            let why = format!(
                "{} is for calls to {}, {}, {} and {}",
                wait_header::NAME,
                Endpoint::MESSAGES.as_str(),
                Endpoint::CHAT_COMPLETIONS.as_str(),
                Endpoint::RESPONSES.as_str(),
                Endpoint::EMBEDDINGS.as_str()
            );
            return Some(Refusal::new(RefusalKind::InvalidRequest, "no_batch", why).into());
        };
        request.edits.remove(wait_header::NAME);
        let batched = Arc::new(Batched::default());
        request.context.batched = Some(batched.clone());
        state.wanted = Some(Box::new(Wanted {
            wait,
            api,
            api_key: request.api_key_digest(),
            host: request.head.host.to_owned(),
            path: fetch::path(request),
            batched,
        }));
        Some(Flow::Continue)
    }

    async fn explain_request(
        &self,
        state: &mut State,
        request: &mut Request<'_>,
        explanation: &mut Explanation,
    ) -> Flow {
        let flow = plugin_api::on_request(self, state, request).await;
        match (&flow, &state.wanted) {
            (Flow::Continue, None) => explanation.say("it asks for no batch, so it goes as it is"),
            (Flow::Continue, Some(wanted)) => {
                let wait = wanted.wait.as_secs();
                explanation
                    .say(format!("it is collected with others for a batch, and waits at most {wait} s for its answer"));
            }
            // nothing is stored here
            (Flow::Answer(_) | Flow::Refuse(_), _) => explanation.depends_on("which calls it has collected"),
        }
        flow
    }

    async fn explain_call(&self, _: &mut State, _: &mut Call<'_>, _: &mut Explanation) -> Flow {
        Flow::Continue
    }

    fn sends(&self, state: &mut State, _: &ModelCall) -> bool {
        state.wanted.is_some()
    }

    async fn on_send(&self, state: &mut State, call: &mut OutgoingCall<'_>) -> Flow {
        let Some(wanted) = state.wanted.take() else { return Flow::Continue };
        let delivery = Arc::new(OnceLock::new());
        state.delivery = Some(delivery.clone());
        let of_row: Weak<OnceLock<Delivery>> = Arc::downgrade(&delivery);
        // not a moment before the row is kept, and not after
        wanted.batched.when_recorded(move |record| {
            if let Some(delivery) = of_row.upgrade() {
                keep(&delivery, record);
            }
        });
        state.has_ledger = wanted.batched.ledger().is_some();
        self.hold(*wanted, delivery, call).await
    }

    fn on_complete(&self, state: &mut State, record: &Record) {
        let Some(delivery) = &state.delivery else { return };
        if !state.has_ledger {
            keep(delivery, record);
        }
        // to a client that shares the answer it is a cached one
        if let Some(delivery) = delivery.get()
            && matches!(record.outcome, Outcome::Completed | Outcome::Cached)
        {
            delivery.done();
        }
    }
}

/// The row of this record has the usage of the answer, if it is there in full.
fn keep(delivery: &OnceLock<Delivery>, record: &Record) {
    let is_whole = |answer: &plugin_api::Answer| answer.state == AnswerState::Complete && answer.usage.is_some();
    if let Some(claim) = delivery.get().and_then(|delivery| delivery.claim.as_ref())
        && record.answer.as_deref().is_some_and(is_whole)
    {
        claim.keep();
    }
}
