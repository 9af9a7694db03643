//! A provider behind TLS that speaks HTTP/2 frame by frame: for what a library of servers would not say, or not then.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::authority::Authority;

/// What a provider does next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answers 200 and `hello`.
    Answer,
    /// Resets the stream with this error code.
    Reset(u32),
    /// Says that it goes away with this error code, and that the streams before the present one are all it processed.
    GoAwayBefore(u32),
    /// The same, the present stream included.
    GoAwayBehind(u32),
    /// Closes the connection.
    Close,
}

/// Error codes (RFC 9113 §7).
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;
pub const HTTP_1_1_REQUIRED: u32 = 13;

/// A request as its head came: the number of its connection, and of those before it on that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    pub connection: usize,
    pub before: usize,
}

/// A provider; it ends with the test.
pub struct Frames {
    address: SocketAddr,
    authority: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

type Acts = Box<dyn Fn(Option<Came>) -> Vec<Act> + Send + Sync>;

struct Shared {
    acts: Acts,
    came: Mutex<Vec<Came>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

/// A provider that does this when the head of a request has come, and before that when its connection is new (`None`). It
/// answers once it has the whole body; whatever else it does, it does at once.
pub async fn frames(acts: impl Fn(Option<Came>) -> Vec<Act> + Send + Sync + 'static) -> Frames {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.issue(&["localhost"]).server(&["h2", "http/1.1"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shared = Arc::new(Shared { acts: Box::new(acts), came: Mutex::default(), bodies: Mutex::default() });
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(accept(listener, acceptor, shared.clone()));
    Frames { address, authority: authority.pem().to_owned(), shared, accepting }
}

impl Frames {
    /// Its address as the YAML of a gateway writes it.
    pub fn server(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The authority that signed its certificate, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The requests whose heads have come so far.
    pub fn came(&self) -> Vec<Came> {
        self.shared.came.lock().unwrap().clone()
    }

    /// The bodies that it has answered.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.shared.bodies.lock().unwrap().clone()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // they end with this task
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            // a peer that leaves ends it
            let _ = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => h2(stream, number, &shared).await,
                _ => http1(stream, number, &shared).await,
            };
        });
    }
}

async fn http1(mut stream: TlsStream<TcpStream>, connection: usize, shared: &Shared) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        stream.read_buf(&mut bytes).await?;
    }
    shared.came.lock().unwrap().push(Came { connection, before: 0 });
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await?;
    stream.shutdown().await
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` by the static table (RFC 7541, Appendix A).
const STATUS_200: [u8; 1] = [0x88];

async fn h2(mut stream: TlsStream<TcpStream>, connection: usize, shared: &Shared) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    send(&mut stream, SETTINGS, 0, 0, &[]).await?;
    let mut answers = Vec::new();
    for act in (shared.acts)(None) {
        if !perform(&mut stream, act, 1).await? {
            return Ok(());
        }
    }
    let mut before = 0;
    loop {
        let (kind, flags, id, payload) = receive(&mut stream).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => send(&mut stream, SETTINGS, ACK, 0, &[]).await?,
            HEADERS => {
                let came = Came { connection, before };
                before += 1;
                shared.came.lock().unwrap().push(came);
                for act in (shared.acts)(Some(came)) {
                    if act == Act::Answer {
                        answers.push((id, Vec::new()));
                    } else if !perform(&mut stream, act, id).await? {
                        return Ok(());
                    }
                }
            }
            DATA => {
                let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
                if !payload.is_empty() {
                    send(&mut stream, WINDOW_UPDATE, 0, 0, &more).await?;
                }
                if let Some((_, body)) = answers.iter_mut().find(|(answered, _)| *answered == id) {
                    body.extend_from_slice(&payload);
                    if !payload.is_empty() && flags & END_STREAM == 0 {
                        send(&mut stream, WINDOW_UPDATE, 0, id, &more).await?;
                    }
                }
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA)
            && flags & END_STREAM != 0
            && let Some(at) = answers.iter().position(|(answered, _)| *answered == id)
        {
            let (_, body) = answers.remove(at);
            shared.bodies.lock().unwrap().push(body);
            send(&mut stream, HEADERS, END_HEADERS, id, &STATUS_200).await?;
            send(&mut stream, DATA, END_STREAM, id, b"hello").await?;
        }
    }
}

/// Does what it does at once; `false` if that was the end of the connection.
async fn perform(stream: &mut TlsStream<TcpStream>, act: Act, id: u32) -> std::io::Result<bool> {
    let go_away = |last: u32, code: u32| [last.to_be_bytes(), code.to_be_bytes()].concat();
    match act {
        Act::Answer => {}
        Act::Reset(code) => send(stream, RST_STREAM, 0, id, &code.to_be_bytes()).await?,
        Act::GoAwayBefore(code) => send(stream, GOAWAY, 0, 0, &go_away(id.saturating_sub(2), code)).await?,
        Act::GoAwayBehind(code) => send(stream, GOAWAY, 0, 0, &go_away(id, code)).await?,
        Act::Close => {
            stream.shutdown().await?;
            return Ok(false);
        }
    }
    Ok(true)
}

async fn send(stream: &mut TlsStream<TcpStream>, kind: u8, flags: u8, id: u32, payload: &[u8]) -> std::io::Result<()> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

async fn receive(stream: &mut TlsStream<TcpStream>) -> std::io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}
