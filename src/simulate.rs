//! `tollgate simulate`: an upstream that answers as Anthropic and OpenAI do, for demos, tests and load tests.
//! There is no model: words are drawn from a seed, and the reported usage is exact. Does not know the gateway.
//!
//! # What it answers
//! `POST /v1/messages`, `/v1/messages/count_tokens` (Anthropic, any API version), `/v1/chat/completions`,
//! `/v1/completions`, `/v1/responses`, `/v1/embeddings` (OpenAI), `/v1/messages/batches` and `/v1/batches` with `/v1/files` (see below), `GET /v1/models` and `/v1/models/{id}` (in Anthropic's
//! shape if the request has `anthropic-version`), `GET /health`, and `GET /stats`, which counts in JSON the calls that came, are in
//! flight, were answered to the last byte, and were broken off. Anything else gets 404. HTTP/1.1 and HTTP/2 (prior knowledge)
//! on one port. A WebSocket is taken at `/v1/responses` and `/v1/realtime?model=…` (OpenAI): each `response.create` is a call.
//!
//! Unlike a provider it requires no key, version, model or token limit.
//!
//! # What it counts
//! Output: as many tokens as `--tokens` says, or fewer if the request's limit is lower; one word is one token, and in a stream
//! one event. Input: a token for every four bytes of text in the prompt, rounded up, at least one. Text is what stands under
//! `system`, `messages`, `prompt`, `input` and `instructions`, as UTF-8 without JSON's escapes; images and tools count nothing.
//!
//! # Batches
//! Anthropic's (`POST` and `GET /v1/messages/batches`, `GET …/{id}`, `POST …/{id}/cancel`, `GET …/{id}/results`) and OpenAI's (`POST /v1/files`
//! as a form, `GET /v1/files/{id}/content`, `POST` and `GET /v1/batches`, `GET …/{id}`, `POST …/{id}/cancel`). One ends `--batch-after` its
//! making; each request gets the answer of its endpoint, or fails or expires as `--batch-error-rate` and `--batch-expiry-rate` say. `/stats`
//! counts batches, their requests, and those whose `custom_id` an earlier batch had. The last 10,000 batches are kept until the process ends.
//!
//! # What a request may ask for
//! These headers override the settings for one request:
//!
//! | header | value |
//! |---|---|
//! | `x-sim-ttft` | time until the first byte: `250ms` |
//! | `x-sim-token-gap` | time between tokens: `20ms` |
//! | `x-sim-tokens` | output tokens, before the request's own limit |
//! | `x-sim-status` | a status from 400 to 599: refuse with it; `200`: never refuse |
//! | `x-sim-abort` | `1`: break the connection in the middle of the answer; `head`: before it; `0`: never |
//!
//! Every answer names the instance that gave it in `x-simulator: ADDRESS`.

mod answer;
mod batches;
mod body;
mod call;
mod chat;
mod completions;
mod dialect;
mod draws;
mod embeddings;
mod endpoint;
mod failure;
mod messages;
mod models;
mod plan;
mod prompt;
mod responses;
mod settings;
mod sse;
mod tally;
#[cfg(test)]
mod tests;
mod values;
mod websocket;
mod words;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;

use answer::Simulator;
pub use settings::Settings;
pub use values::Rate;

/// Connections the system may hold until they are accepted; a load test opens thousands at once.
const BACKLOG: i32 = 4096;

/// How long to wait after a failed accept: it fails when the process is out of files, which takes a moment to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at `settings.listen`, says `listening on ADDR` on standard output, and answers until the process ends.
///
/// # Errors
/// If it cannot listen there, or the runtime's threads cannot be started.
pub fn run(settings: Settings) -> io::Result<()> {
    let listener = bind(settings.listen)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", settings.listen)))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = settings.threads {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime.enable_all().build()?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    runtime.block_on(serve(listener, settings))
}

/// Listens at an address with a queue long enough for a load test.
///
/// # Errors
/// Those of the system: the address is taken, or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Answers on a listener until the future is dropped, which also cuts the connections that are open. `settings.listen` and
/// `settings.threads` do not matter here.
///
/// # Errors
/// If the listener cannot be used with this runtime; never later.
pub async fn serve(listener: TcpListener, settings: Settings) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let simulator = Arc::new(Simulator::new(listener.local_addr()?, settings));
    let mut connections = JoinSet::new();
    let failures = plugin_api::LogLimit::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, simulator.clone()));
                }
                Err(error) => {
                    if let Some(suppressed) = failures.pass(error.kind()) {
                        log::warn!(error:%, suppressed; "accept failed");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end.
async fn converse(stream: tokio::net::TcpStream, simulator: Arc<Simulator>) {
    // Without this the kernel holds a small event back until the one before it is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("cannot set TCP_NODELAY: {error}");
    }
    let server = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |request| simulator.clone().answer(request));
    // disconnected clients and answers broken off on purpose end here; neither is an error
    if let Err(error) = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        log::debug!("connection ended: {error}");
    }
}
