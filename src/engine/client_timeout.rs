//! How long a client may take over its TLS handshake and its first bytes.

use std::io;
use std::time::Duration;

use pingora_core::server::ShutdownWatch;

/// The limit on a client that has not sent a request yet.
#[derive(Clone)]
pub struct ClientTimeout {
    /// For its TLS handshake, and for its first bytes.
    pub limit: Duration,
    /// Set when the gateway stops, which ends the wait.
    pub stopping: ShutdownWatch,
}

impl ClientTimeout {
    /// Waits for the client, up to the limit.
    ///
    /// # Errors
    /// The client's error, the end of the time, or that the gateway stops.
    pub async fn with<T>(&mut self, client: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::select! {
            biased; // bytes that have come already are served
            done = client => done,
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(io::Error::other("the gateway stops")),
            () = tokio::time::sleep(self.limit) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
