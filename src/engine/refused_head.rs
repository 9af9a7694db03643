//! A request's head that is refused before it is whole. The client is answered here, past Pingora, which has no such answer, and the
//! connection is closed so that the client can read it.

use std::io;
use std::time::Duration;

use http::StatusCode;
use plugin_api::{Body, Endpoint, ErrorKind, Protocol, Reply, Uuid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::exchange::failure::Failure;

use super::transport::Transport;

/// How long the client may take to read the answer, how long it may go on sending, and how long it may pause. An earlier close would
/// make its system drop the answer unread.
const WRITE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// The bounds of the heads of a connection's requests.
pub struct HeadBounds {
    /// The largest, in bytes.
    pub max: usize,
    /// Receives the connection if a head is refused.
    pub refusal: oneshot::Sender<RefusedHead>,
}

/// A connection that was taken from Pingora because a head is refused.
pub struct RefusedHead {
    transport: Transport,
    path: String,
    why: Failure,
}

impl RefusedHead {
    /// A head that asks for this path is refused.
    pub fn new(transport: Transport, path: String, why: Failure) -> Self {
        Self { transport, path, why }
    }

    /// Why it is refused.
    pub fn why(&self) -> Failure {
        self.why
    }

    /// Answers the client, and closes the connection so that it can read the answer. `max` is the size of the largest head, in bytes.
    pub async fn answer(self, max: usize) {
        match self.transport {
            Transport::Plain(stream) => answer(stream, &self.path, self.why, max).await,
            Transport::Tls(stream) => answer(stream, &self.path, self.why, max).await,
            Transport::Taken => {}
        }
    }
}

async fn answer(mut client: impl AsyncRead + AsyncWrite + Unpin, path: &str, why: Failure, max: usize) {
    let answer = bytes(&reply(path, why, max));
    let written = timeout(WRITE, async {
        client.write_all(&answer).await?;
        client.flush().await?;
        client.shutdown().await
    });
    if let Ok(Ok(())) = written.await {
        let _ = timeout(LINGER, drain(&mut client)).await;
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

fn reply(path: &str, why: Failure, max: usize) -> Reply {
    let protocol = Endpoint::of(path).map_or(Protocol::DEFAULT, |endpoint| endpoint.protocol);
    let message = match why {
        Failure::HeadTooLarge => &format!("The request head is larger than {max} bytes"),
        _ => why.message(),
    };
    let reply = Reply::error(protocol, why.error().unwrap_or(ErrorKind::Internal), message, Uuid::now_v7());
    match why.retry_after() {
        Some(seconds) => reply.with_retry_after(seconds),
        None => reply,
    }
}

/// The reply in HTTP/1.1.
fn bytes(reply: &Reply) -> Vec<u8> {
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
    text.extend_from_slice(body);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_has_its_answer_in_its_dialect_though_it_goes_on_sending() {
        let (client, gateway) = tokio::io::duplex(1 << 16);
        let (mut read, mut write) = tokio::io::split(client);
        let answered = answer(gateway, "/v1/messages", Failure::HeadTooLarge, 64);
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
        let text = String::from_utf8(bytes(&reply("/x", Failure::HeadMemory, 64))).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 1\r\n"), "{text}");
    }
}
