//! The upstreams as plugins reach them with requests of their own. The gateway sends these; here is where it connects.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use crate::{SendError, UpstreamRequest, UpstreamResponse};

/// A request on its way. Dropping it ends the request.
pub type Sending = Pin<Box<dyn Future<Output = Result<UpstreamResponse, SendError>> + Send>>;

/// Sends requests to upstreams: the gateway, or what stands for it in a plugin's test.
pub trait UpstreamSender: Send + Sync {
    /// Sends a request.
    fn send(&self, request: UpstreamRequest) -> Sending;
}

/// The upstreams of the configuration that is in force.
#[derive(Default)]
pub struct Upstreams(RwLock<Option<Arc<dyn UpstreamSender>>>);

impl Upstreams {
    /// Requests are sent by this from now on.
    pub fn connect(&self, sender: Arc<dyn UpstreamSender>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    /// Sends a request, from any thread, in any runtime: with all that a client's own has there (the choice of a server, its credential,
    /// retries, ejection, fallbacks, time-outs), but past all plugins, and with no row of its own.
    ///
    /// The upstream is that of the configuration in force now; a reload does not change the request. It ends when the future or the body
    /// of the response is dropped, and when the gateway stops: a drain waits for it as for a client's request.
    ///
    /// # Errors
    /// There was no response. One of any status is none.
    pub fn send(&self, request: UpstreamRequest) -> Sending {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.send(request),
            None => Box::pin(std::future::ready(Err(SendError::Stopped))),
        }
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstreams")
    }
}
