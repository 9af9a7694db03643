//! A client's connection that outlives an exchange which failed. Pingora closes it after a failed attempt, whatever its framing says; so it is
//! taken out of the session once the client has a whole answer, and served on from here.

use std::cell::Cell;
use std::io::Cursor;

use pingora_core::apps::{HttpPersistentSettings, ReusedHttpStream};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;

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

/// Runs a task in which the connection of an exchange can be kept.
pub fn scope<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    KEPT.scope(Cell::default(), task)
}

/// The connection that the exchange before has kept.
pub fn take() -> Option<ReusedHttpStream> {
    KEPT.with(Cell::take)
}
