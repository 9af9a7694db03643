//! A server that hands its requests to a test, which answers them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A request as a server has read it, and the connection to answer on.
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
    pub stream: TcpStream,
    /// Gets the connection back, for its next request.
    again: UnboundedSender<TcpStream>,
}

impl Asked {
    /// Answers with these bytes, and takes the next request of the connection.
    pub async fn answer(mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.again.send(self.stream).unwrap();
    }

    pub async fn ok(self, body: &str) {
        let length = body.len();
        self.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    /// Waits until the gateway closes the connection.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}

/// A server, its requests, and how many connections it has had.
pub struct Server {
    pub address: SocketAddr,
    requests: UnboundedReceiver<Asked>,
    pub connections: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, requests) = unbounded_channel();
        let (again, mut returned) = unbounded_channel();
        let connections = Arc::new(Mutex::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => {
                        *count.lock().unwrap() += 1;
                        accepted.unwrap().0
                    }
                    Some(stream) = returned.recv() => stream,
                };
                tokio::spawn(read(stream, asked.clone(), again.clone()));
            }
        });
        Self { address, requests, connections }
    }

    pub async fn asked(&mut self) -> Asked {
        self.requests.recv().await.unwrap()
    }
}

async fn read(mut stream: TcpStream, asked: UnboundedSender<Asked>, again: UnboundedSender<TcpStream>) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    asked.send(Asked { head, body, stream, again }).ok()
}
