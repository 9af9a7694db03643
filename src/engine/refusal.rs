//! What is refused where no exchange has begun: a request whose head is malformed or too large, and a connection that floods. The client is told
//! past Pingora, which has no such answer, and the connection is closed so that the client can read it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use log::info;
use plugin_api::{
    Body, ConnectionInfo, Endpoint, ErrorKind, LONGEST_PATH, LogLimit, Outcome, Protocol, Record, Reply, Uuid,
    shortened,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::access_log;
use crate::chain::Instances;
use crate::exchange::failure::Failure;
use crate::memory::count_large_head;
use crate::metrics::{Ended, count_h2_end};

use super::connection::Permits;
use super::recording::publish;
use super::snapshot::Snapshot;
use super::transport::Transport;

/// How long the client may take to read the answer, how long it may go on sending, and how long it may pause. An earlier close would
/// make its system drop the answer unread.
const WRITE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(2);
/// How long a client that floods may go on.
const LINGER_FLOOD: Duration = Duration::from_secs(1);

/// The bounds of a connection's requests, and where it goes if it keeps none.
pub struct Bounds {
    /// The largest head, in bytes.
    pub max_header: usize,
    /// Receives the connection if it is refused.
    pub refusal: oneshot::Sender<Box<Refusal>>,
    /// The permits that it holds while it is open.
    pub permits: Arc<Permits>,
}

/// A connection that was taken from Pingora.
pub enum Refusal {
    /// Because of a request's head.
    Head(RefusedHead),
    /// Because of the connection as a whole.
    Connection(RefusedConnection),
}

/// A request that is refused for its head, and the connection that it came on.
pub struct RefusedHead {
    /// The connection.
    pub transport: Transport,
    /// What is known of it.
    pub info: Arc<ConnectionInfo>,
    /// The method as it came; empty if none can be told.
    pub method: String,
    /// The path likewise.
    pub path: String,
    /// Why it is refused.
    pub why: Failure,
    /// The same for the client, where it says more than [`Failure::message`].
    pub message: Option<&'static str>,
}

/// An HTTP/2 connection that is refused.
pub struct RefusedConnection {
    /// The connection.
    pub transport: Transport,
    /// The last stream that its client opened; `None` if it can be told nothing more.
    pub last_stream: Option<u32>,
    /// Why it is refused.
    pub why: Failure,
    /// The same in a code of HTTP/2.
    pub code: u32,
}

impl Refusal {
    /// Ends what was refused on the connection of this peer.
    pub async fn settle(self, snapshot: Arc<Snapshot>, peer: SocketAddr) {
        match self {
            Refusal::Head(head) => {
                report("request head refused", head.why, peer);
                if head.why == Failure::HeadTooLarge {
                    count_large_head();
                }
                let (record, farewell) = head.answer(snapshot.limits.max_header);
                publish(&snapshot, &mut Instances::default(), ended(&snapshot, &record), true);
                drop(snapshot);
                farewell.tell().await;
            }
            Refusal::Connection(connection) => {
                report("connection refused", connection.why, peer);
                count_h2_end(Ended::Connection, connection.code);
                connection.farewell().tell().await;
            }
        }
    }
}

impl RefusedHead {
    /// The record of the request, as far as it was read, and what its client is told. `max` is the size of the largest head, in bytes.
    fn answer(self, max: usize) -> (Record, Farewell) {
        let mut record = Record::begun(Uuid::now_v7(), SystemTime::now());
        record.context.client = self.info.client().map(|address| address.ip());
        record.context.set_connection(self.info);
        // where none can be told, as nginx writes it
        let method = Method::from_bytes(self.method.as_bytes()).or_else(|_| Method::from_bytes(b"-"));
        record.method = method.unwrap_or_default();
        record.path = shortened(&self.path, LONGEST_PATH).into_owned();
        (record.outcome, record.error) = (Outcome::Refused, Some(self.why.word()));
        let protocol = Endpoint::of(&self.path).map_or(Protocol::DEFAULT, |endpoint| endpoint.protocol);
        let reply = reply(protocol, self.why, self.message, record.context.id, max);
        (record.status, record.error_type) = (Some(reply.status), reply.error_type);
        let (bytes, body) = bytes(&reply, record.method == Method::HEAD);
        record.response_bytes = body as u64;
        (record, Farewell { transport: self.transport, bytes, linger: LINGER })
    }
}

impl RefusedConnection {
    /// What its client is told, if it can be told anything.
    fn farewell(self) -> Farewell {
        let bytes = self.last_stream.map(|last_stream| go_away(last_stream, self.code)).unwrap_or_default();
        Farewell { transport: self.transport, bytes, linger: LINGER_FLOOD }
    }
}

/// Logs it: the first of its kind at once, then one a minute.
fn report(what: &str, why: Failure, client: SocketAddr) {
    static REFUSED: LogLimit<&str> = LogLimit::new();
    if let Some(suppressed) = REFUSED.pass(why.word()) {
        info!(client:%, error = why.word(), suppressed; "{what}: {}", why.hint());
    }
}

/// A record of which nothing but the beginning of its head is known.
fn ended<'a>(snapshot: &'a Snapshot, record: &'a Record) -> access_log::Entry<'a> {
    access_log::Entry { record, domain: snapshot.router.other(), server_name: "", path: &record.path, captured: None }
}

/// `GOAWAY`.
fn go_away(last_stream: u32, code: u32) -> Vec<u8> {
    [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &last_stream.to_be_bytes(), &code.to_be_bytes()].concat()
}

/// The last that a client is told.
struct Farewell {
    transport: Transport,
    bytes: Vec<u8>,
    linger: Duration,
}

impl Farewell {
    /// Tells it, and closes the connection so that the client can read it.
    async fn tell(self) {
        match self.transport {
            Transport::Plain(stream) => tell(stream, &self.bytes, self.linger).await,
            Transport::Tls(stream) => tell(stream, &self.bytes, self.linger).await,
            Transport::Taken | Transport::Left => {}
        }
    }
}

async fn tell(mut client: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], linger: Duration) {
    let written = timeout(WRITE, async {
        client.write_all(bytes).await?;
        client.flush().await?;
        client.shutdown().await
    });
    if let Ok(Ok(())) = written.await {
        let _ = timeout(linger, drain(&mut client)).await;
    }
}

