//! Serves the requests of a client's connection, one after the other. While it waits for one, the connection takes no more memory than its
//! socket needs: what Pingora holds for a request exists from its first byte.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::BytesMut;
use memchr::memmem::Finder;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Peek, Stream};
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, ReadBuf};

use super::connection::Connection;
use super::kept;
use super::opening::PREFACE;
use super::request::KEPT_ALIVE;
use super::worker_proxy::WorkerProxy;

/// The most of a request that is read at first, in bytes, as Pingora does.
const FIRST_READ: usize = 4 << 10;
static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

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
async fn serve_http1(proxy: &Arc<WorkerProxy>, mut connection: Stream, shutdown: &ShutdownWatch) {
    proxy.awaits_first_request();
    let begun = begun_request(&mut connection).await;
    let begins = |session: &mut ServerSession| session.set_keepalive((!*shutdown.borrow()).then_some(KEPT_ALIVE));
    let mut served = proxy.process_new_http(session(connection, begins, begun), shutdown);
    while let Some(reused) = served.await.or_else(kept::take) {
        let (mut connection, settings) = reused.consume();
        proxy.awaits_next_request();
        let mut begun = None;
        if let Some(waiting) = Connection::of(&connection).filter(|connection| !connection.has_more()) {
            tokio::select! {
                biased;
                () = waiting.readable() => {}
                () = proxy.idle_connections_end() => return,
            }
            begun = begun_request(&mut connection).await;
        }
        let goes_on = |session: &mut ServerSession| {
            if let Some(settings) = settings {
                settings.apply_to_session(session);
            }
        };
        served = proxy.process_new_http(session(connection, goes_on, begun), shutdown);
    }
}

/// The session of a request of which so much has come.
// made by itself, since an async function that has one in a variable holds room for it as long as the request is served
fn session(connection: Stream, prepare: impl FnOnce(&mut ServerSession), begun: Option<BytesMut>) -> ServerSession {
    let mut session = ServerSession::new_http1(connection);
    prepare(&mut session);
    if let Some(begun) = begun {
        session.set_pipelined_prefix(begun);
    }
    session
}

/// What has come of a request; see [`read_begun`].
async fn begun_request(connection: &mut Stream) -> Option<BytesMut> {
    poll_fn(|cx| Poll::Ready(read_begun(connection, cx))).await
}

/// Reads what has come of a request, into a buffer of its size: it is there until the exchange is over, and Pingora's own has 4 KiB. `None` if
/// nothing has come, or the connection is at its end, which Pingora finds then.
// not a part of its caller, which would make room on the stack at every event of a stream
#[inline(never)]
fn read_begun(connection: &mut Stream, cx: &mut Context<'_>) -> Option<BytesMut> {
    let mut room = [MaybeUninit::uninit(); FIRST_READ];
    let mut read = ReadBuf::uninit(&mut room);
    let Poll::Ready(Ok(())) = Pin::new(connection).poll_read(cx, &mut read) else { return None };
    let bytes = read.filled();
    // the rest of a head is read into the same buffer
    let has_head = HEAD_END.find(bytes).is_some();
    let mut begun = BytesMut::with_capacity(if has_head { bytes.len() } else { 2 * FIRST_READ });
    begun.extend_from_slice(bytes);
    Some(begun).filter(|begun| !begun.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::ctx::Exchange;
    use super::*;

    /// The size of the future that this makes, in bytes.
    fn size<'a, F>(_: impl FnOnce(&'a Arc<WorkerProxy>, Box<Connection>, &'a ShutdownWatch) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_a_stream_holds_as_long_as_it_is_open_fits_into_blocks_of_the_allocator() {
        assert!(size(serve) <= 640, "{}", size(serve));
        assert!(size_of::<Exchange>() <= 1792, "{}", size_of::<Exchange>());
    }
}
