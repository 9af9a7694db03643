//! A provider's HTTP/2 connection: the same scripts, a stream each.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use socket2::Socket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::http1::pass;
use super::received::{Closed, Framing, Received};
use super::script::{Head, Script, Step};
use super::{Io, Shared};

/// Serves streams until either side closes the connection.
pub(super) async fn serve(io: Io, socket: Socket, id: usize, shared: Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(io).await else {
        shared.closed(id, Closed::ByPeer);
        return;
    };
    // they end with this task
    let mut streams = JoinSet::new();
    let (close, mut closing) = watch::channel(false);
    loop {
        let next = tokio::select! {
            biased;
            _ = closing.wait_for(|close| *close) => {
                shared.closed(id, Closed::Here);
                let _ = socket.shutdown(std::net::Shutdown::Both);
                return;
            }
            next = connection.accept() => next,
        };
        let Some(Ok((request, respond))) = next else { break };
        streams.spawn(stream(request, respond, id, shared.clone(), close.clone()));
    }
    shared.closed(id, Closed::ByPeer);
    // what is still open notes that it was given up
    while streams.join_next().await.is_some() {}
}

async fn stream(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    id: usize,
    shared: Arc<Shared>,
    close: watch::Sender<bool>,
) {
    let (number, script) = shared.came(received(&request, id));
    let _open = shared.open_stream();
    let mut stream = Stream { number, body: request.into_body(), respond, sending: None, shared };
    let noted = match stream.play(script).await {
        Ok(()) => |request: &mut Received| request.answered = Some(Instant::now()),
        Err(Ending::Close) => {
            close.send_replace(true);
            // until then it holds its stream, which would be reset if it let go
            std::future::pending().await
        }
        Err(Ending::Reset) => {
            stream.reset();
            return;
        }
        Err(Ending::PeerGone) => |request: &mut Received| request.abandoned = Some(Instant::now()),
    };
    stream.shared.note(number, noted);
}

struct Stream {
    number: usize,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    sending: Option<SendStream<Bytes>>,
    shared: Arc<Shared>,
}

enum Ending {
    Close,
    Reset,
    PeerGone,
}

impl Stream {
    async fn play(&mut self, script: Script) -> Result<(), Ending> {
        for step in script.steps {
            match step {
                Step::ReadBody => self.read_body().await?,
                Step::Head(head) => {
                    let sending = self.respond.send_response(render(&head), false);
                    self.sending = Some(sending.map_err(|_| Ending::PeerGone)?);
                }
                Step::Data(piece) => self.send(Bytes::from(piece)).await?,
                Step::Repeat(piece, times) => {
                    let piece = Bytes::from(piece);
                    for _ in 0..times {
                        self.send(piece.clone()).await?;
                    }
                }
                Step::End => {
                    let sending = self.sending.as_mut().unwrap();
                    sending.send_data(Bytes::new(), true).map_err(|_| Ending::PeerGone)?;
                }
                Step::Feed(feed) => loop {
                    let piece = tokio::select! {
                        piece = feed.next() => piece,
                        () = self.peer_gone() => return Err(Ending::PeerGone),
                    };
                    let Some(piece) = piece else { break };
                    self.send(Bytes::from(piece)).await?;
                },
                Step::Close => return Err(Ending::Close),
                Step::Reset => return Err(Ending::Reset),
                Step::Raw(_) | Step::Echo => panic!("bytes of HTTP/1.1 on HTTP/2"),
                waits => tokio::select! {
                    () = pass(&waits) => {}
                    () = self.peer_gone() => return Err(Ending::PeerGone),
                },
            }
        }
        Ok(())
    }

    async fn read_body(&mut self) -> Result<(), Ending> {
        while let Some(piece) = self.body.data().await {
            let piece = piece.map_err(|_| Ending::PeerGone)?;
            let _ = self.body.flow_control().release_capacity(piece.len());
            self.shared.note(self.number, |request| {
                request.pieces.push(piece.len());
                request.body.extend_from_slice(&piece);
            });
        }
        self.shared.note(self.number, |request| request.complete = true);
        Ok(())
    }

    async fn send(&mut self, mut piece: Bytes) -> Result<(), Ending> {
        let sending = self.sending.as_mut().unwrap();
        while !piece.is_empty() {
            sending.reserve_capacity(piece.len());
            let room = loop {
                match poll_fn(|cx| sending.poll_capacity(cx)).await {
                    Some(Ok(0)) => {}
                    Some(Ok(room)) => break room,
                    _ => return Err(Ending::PeerGone),
                }
            };
            let some = piece.split_to(room.min(piece.len()));
            let sent = some.len() as u64;
            sending.send_data(some, false).map_err(|_| Ending::PeerGone)?;
            self.shared.note(self.number, |request| request.sent += sent);
        }
        Ok(())
    }

    /// Waits until the peer resets the stream or the connection ends.
    async fn peer_gone(&mut self) {
        let _ = match &mut self.sending {
            Some(sending) => poll_fn(|cx| sending.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
    }

    fn reset(&mut self) {
        match &mut self.sending {
            Some(sending) => sending.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

fn received(request: &Request<RecvStream>, connection: usize) -> Received {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes().to_vec());
    let fields = request.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    Received {
        connection,
        method: request.method().to_string(),
        target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: authority.into_iter().map(|value| (":authority".to_owned(), value)).chain(fields).collect(),
        raw_head: Vec::new(),
        framing: if request.body().is_end_stream() { Framing::Nothing } else { Framing::Stream },
        body: Vec::new(),
        pieces: Vec::new(),
        came: std::time::Instant::now(),
        complete: false,
        sent: 0,
        answered: None,
        abandoned: None,
    }
}

fn render(head: &Head) -> Response<()> {
    let mut response = Response::builder().status(head.status);
    for (name, value) in &head.headers {
        response = response.header(name, &value[..]);
    }
    if let super::script::Length::Bytes(length) = head.length {
        response = response.header("content-length", length);
    }
    response.body(()).unwrap()
}