/// Reads what the client still sends, for as long as it does.
async fn drain(client: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut unread = [0; 4096];
    while let Ok(read) = timeout(LINGER_PAUSE, client.read(&mut unread)).await {
        if read? == 0 {
            break;
        }
    }
    Ok(())
}

/// The reply to a request that is refused for its head.
fn reply(protocol: &'static Protocol, why: Failure, message: Option<&'static str>, id: Uuid, max: usize) -> Reply {
    let message = match why {
        Failure::HeadTooLarge => &format!("The request head is larger than {max} bytes"),
        _ => message.unwrap_or(why.message()),
    };
    let reply = Reply::error(protocol, why.error().unwrap_or(ErrorKind::Internal), message, id);
    match why.retry_after() {
        Some(seconds) => reply.with_retry_after(seconds),
        None => reply,
    }
}

/// The reply in HTTP/1.1, and how many of its bytes are the body.
fn bytes(reply: &Reply, is_head: bool) -> (Vec<u8>, usize) {
    let none = &bytes::Bytes::new();
    let body = match &reply.body {
        Body::Whole(body) => body,
        Body::Stream(_) => none,
    };
    let reason = StatusCode::canonical_reason(&reply.status).unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", reply.status.as_u16()).into_bytes();
    for (name, value) in &reply.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    let sent = if is_head { none } else { body };
    text.extend_from_slice(sent);
    (text, sent.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(why: Failure) -> Vec<u8> {
        bytes(&reply(Protocol::DEFAULT, why, None, Uuid::nil(), 64), false).0
    }

    #[tokio::test]
    async fn a_client_has_its_answer_though_it_goes_on_sending() {
        let (client, gateway) = tokio::io::duplex(1 << 16);
        let (mut read, mut write) = tokio::io::split(client);
        let answer = refused(Failure::HeadTooLarge);
        let answered = tell(gateway, &answer, LINGER);
        let sending = async {
            let _ = write.write_all(&[b'x'; 200_000]).await;
            let _ = write.shutdown().await;
        };
        let mut told = String::new();
        let (_, (), read) = tokio::join!(answered, sending, read.read_to_string(&mut told));
        read.unwrap();
        assert!(told.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{told}");
        assert!(told.contains(r#""type":"invalid_request_error""#) && told.contains("larger than 64 bytes"), "{told}");
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\nconnection: close", body.len())), "{head}");
    }

    #[test]
    fn a_refusal_for_want_of_memory_says_when_to_come_again() {
        let text = String::from_utf8(refused(Failure::HeadMemory)).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 1\r\n"), "{text}");
    }

    #[test]
    fn a_request_that_cannot_be_read_is_recorded_nevertheless() {
        let refused = |method: &str| RefusedHead {
            transport: Transport::Taken,
            info: Arc::default(),
            method: method.to_owned(),
            path: "/x".to_owned(),
            why: Failure::InvalidHead,
            message: None,
        };
        assert_eq!(refused("PUT").answer(64).0.method, Method::PUT);
        let (record, _) = refused("\0\u{1}").answer(64);
        assert_eq!((record.method.as_str(), &*record.path, record.error), ("-", "/x", Some("invalid_head")));
    }

    #[test]
    fn a_flooding_client_is_told_to_be_calm() {
        assert_eq!(go_away(5, 11), [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11]);
    }
}
