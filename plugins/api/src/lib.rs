//! The contract between the gateway and its plugins: [`Plugin`], and the types its phases see.
//! It knows no server, no socket and no configuration file, so a plugin's test needs none.

mod answer;
mod blocking;
mod body;
mod budget;
mod call;
mod credential;
mod dialect;
mod glob;
mod headers;
mod log_limit;
pub mod private;
mod record;
mod reply;
mod request;
mod response;
mod settings;
mod shortened;
#[cfg(feature = "testing")]
pub mod testing;
mod usage;

pub use answer::{Answer, AnswerState, CacheStatus, RequestType, Thread};
pub use async_trait::async_trait;
pub use blocking::{run_blocking, set_blocking_slots};
pub use body::{Body, BodyStream, Broken};
pub use budget::{BODIES, Budget, Charge, Shortage};
pub use bytes::Bytes;
pub use call::{
    Asked, CallFacts, Edit, ModelCall, Outlive, Reading, StreamOptions, ThinkingBudget, TokenField, TokenLimit,
};
pub use credential::{api_key, fingerprint, is_credential, secrets};
pub use dialect::{Dialect, Endpoint};
pub use glob::Glob;
pub use headers::{HeaderEdit, HeaderEdits};
pub use http;
pub use log_limit::LogLimit;
pub use record::{Outcome, Record};
pub use reply::{ErrorKind, Reply};
pub use request::RequestHead;
pub use response::{Chunk, ResponseHead};
pub use settings::{ByteSize, Count, Period};
pub use shortened::{LONGEST_HOST, LONGEST_PATH, LONGEST_TEXT, shortened};
pub use usage::{BatchResult, Iteration, Tokens, Usage};
pub use uuid::Uuid;

/// One concern of the gateway: a limit, a cache, a log.
///
/// A plugin is made once for the routes that name it and shared by all their requests. Each exchange
/// (one request and its response) gives it a fresh [`State`](Plugin::State). The phases run in the order
/// in which they stand here: the request's from the top of the YAML list to its bottom, the response's
/// from bottom to top.
///
/// A plugin owns its failures: there is no error to return. A cache that cannot read says
/// [`Flow::Continue`]; a limit that cannot decide answers. One that panics costs its own request a 500.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// Its key in the YAML, and its name in logs.
    const NAME: &'static str;

    /// Whether [`request_body`](Plugin::request_body) is to run. A route none of whose plugins reads the body
    /// streams it, so only those who say so pay for the reading.
    const READS_BODY: bool = false;

    /// Whether the answers to calls are to be read as they pass, for [`Record::answer`] and
    /// [`batch_result`](Plugin::batch_result). Only routes with such a plugin pay for it.
    const READS_ANSWER: bool = false;

    /// Whether calls are to be placed in conversations, for [`Record::thread`]. Needs [`READS_BODY`](Plugin::READS_BODY).
    const FOLLOWS_THREADS: bool = false;

    /// Whether it may keep calls going after their client has left: see [`Outlive`].
    const OUTLIVES: bool = false;

    /// What it remembers from one phase to the next; `()` if nothing.
    /// Dropped when the exchange ends, however it ends.
    type State: Default + Send + Sync + 'static;

    /// The configuration that it was made for is in force: requests come from now on. Until then it may yet be refused, for
    /// what is wrong elsewhere in it, so whatever outlives it is changed here and not while the plugin is made. Runs once for
    /// each route, where configurations are changed: be quick, never block.
    fn in_force(&self) {}

    /// The request's headers have arrived; its body has not.
    async fn request_head(&self, _: &mut Self::State, _: &mut RequestHead<'_>) -> Flow {
        Flow::Continue
    }

    /// The whole body of a call to a model has arrived. Runs only with [`READS_BODY`](Plugin::READS_BODY), and only
    /// for the endpoints of [`Endpoint`].
    async fn request_body(&self, _: &mut Self::State, _: &mut ModelCall) -> Flow {
        Flow::Continue
    }

    /// The response's status and headers have arrived, from an upstream or from a plugin below this one.
    async fn response_head(&self, _: &mut Self::State, _: &mut ResponseHead<'_>) {}

    /// Bytes are passing to the client, in line with the stream: be quick, never block.
    fn response_chunk(&self, _: &mut Self::State, _: &Chunk<'_>) {}

    /// A download of a batch's results has come to this one; the outcome is that of the download so far. Runs only with
    /// [`READS_ANSWER`](Plugin::READS_ANSWER), in line with the stream: be quick, never block.
    fn batch_result(&self, _: &mut Self::State, _: &Record, _: &BatchResult) {}

    /// The last bytes are about to go to the client. What the outcome says will hold if they arrive, and [`log`](Plugin::log) tells
    /// whether they did; a record that must not be lost once the client has its answer is made here. Runs at most once, and not for
    /// exchanges whose end nobody can foresee. In line with the stream: be quick, never block.
    fn ending(&self, _: &mut Self::State, _: &Record) {}

    /// The exchange is over. Runs exactly once for every accepted request, whatever became of it,
    /// in the worst case from a destructor: hence not async.
    fn log(&self, _: &mut Self::State, _: &Record) {}
}

/// What happens after a request phase.
#[must_use]
#[derive(Debug)]
pub enum Flow {
    /// On to the next plugin, in the end to the upstream.
    Continue,
    /// Answer now. Plugins below and the upstream are skipped; the response phases of this plugin and of
    /// those above it still run.
    Answer(Reply),
}
