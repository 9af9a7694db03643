//! The admin listener: health, metrics, configuration, upstreams, reload, the dashboard, and the routes of plugins. Plain HTTP/1.1 on an address of its
//! own, behind a token if there is one, closed to web pages. It answers until the process ends.

mod answer;
mod dashboard;
mod guard;
mod readiness;
mod requests;
mod upstreams;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use located_yaml::ConfigErrors;
use log::{debug, error};
use plugin_api::{AdminRoute, LogLimit};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::settings::AdminToken;

pub use dashboard::Dashboard;
pub use readiness::Readiness;
pub use upstreams::UpstreamSeen;

/// Limits of connections.
#[derive(Clone, Copy)]
struct Limits {
    /// The most open connections; more wait in the system's queue.
    connections: usize,
    /// Time limit for the head of a request, idle time before it included.
    head: Duration,
    /// Lifetime of a connection, after which it is shut down gracefully.
    lifetime: Duration,
    /// Time that a request in flight has to end then.
    last_answer: Duration,
}

const LIMITS: Limits = Limits {
    connections: 256,
    head: Duration::from_secs(10),
    lifetime: Duration::from_secs(60),
    last_answer: Duration::from_secs(30),
};

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept, which most often lacks a file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A request for a reload, answered with its result.
pub type ReloadRequest = oneshot::Sender<Result<(), ConfigErrors>>;

/// What the admin listener shows and controls.
pub struct Admin {
    /// The metrics of `/metrics`.
    pub metrics: Arc<Metrics>,
    /// The state of `/readyz`.
    pub readiness: Arc<Readiness>,
    /// Says what a gateway that starts waits for.
    pub waiting_for: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The receiver of `/reload`.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// What plugins answer.
    pub plugins: Vec<AdminRoute>,
    /// Whether a host is a name under which the listener may be addressed.
    pub known_host: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The token that is asked for, if one is.
    pub token: Box<dyn Fn() -> Option<AdminToken> + Send + Sync>,
    /// The configuration in force, with its defaults and without its secrets.
    pub config: Box<dyn Fn() -> Value + Send + Sync>,
    /// The sessions of `/dashboard`.
    pub dashboard: Dashboard,
    /// Reads the state of the upstreams, for `/upstreams` and for each scrape.
    pub upstreams: Box<dyn Fn() -> Vec<UpstreamSeen> + Send + Sync>,
}

/// Serves on a bound socket until it is told to stop. Then connections end with the answers that are under way.
pub async fn serve(socket: TcpListener, admin: Arc<Admin>, stop: CancellationToken) {
    let accepting = serve_within(LIMITS, socket, admin, stop.clone());
    tokio::select! {
        () = accepting => {}
        () = stop.cancelled() => {}
    }
}

async fn serve_within(limits: Limits, socket: TcpListener, admin: Arc<Admin>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let failures = LogLimit::new();
    // the semaphore is never closed
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match socket.accept().await {
            Ok((stream, _)) => {
                let (admin, stop) = (admin.clone(), stop.clone());
                tokio::spawn(async move {
                    connection(stream, admin, limits, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                if let Some(suppressed) = failures.pass(error.kind()) {
                    error!(error:%, suppressed; "cannot accept a connection to the admin listener");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, admin: Arc<Admin>, limits: Limits, stop: CancellationToken) {
    let service = service_fn(|request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(requests::answer(request, &admin).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = end_of_life(limits.lifetime, &stop) => {
            serving.as_mut().graceful_shutdown();
            // a client that does not read its answer is cut
            tokio::time::timeout(limits.last_answer, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(error:%; "a connection to the admin listener broke");
    }
}

/// Waits until a connection ends with its next answer.
async fn end_of_life(lifetime: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(lifetime) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests;
