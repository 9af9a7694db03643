//! A WebSocket client of other makers.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Gateway, soon};

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

/// Opens one.
pub async fn socket(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Socket {
    handshake(gateway, target, headers).await.unwrap()
}

/// Tries to open one; if that is refused, the status and the body of the answer.
pub async fn handshake(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Result<Socket, (u16, Vec<u8>)> {
    let mut request = format!("ws://{}{target}", gateway.address()).into_client_request().unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    let stream = soon(TcpStream::connect(gateway.address())).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match soon(client_async(request, stream)).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(Error::Http(answer)) => Err((answer.status().as_u16(), answer.body().clone().unwrap_or_default())),
        Err(error) => panic!("{error}"),
    }
}

impl Socket {
    pub async fn send(&mut self, event: &Value) {
        self.send_text(&event.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        soon(self.0.send(Message::text(text))).await.unwrap();
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        loop {
            match soon(self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event of this type; those before it must be no errors.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["type"], "error", "{event}");
        }
    }

    /// The close frame with which the gateway ends it; none if it ends without.
    pub async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            match soon(self.0.next()).await {
                Some(Ok(Message::Close(frame))) => {
                    return frame.map(|CloseFrame { code, reason }| (code.into(), reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Closes it, and waits for the other side to do so.
    pub async fn close(mut self) {
        soon(self.0.close(None)).await.unwrap();
        while let Some(Ok(_)) = soon(self.0.next()).await {}
    }
}
