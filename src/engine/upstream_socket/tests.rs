//! Sockets to a server that reads what they send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = SocketAddr::Inet(listener.local_addr().unwrap());
    (listener, address)
}

/// What the server reads first.
async fn first(mut server: TcpStream) -> String {
    let mut buf = [0; 1024];
    let read = server.read(&mut buf).await.unwrap();
    String::from_utf8(buf[..read].to_vec()).unwrap()
}

#[tokio::test]
async fn a_head_waits_for_its_body_and_leaves_without_one_when_the_turn_ends() {
    tokio::spawn(turn::end_turns());
    let (listener, address) = listener().await;
    for body in [&b"body"[..], b""] {
        let connector = Connector::new(1, LONG, true);
        let mut stream = connector.connect(&address).await.unwrap();
        connector.hold();
        stream.write_all(HEAD).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(body).await.unwrap();
        // as Pingora waits for the response
        let response = tokio::spawn(async move { stream.read(&mut [0; 1024]).await });
        let server = listener.accept().await.unwrap().0;
        assert_eq!(first(server).await.as_bytes(), [HEAD, body].concat());
        assert_eq!(response.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn lines_are_added_to_the_head_alone() {
    let (listener, address) = listener().await;
    let connector = Connector::new(1, LONG, true);
    let mut stream = connector.connect(&address).await.unwrap();
    connector.add_to_head(b"x: y\r\n".to_vec());
    stream.write_all(HEAD).await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    drop(stream);
    let mut all = String::new();
    listener.accept().await.unwrap().0.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n\r\n\r\n");
}

#[tokio::test]
async fn a_socket_is_kept_when_pingora_gives_it_back_and_the_server_was_silent() {
    tokio::spawn(idle_sockets::sweep(10));
    tokio::task::yield_now().await;
    let (listener, address) = listener().await;
    let (mut servers, mut given_back) = (Vec::new(), None);
    let first = (false, false, false);
    for (fresh, speaks, is_kept) in [first, (false, false, true), (true, true, false), (false, false, true)] {
        let connector = Connector::new(2, LONG, fresh);
        let mut stream = connector.connect(&address).await.unwrap();
        if is_kept {
            assert_eq!(given_back, Some(connector.descriptor()));
        } else {
            servers.push(listener.accept().await.unwrap().0);
        }
        stream.write_all(HEAD).await.unwrap();
        stream.flush().await.unwrap();
        if speaks {
            servers.last_mut().unwrap().write_all(b"ok?").await.unwrap();
            assert_eq!(stream.read(&mut [0; 2]).await.unwrap(), 2);
        } else {
            given_back = Some(connector.descriptor());
        }
        assert_eq!(stream.read(&mut [0]).await.unwrap(), usize::from(speaks));
    }
}

/// How a server ends a kept connection on which a request has been sent, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Before,
    BehindIt,
    BehindAPart,
    ByReset,
}

#[tokio::test]
async fn a_kept_socket_is_closed_unread_where_its_end_came_before_the_request() {
    tokio::spawn(idle_sockets::sweep(10));
    tokio::task::yield_now().await;
    let (listener, address) = listener().await;
    for end in [End::Before, End::BehindIt, End::BehindAPart, End::ByReset] {
        for body in [0, 100, 3 << 20] {
            let first = Connector::new(3, LONG, false);
            let mut stream = first.connect(&address).await.unwrap();
            let mut server = listener.accept().await.unwrap().0;
            stream.write_all(HEAD).await.unwrap();
            stream.flush().await.unwrap();
            server.read_exact(&mut [0; HEAD.len()]).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is given back");

            let again = Connector::new(3, LONG, false);
            let mut stream = again.connect(&address).await.unwrap();
            assert_eq!(again.descriptor(), first.descriptor());
            let server = tokio::spawn(async move {
                match end {
                    End::Before => return,
                    End::BehindIt => drop(server.read_exact(&mut vec![0; HEAD.len() + body]).await),
                    End::BehindAPart => drop(server.read_exact(&mut [0; 5]).await),
                    End::ByReset => server.read_exact(&mut [0; HEAD.len()]).await.map(drop).unwrap(),
                }
                if end == End::ByReset {
                    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
                }
            });
            if end == End::Before {
                server.await.unwrap();
            }
            let _ = stream.write_all(HEAD).await;
            let _ = stream.write_all(&vec![0; body]).await;
            let _ = stream.flush().await;
            let ended = stream.read(&mut [0; 1024]).await;
            assert!(ended.as_ref().is_ok_and(|read| *read == 0) || ended.is_err(), "{ended:?}");
            assert_eq!(again.is_closed_unread(), end == End::Before, "{end:?} {body}");
        }
    }
}
