//! What becomes of a request: the steps of an answer, in order. Knows no sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};

/// An answer with this status, to be given headers and a body.
pub fn answer(status: u16) -> Head {
    Head { status, headers: Vec::new(), length: Length::None }
}

/// A stream of events, to be told its events.
pub fn sse() -> Script {
    answer(200).header("content-type", "text/event-stream").chunked()
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) length: Length,
}

/// How the body of an answer is delimited on HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    None,
    Bytes(u64),
    Chunks,
    Close,
}

impl Head {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Ends with this body, of known length.
    pub fn body(self, body: impl AsRef<[u8]>) -> Script {
        let body = body.as_ref();
        self.length(body.len() as u64).data(body).end()
    }

    /// Ends without a body and without a word of one: 204, 304, an answer to HEAD.
    pub fn empty(self) -> Script {
        self.delimited(Length::None).end()
    }

    /// Promises a body of this many bytes; what comes of it is told next.
    pub fn length(self, bytes: u64) -> Script {
        self.delimited(Length::Bytes(bytes))
    }

    /// Begins a body in chunks, one for each piece that is told next.
    pub fn chunked(self) -> Script {
        self.delimited(Length::Chunks)
    }

    /// Begins a body that ends where the connection is closed.
    pub fn until_close(self) -> Script {
        self.delimited(Length::Close)
    }

    fn delimited(mut self, length: Length) -> Script {
        self.length = length;
        Script::default().then(Step::ReadBody).then(Step::Head(self))
    }
}

/// One thing that a provider does.
#[derive(Clone)]
pub(super) enum Step {
    ReadBody,
    Head(Head),
    Data(Vec<u8>),
    Repeat(Vec<u8>, u64),
    End,
    Raw(Vec<u8>),
    Pause(Duration),
    Wait(Gate),
    Feed(Feed),
    Echo,
    Silence,
    Close,
    Reset,
}

/// What becomes of a request: it is read in full, then these steps follow. When they are done, the connection serves the
/// next request.
#[derive(Clone, Default)]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// Exactly these bytes, on HTTP/1.1.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().then(Step::ReadBody).bytes(bytes)
    }

    /// Never any answer.
    pub fn silent() -> Self {
        Self::default().then(Step::ReadBody).silence()
    }

    /// The connection closed without an answer.
    pub fn closing() -> Self {
        Self::default().then(Step::ReadBody).close()
    }

    /// The connection (on HTTP/2 the stream) reset without an answer.
    pub fn resetting() -> Self {
        Self::default().then(Step::ReadBody).reset()
    }

    /// Begins as soon as the head has come, and does not read the body unless told to.
    pub fn before_body(mut self) -> Self {
        self.steps.retain(|step| !matches!(step, Step::ReadBody));
        self
    }

    /// Invites the client to send its body (`100 Continue`), reads it, and only then goes on.
    pub fn inviting(self) -> Self {
        let mut script = self.before_body();
        let first = [Step::Raw(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), Step::ReadBody];
        script.steps.splice(0..0, first);
        script
    }

    /// Reads the body here.
    pub fn read_body(self) -> Self {
        self.then(Step::ReadBody)
    }

    /// Waits before all else, once the body has been read.
    pub fn after(mut self, gate: &Gate) -> Self {
        let at = usize::from(matches!(self.steps.first(), Some(Step::ReadBody)));
        self.steps.insert(at, Step::Wait(gate.clone()));
        self
    }

    /// A piece of the body; a chunk, where it comes in chunks.
    pub fn data(self, piece: impl AsRef<[u8]>) -> Self {
        self.then(Step::Data(piece.as_ref().to_vec()))
    }

    /// A piece of the body, many times.
    pub fn repeat(self, piece: impl AsRef<[u8]>, times: u64) -> Self {
        self.then(Step::Repeat(piece.as_ref().to_vec(), times))
    }

    /// An event with this data.
    pub fn event(self, data: &str) -> Self {
        self.data(format!("data: {data}\n\n"))
    }

    /// The end of the body.
    pub fn end(self) -> Self {
        self.then(Step::End)
    }

    /// Exactly these bytes, on HTTP/1.1.
    pub fn bytes(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Raw(bytes.as_ref().to_vec()))
    }

    /// A pause of this length.
    pub fn pause(self, length: Duration) -> Self {
        self.then(Step::Pause(length))
    }

    /// A pause until the gate is opened.
    pub fn wait(self, gate: &Gate) -> Self {
        self.then(Step::Wait(gate.clone()))
    }

    /// Pieces of the body as a test sends them, until it ends the feed.
    pub fn feed(self, feed: &Feed) -> Self {
        self.then(Step::Feed(feed.clone()))
    }

    /// From here on, everything that comes goes back as it is. For upgraded connections.
    pub fn echo(self) -> Self {
        self.then(Step::Echo)
    }

    /// From here on nothing, while the connection stays open.
    pub fn silence(self) -> Self {
        self.then(Step::Silence)
    }

    /// Closes the connection.
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Resets the connection (TCP), or on HTTP/2 the stream. What the peer has not read by then may be lost: where that
    /// matters, wait for a gate before.
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// Something to wait for, until a test opens it.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

/// A gate that is shut.
pub fn gate() -> Gate {
    Gate(Arc::new(watch::Sender::new(false)))
}

impl Gate {
    /// Lets everybody pass, from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// Pieces of a body, sent by a test while it runs.
#[derive(Clone)]
pub struct Feed {
    sender: mpsc::UnboundedSender<Option<Vec<u8>>>,
    pieces: Arc<Mutex<mpsc::UnboundedReceiver<Option<Vec<u8>>>>>,
}

/// A feed, for one request.
pub fn feed() -> Feed {
    let (sender, pieces) = mpsc::unbounded_channel();
    Feed { sender, pieces: Arc::new(Mutex::new(pieces)) }
}

impl Feed {
    /// Sends a piece.
    pub fn send(&self, piece: impl AsRef<[u8]>) {
        self.sender.send(Some(piece.as_ref().to_vec())).unwrap();
    }

    /// Ends it; the script goes on with its next step.
    pub fn end(&self) {
        self.sender.send(None).unwrap();
    }

    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        self.pieces.lock().await.recv().await.flatten()
    }
}
