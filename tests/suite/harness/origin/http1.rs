//! A provider's HTTP/1.1 connection, byte by byte: nothing is corrected on the way in or out.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::received::{Closed, Framing, Received};
use super::script::{Head, Length, Script, Step};
use super::{Io, Shared};

/// Serves requests one after the other until either side closes.
pub(super) async fn serve(io: Io, socket: Socket, id: usize, shared: Arc<Shared>) {
    let (reader, writer) = tokio::io::split(io);
    let (pieces, inbox) = mpsc::unbounded_channel();
    let (gone, peer_gone) = watch::channel(false);
    // ends with this task, however that ends
    let mut reading = JoinSet::new();
    reading.spawn(read(reader, pieces, gone, id, shared.clone()));
    let mut connection = Connection { writer, inbox, buffer: Vec::new(), peer_gone, id, shared };
    let ending = connection.serve().await;
    connection.shared.closed(id, Closed::Here);
    match ending {
        Ending::Close => drop(connection.writer.shutdown().await),
        Ending::Reset => socket.set_linger(Some(Duration::ZERO)).unwrap(),
        Ending::PeerGone => {}
    }
    reading.shutdown().await;
}

/// Reads on its own, so that it is known at once when the peer closes.
async fn read(
    mut reader: ReadHalf<Io>,
    pieces: mpsc::UnboundedSender<Vec<u8>>,
    gone: watch::Sender<bool>,
    id: usize,
    shared: Arc<Shared>,
) {
    let mut reads = shared.reads.subscribe();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let _ = reads.wait_for(|reads| *reads).await;
        match reader.read(&mut piece).await {
            Ok(length) if length > 0 && pieces.send(piece[..length].to_vec()).is_ok() => {}
            _ => break,
        }
    }
    shared.closed(id, Closed::ByPeer);
    gone.send_replace(true);
}

struct Connection {
    writer: WriteHalf<Io>,
    inbox: mpsc::UnboundedReceiver<Vec<u8>>,
    buffer: Vec<u8>,
    peer_gone: watch::Receiver<bool>,
    id: usize,
    shared: Arc<Shared>,
}

enum Ending {
    Close,
    Reset,
    PeerGone,
}

impl Connection {
    async fn serve(&mut self) -> Ending {
        loop {
            let Some(head) = self.until(b"\r\n\r\n").await else { return Ending::PeerGone };
            let request = parse(head, self.id);
            let framing = request.framing;
            let (number, script) = self.shared.came(request);
            let stream = self.shared.open_stream();
            match self.play(number, framing, script).await {
                Ok(()) => self.shared.note(number, |request| request.answered = Some(Instant::now())),
                Err(ending) => {
                    if matches!(ending, Ending::PeerGone) {
                        self.shared.note(number, |request| request.abandoned = Some(Instant::now()));
                    }
                    return ending;
                }
            }
            drop(stream);
        }
    }

    async fn play(&mut self, number: usize, framing: Framing, script: Script) -> Result<(), Ending> {
        let mut length = Length::None;
        let mut peer_gone = self.peer_gone.clone();
        for step in script.steps {
            match step {
                Step::ReadBody => self.read_body(number, framing).await.ok_or(Ending::PeerGone)?,
                Step::Head(head) => {
                    length = head.length;
                    self.write(number, &render(&head)).await?;
                }
                Step::Data(piece) => self.write(number, &frame(length, &piece)).await?,
                Step::Repeat(piece, times) => {
                    let piece = frame(length, &piece);
                    for _ in 0..times {
                        self.write(number, &piece).await?;
                    }
                }
                Step::End if length == Length::Chunks => self.write(number, b"0\r\n\r\n").await?,
                Step::End if length == Length::Close => return Err(Ending::Close),
                Step::End => {}
                Step::Raw(bytes) => self.write(number, &bytes).await?,
                Step::Feed(feed) => loop {
                    let piece = tokio::select! {
                        piece = feed.next() => piece,
                        _ = peer_gone.wait_for(|gone| *gone) => return Err(Ending::PeerGone),
                    };
                    let Some(piece) = piece else { break };
                    self.write(number, &frame(length, &piece)).await?;
                },
                Step::Echo => loop {
                    let bytes = std::mem::take(&mut self.buffer);
                    self.write(number, &bytes).await?;
                    self.more().await.ok_or(Ending::PeerGone)?;
                },
                Step::Close => return Err(Ending::Close),
                Step::Reset => return Err(Ending::Reset),
                waits => tokio::select! {
                    () = pass(&waits) => {}
                    _ = peer_gone.wait_for(|gone| *gone) => return Err(Ending::PeerGone),
                },
            }
        }
        Ok(())
    }

