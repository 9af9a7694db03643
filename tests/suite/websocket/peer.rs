//! A server that shows every byte that it gets behind its 101, and sends those that a test gives it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use websocket::{End, Event, FrameReader, Opcode, Sender, write_frame};

use crate::harness::{Gateway, Raw, connect, gateway, soon};

use super::client::{Socket, socket};

/// Accepts each WebSocket.
pub struct Peer(TcpListener);

/// One that it has accepted.
pub struct Accepted {
    stream: TcpStream,
    /// The head of its request.
    pub head: String,
    reader: FrameReader,
    came: Vec<u8>,
}

/// A gateway before such a server, with these plugins and further settings.
pub async fn peer(plugins: &str, settings: &str) -> (Peer, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let plugins = if plugins.is_empty() { String::new() } else { format!("plugins:\n{plugins}") };
    let gateway = gateway().server(server).settings(&plugins).settings(settings).start().await;
    (Peer(listener), gateway)
}

/// The same with a configuration of its own, which gets the server's address.
pub async fn peer_with(yaml: impl FnOnce(&str) -> String) -> (Peer, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    (Peer(listener), gateway().yaml(yaml(&server)).start().await)
}

impl Peer {
    /// A client, and what this server has accepted of it.
    pub async fn open(&self, gateway: &Gateway, target: &str) -> (Socket, Accepted) {
        tokio::join!(socket(gateway, target, &[]), self.accept())
    }

    /// The same for a client that sends exactly these bytes behind its handshake's, and at once with it.
    pub async fn open_raw(&self, gateway: &Gateway, target: &str, more: &[u8]) -> (Raw, Accepted) {
        let client = async {
            let mut client = connect(gateway.address()).await;
            let head = format!(
                "GET {target} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
            );
            client.send([head.as_bytes(), more].concat()).await;
            assert_eq!(client.head().await.status, 101);
            client
        };
        tokio::join!(client, self.accept())
    }

    /// Accepts the next.
    pub async fn accept(&self) -> Accepted {
        let (mut stream, _) = soon(self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:"));
        let key = key.and_then(|line| line.split_once(':')).map_or("", |(_, key)| key.trim());
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        let switched = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
        );
        stream.write_all(switched.as_bytes()).await.unwrap();
        Accepted { stream, head, reader: FrameReader::new(Sender::Client), came: Vec::new() }
    }
}

impl Accepted {
    pub async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        let mut frame = Vec::new();
        write_frame(&mut frame, Opcode::Text, None, text.as_bytes());
        self.send(&frame).await;
    }

    /// The next bytes, exactly so many.
    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.came.len() < count {
            assert!(self.more().await, "{} of {count} bytes came", self.came.len());
        }
        self.came.drain(..count).collect()
    }

    /// All bytes to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.came)
    }

    /// The next message or control frame: what it is, and its payload.
    pub async fn message(&mut self) -> (Opcode, Vec<u8>) {
        let (mut opcode, mut payload, mut taken) = (Opcode::Text, Vec::new(), 0);
        loop {
            let mut rest = &self.came[taken..];
            let event = self.reader.next(&mut rest).unwrap();
            taken = self.came.len() - rest.len();
            match event {
                None => assert!(self.more().await, "the connection ended"),
                Some(Event::Frame(header)) => opcode = header.opcode,
                Some(Event::Payload(piece)) => piece.append_to(&mut payload),
                Some(Event::End(End::Fragment)) => {}
                Some(Event::End(_)) => {
                    self.came.drain(..taken);
                    return (opcode, payload);
                }
            }
        }
    }

    /// The next message, a text.
    pub async fn text(&mut self) -> String {
        let (opcode, payload) = self.message().await;
        assert_eq!(opcode, Opcode::Text);
        String::from_utf8(payload).unwrap()
    }

    /// The code of the close frame that comes next.
    pub async fn close_code(&mut self) -> u16 {
        let (opcode, payload) = self.message().await;
        assert_eq!(opcode, Opcode::Close);
        u16::from_be_bytes([payload[0], payload[1]])
    }

    async fn more(&mut self) -> bool {
        matches!(soon(self.stream.read_buf(&mut self.came)).await, Ok(count) if count > 0)
    }
}
