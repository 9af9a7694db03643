//! A client's connection that outlives an exchange which failed. Pingora closes it after a failed attempt, whatever its framing says; so it is
//! taken out of the session once the client has a whole answer, and served on from here.

use std::cell::Cell;
use std::io::Cursor;
use std::sync::Arc;

use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::Session;

use super::worker_proxy::WorkerProxy;

tokio::task_local! {
    /// The connection of the present task that is to be served on.
    static KEPT: Cell<Option<ReusedHttpStream>>;
}

/// Keeps the connection of an HTTP/1.1 exchange whose client has a whole answer, if its framing allows it another request. The session is of no
/// use after this.
pub async fn keep(session: &mut Session) {
    if session.downstream_session.as_http1().is_none() || session.downstream_session.get_keepalive().is_none() {
        return;
    }
    let settings = HttpPersistentSettings::for_session(&session.downstream_session);
    let nowhere: Stream = Box::new(Cursor::new(Vec::new()));
    let answered = std::mem::replace(&mut *session.downstream_session, ServerSession::new_http1(nowhere));
    if let Ok(Some(stream)) = answered.finish().await {
        let reused = ReusedHttpStream::from_reusable_stream(stream, settings);
        // outside of a worker there is nobody to serve it
        let _ = KEPT.try_with(|kept| kept.set(Some(reused)));
    }
}

/// Serves a connection until it is closed.
pub async fn serve(proxy: &Arc<WorkerProxy>, connection: Stream, shutdown: &ShutdownWatch) {
    let served = async {
        // Pingora serves one request after the other, up to the first that fails
        proxy.process_new(connection, shutdown).await;
        let mut next = take();
        while let Some(reused) = next {
            let (stream, settings) = reused.consume();
            let mut session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            next = proxy.process_new_http(session, shutdown).await.or_else(take);
        }
    };
    KEPT.scope(Cell::default(), served).await;
}

fn take() -> Option<ReusedHttpStream> {
    KEPT.with(Cell::take)
}