    async fn write(&mut self, number: usize, mut bytes: &[u8]) -> Result<(), Ending> {
        while !bytes.is_empty() {
            let written = self.writer.write(bytes).await.map_err(|_| Ending::PeerGone)?;
            self.shared.note(number, |request| request.sent += written as u64);
            bytes = &bytes[written..];
        }
        self.writer.flush().await.map_err(|_| Ending::PeerGone)
    }

    /// Reads a body to its end; `None` if the peer went before.
    async fn read_body(&mut self, number: usize, framing: Framing) -> Option<()> {
        match framing {
            Framing::Nothing | Framing::Stream => {}
            Framing::Length(length) => self.take(number, usize::try_from(length).unwrap()).await?,
            Framing::Chunked => loop {
                let line = String::from_utf8(self.until(b"\r\n").await?).unwrap();
                let size = usize::from_str_radix(line.trim_end().split(';').next().unwrap(), 16).unwrap();
                if size == 0 {
                    while self.until(b"\r\n").await? != b"\r\n" {}
                    break;
                }
                self.shared.note(number, |request| request.pieces.push(size));
                self.take(number, size).await?;
                assert_eq!(self.until(b"\r\n").await?, b"\r\n", "a chunk is longer than it says");
            },
        }
        self.shared.note(number, |request| request.complete = true);
        Some(())
    }

    async fn take(&mut self, number: usize, mut length: usize) -> Option<()> {
        while length > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let some = self.buffer.len().min(length);
            self.shared.note(number, |request| request.body.extend(self.buffer.drain(..some)));
            length -= some;
        }
        Some(())
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut seen = 0;
        loop {
            let rest = &self.buffer[seen..];
            if let Some(at) = rest.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..seen + at + end.len()).collect());
            }
            seen = self.buffer.len().saturating_sub(end.len() - 1);
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        self.buffer.extend(self.inbox.recv().await?);
        Some(())
    }
}

/// The steps that are nothing but waiting.
pub(super) async fn pass(step: &Step) {
    match step {
        Step::Pause(length) => tokio::time::sleep(*length).await,
        Step::Wait(gate) => gate.opened().await,
        _ => std::future::pending().await,
    }
}

fn parse(raw_head: Vec<u8>, connection: usize) -> Received {
    let mut lines = raw_head.strip_suffix(b"\r\n\r\n").unwrap().split(|byte| *byte == b'\n');
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let first = text(lines.next().unwrap().trim_ascii_end());
    let (method, rest) = first.split_once(' ').unwrap_or_else(|| panic!("not a request line: {first:?}"));
    let (target, version) = rest.rsplit_once(' ').unwrap_or_else(|| panic!("not a request line: {first:?}"));
    assert_eq!(version, "HTTP/1.1");
    let headers = lines.map(|line| {
        let colon = line.iter().position(|byte| *byte == b':');
        let colon = colon.unwrap_or_else(|| panic!("not a header: {:?}", text(line)));
        (text(&line[..colon]), line[colon + 1..].trim_ascii().to_vec())
    });
    let mut request = Received {
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.collect(),
        raw_head: raw_head.clone(),
        framing: Framing::Nothing,
        body: Vec::new(),
        pieces: Vec::new(),
        came: std::time::Instant::now(),
        complete: false,
        sent: 0,
        answered: None,
        abandoned: None,
    };
    request.framing = match (request.all("transfer-encoding").as_slice(), request.all("content-length").as_slice()) {
        ([], []) => Framing::Nothing,
        ([], [length]) => Framing::Length(text(length).parse().unwrap()),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        (codings, lengths) => panic!("a body delimited twice, or by {codings:?} {lengths:?}"),
    };
    request
}

fn render(head: &Head) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", head.status, reason.unwrap_or("Unknown")).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    match head.length {
        Length::Bytes(length) => write!(bytes, "content-length: {length}\r\n").unwrap(),
        Length::Chunks => bytes.extend(b"transfer-encoding: chunked\r\n"),
        Length::Close => bytes.extend(b"connection: close\r\n"),
        Length::None => {}
    }
    bytes.extend(b"\r\n");
    bytes
}

fn frame(length: Length, piece: &[u8]) -> Vec<u8> {
    if length != Length::Chunks || piece.is_empty() {
        return piece.to_vec();
    }
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}
