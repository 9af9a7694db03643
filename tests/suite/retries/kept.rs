//! Kept connections that their servers close: a request that a server has read is not sent again, and one that it cannot have read is.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::READS_BODIES;
use crate::harness::{
    Act, Alpn, Authority, Came, DEADLINE, Gateway, Script, frames, gateway, http1, origin, tls_origin,
};
use crate::payloads::call;

#[tokio::test]
async fn a_request_that_its_server_read_on_a_kept_connection_is_not_sent_again() {
    let authority = Authority::new();
    for settings in ["", READS_BODIES, "plugins: [{ response_cache: {} }]"] {
        for script in [Script::closing(), Script::resetting()] {
            for origin in [origin().await, tls_origin(&authority, &["localhost"], Alpn::Http1).await] {
                let gateway = gateway().upstream(&origin).settings(settings).start().await;
                let mut client = http1(gateway.address()).await;
                assert_eq!(client.post("/v1/messages", call(300, 1)).await.status, 200);
                origin.answers(script.clone());
                assert_eq!(client.post("/v1/messages", call(301, 1)).await.status, 502);
                assert_eq!((origin.count(), origin.connections()), (2, 1), "{settings}");
                let line = gateway.logged(|line| line["status"] == 502).await;
                assert_eq!((&line["error"], &line["attempts"]), (&"no_answer".into(), &1.into()));
            }
        }
    }
}

#[tokio::test]
async fn nor_is_one_on_http_2_whose_server_closes_without_a_word() {
    let server = frames(|came| match came {
        Some(Came { before: 1, .. }) => vec![Act::Close],
        Some(_) => vec![Act::Answer],
        None => vec![],
    })
    .await;
    let gateway = gateway().upstream_settings("tls: { ca: ca.pem }").server(server.server());
    let gateway = gateway.file("ca.pem", server.authority()).start().await;
    let mut client = http1(gateway.address()).await;
    assert_eq!(client.post("/v1/messages", call(300, 1)).await.status, 200);
    assert_eq!(client.post("/v1/messages", call(301, 1)).await.status, 502);
    assert_eq!(server.came().len(), 2);
}

/// A server that closes a connection at about the moment at which its next request arrives. Some requests that arrive before it reads, and closes
/// without an answer.
#[derive(Clone)]
struct Hasty {
    address: SocketAddr,
    /// How often it has read each request, by its path.
    read: Arc<Mutex<HashMap<String, u32>>>,
    /// How long it waits for a next request, in nanoseconds: a little longer where none came, a little less where one did.
    patience: Arc<AtomicU64>,
    is_tls: bool,
}

impl Hasty {
    /// One that speaks TLS where it is told how.
    fn new(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Arc::new(AtomicU64::new(100_000));
        let server = Self { address, read: Arc::default(), patience, is_tls: tls.is_some() };
        let serving = server.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (socket, serving, tls) = (stream.unwrap(), serving.clone(), tls.clone());
                let stream = socket.try_clone().unwrap();
                thread::spawn(move || match tls {
                    Some(tls) => {
                        let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
                        serving.serve(&socket, &mut stream);
                        // some servers say that they close, and some do not
                        if number % 2 == 0 {
                            stream.conn.send_close_notify();
                            let _ = stream.flush();
                        }
                    }
                    None => drop(serving.serve(&socket, stream)),
                });
            }
        });
        server
    }

    fn serve(&self, socket: &TcpStream, stream: impl Read + Write) -> Option<()> {
        let mut reader = BufReader::new(stream);
        for number in 0.. {
            let path = read(&mut reader)?;
            let paths = {
                let mut read = self.read.lock().unwrap();
                *read.entry(path).or_default() += 1;
                read.len()
            };
            if number > 0 && paths.is_multiple_of(4) {
                return None;
            }
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
            let (answered, patience) = (Instant::now(), self.patience.load(Relaxed));
            while answered.elapsed() < Duration::from_nanos(patience) {
                std::hint::spin_loop();
            }
            socket.set_nonblocking(true).ok()?;
            if socket.peek(&mut [0]).is_err() {
                self.patience.store(patience + 500, Relaxed);
                return None;
            }
            self.patience.store(patience.saturating_sub(1000), Relaxed);
            socket.set_nonblocking(false).ok()?;
        }
        None
    }
}

/// Reads a request, and gives its path.
fn read(reader: &mut impl BufRead) -> Option<String> {
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        match words.next() {
            Some("POST") => path = words.next()?.to_owned(),
            Some("content-length:") => length = words.next()?.parse().ok()?,
            None if line.is_empty() => return None,
            None => break,
            Some(_) => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(path)
}

/// How many requests took a second connection, by the access log.
fn sent_again(gateway: &Gateway) -> usize {
    let log = fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    log.lines().filter(|line| line.contains(", ")).count()
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_a_kept_connection_is_read_once_at_most() {
    let authority = Authority::new();
    let tls = authority.issue(&["localhost"]).server(&["http/1.1"]);
    for server in [Hasty::new(None), Hasty::new(Some(tls.clone()))] {
        let address = if server.is_tls {
            format!("https://localhost:{}", server.address.port())
        } else {
            server.address.to_string()
        };
        let settings = "server: { threads: 1 }\naccess_log: { path: access.log, format: '$upstream_addr' }";
        let gateway = gateway().server(address).upstream_settings("tls: { ca: ca.pem }").settings(settings);
        let gateway = gateway.file("ca.pem", authority.pem()).start().await;
        let mut client = http1(gateway.address()).await;
        let (began, mut sent, mut unanswered) = (Instant::now(), 0, 0);
        while sent_again(&gateway) < 5 || unanswered == 0 {
            assert!(
                began.elapsed() < 3 * DEADLINE,
                "no race among {sent} requests, of which {unanswered} were read in vain"
            );
            for _ in 0..500 {
                sent += 1;
                let path = format!("/{sent}");
                let status = client.post(&path, call(300, 1)).await.status.as_u16();
                let times = server.read.lock().unwrap().get(&path).copied().unwrap_or(0);
                match status {
                    200 => assert_eq!(times, 1, "{path}"),
                    // the server closed the connection when it had arrived, and may have read it
                    502 => {
                        assert!(times <= 1, "{path}");
                        unanswered += times;
                    }
                    _ => panic!("{path}: {status}"),
                }
            }
        }
        drop(client);
        gateway.idle().await;
    }
}
