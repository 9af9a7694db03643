//! A connection whose client leaves while its call goes on.

use std::future::{pending, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::exchange::ending::Relayed;
use crate::exchange::presence::Presence;

use super::super::timer::{Timer, with_deadlines};
use super::*;

const OK: Option<StatusCode> = Some(StatusCode::OK);
const HOUR: Duration = Duration::from_secs(3600);

/// A connection and its client.
async fn connected() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stream = listener.accept().await.unwrap().0;
    let client_timeout = ClientTimeout { limit: HOUR, stopping: watch::channel(false).1 };
    let permits = Arc::new(Permits::new(Box::new(())));
    let bounds = Bounds { max_header: 8192, refusal: oneshot::channel().0, permits };
    (Connection::plain(stream, ConnectionInfo::default(), client_timeout, bounds), client)
}

/// Lets a call of this connection go on until the sender says that nobody wants it.
fn outlive(
    connection: &Connection,
    shared: impl Future<Output = ()> + Send + 'static,
) -> (Arc<Presence>, oneshot::Sender<()>) {
    let presence = Arc::new(Presence::default());
    let (unwanted, said) = oneshot::channel();
    let signal = Box::pin(async { said.await.unwrap_or_default() });
    connection.outlive(Box::new(Outliving::new(presence.clone(), signal, Box::pin(shared))));
    (presence, unwanted)
}

/// Breaks the connection: its client leaves with bytes unread.
async fn breaks(connection: &Connection, client: TcpStream) {
    client.readable().await.unwrap();
    drop(client);
    connection.readable().await;
}

/// What a client is known to have received that leaves with this last part of its response in a buffer, behind which so many bytes of the
/// body are written.
async fn received_without(last: &[u8], written: u64) -> Option<Relayed> {
    let (mut connection, client) = connected().await;
    let (presence, _unwanted) = outlive(&connection, pending());
    connection.write_all(b"first").await.unwrap();
    connection.flush().await.unwrap();
    presence.set_written(OK, 5);
    connection.write_all(last).await.unwrap();
    breaks(&connection, client).await;
    connection.flush().await.unwrap();
    presence.set_written(OK, written);
    presence.received(Some(written))
}

#[tokio::test]
async fn bytes_that_wait_in_a_buffer_when_the_client_leaves_are_not_delivered() {
    assert_eq!(received_without(b"last", 9).await, Some(Relayed { bytes: 5, left: true }));
}

#[tokio::test]
async fn a_response_that_was_flushed_is_delivered_whatever_becomes_of_its_last_chunk() {
    assert_eq!(received_without(b"0\r\n\r\n", 5).await, Some(Relayed { bytes: 5, left: false }));
}

#[tokio::test]
async fn a_write_ends_the_call_once_it_is_unwanted_though_nothing_is_read() {
    let (mut connection, client) = connected().await;
    let (presence, unwanted) = outlive(&connection, pending());
    connection.write_all(b"first").await.unwrap();
    connection.flush().await.unwrap();
    breaks(&connection, client).await;
    connection.write_all(b"second").await.unwrap();
    assert!(presence.has_left());
    unwanted.send(()).unwrap();
    connection.write_all(b"third").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_stalled_client_is_let_go_while_it_reads_ends_once_it_is_unwanted() {
    let (mut connection, _client) = connected().await;
    let (presence, unwanted) = outlive(&connection, ready(()));
    let timer = Timer::new(HOUR, HOUR);
    timer.client_may_stall(Duration::from_secs(1));
    let call = tokio::spawn(with_deadlines(timer, async move {
        while connection.outliving.get_mut().unwrap().as_ref().is_some_and(|call| !call.holds()) {
            connection.write_all(&[b'x'; 64 * 1024]).await?;
        }
        connection.read(&mut [0]).await
    }));
    while !presence.has_left() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unwanted.send(()).unwrap();
    assert_eq!(call.await.unwrap().map(Result::unwrap), Some(0));
}
