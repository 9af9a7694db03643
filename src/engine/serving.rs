//! Serves the requests of a client's connection, one after the other. While it waits for one, the connection takes no more memory than its
//! socket needs: what Pingora holds for a request exists from its first byte.

use std::sync::Arc;

use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Peek, Stream};
use pingora_core::server::ShutdownWatch;

use super::connection::Connection;
use super::kept;
use super::opening::PREFACE;
use super::request::KEPT_ALIVE;
use super::worker_proxy::WorkerProxy;

/// Serves a connection until it is closed.
pub async fn serve(proxy: &Arc<WorkerProxy>, mut connection: Box<Connection>, shutdown: &ShutdownWatch) {
    let mut opening = [0; PREFACE.len()];
    // an error: its client has gone, or sent nothing in time
    let Ok(_) = connection.try_peek(&mut opening).await else { return };
    if connection.is_h2() || opening == PREFACE {
        proxy.process_new(connection, shutdown).await;
    } else {
        kept::scope(serve_http1(proxy, connection, shutdown)).await;
    }
}

/// Serves requests of HTTP/1.1 as Pingora does, and goes on with a connection that a failed exchange has kept.
async fn serve_http1(proxy: &Arc<WorkerProxy>, connection: Stream, shutdown: &ShutdownWatch) {
    proxy.awaits_first_request();
    let mut session = ServerSession::new_http1(connection);
    session.set_keepalive((!*shutdown.borrow()).then_some(KEPT_ALIVE));
    while let Some(reused) = proxy.process_new_http(session, shutdown).await.or_else(kept::take) {
        let (connection, settings) = reused.consume();
        proxy.awaits_next_request();
        if let Some(connection) = Connection::of(&connection).filter(|connection| !connection.has_more()) {
            tokio::select! {
                biased;
                () = connection.readable() => {}
                () = proxy.idle_connections_end() => return,
            }
        }
        session = ServerSession::new_http1(connection);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
}
