//! The origin: reads a call to its end, then answers with a fixed Anthropic message, or an event stream if the call asks for
//! one. One thread, as little work a call as it can be, so that what is measured is the proxy.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memchr::memmem;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::http;

/// Connections that wait to be accepted; thousands come at once.
const BACKLOG: i32 = 4096;
/// How much of a body is looked at for `"stream":true`.
const LOOKED_AT: usize = 4096;

/// How it answers.
#[derive(clap::Args)]
pub struct Settings {
    /// Where it listens; may be given several times.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<SocketAddr>,
    /// Events of a stream, besides those that begin and end it.
    #[arg(long, default_value_t = 50)]
    events: u32,
    /// Milliseconds between them.
    #[arg(long, default_value_t = 0)]
    gap: u64,
    /// Bytes of text in an answer without a stream.
    #[arg(long, default_value_t = 120)]
    text: usize,
}

/// Answers until the process is killed.
pub fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let answers = Rc::new(Answers::new(settings));
        for address in &settings.listen {
            let listener = bind(*address)?;
            writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
            tokio::task::spawn_local(accept(listener, answers.clone()));
        }
        std::future::pending().await
    })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, answers: Rc<Answers>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let answers = answers.clone();
            // a proxy that leaves in the middle is none of its business
            tokio::task::spawn_local(async move { converse(stream, &answers).await.ok() });
        }
    }
}

/// What it says, made once.
struct Answers {
    message: Vec<u8>,
    events: u32,
    gap: Duration,
}

impl Answers {
    fn new(settings: &Settings) -> Self {
        let text = "word ".repeat(settings.text / 5);
        let body = format!(
            r#"{{"id":"msg_01bench","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":75,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":32}}}}"#
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nrequest-id: req_01bench\r\nserver: origin\r\n\r\n",
            body.len()
        );
        let message = (head + &body).into_bytes();
        Self { message, events: settings.events, gap: Duration::from_millis(settings.gap) }
    }
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        let head = loop {
            if let Some(head) = http::head(&buffer[..filled], false)? {
                break head;
            }
            if filled == buffer.len() {
                return Err(std::io::Error::other("a head of more than 16 KiB"));
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                more => filled += more,
            }
        };
        let Some(body) = head.body else {
            return stream
                .write_all(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        };
        // the beginning of the body is kept until it is known what it asks for
        let wanted = body.min(LOOKED_AT);
        while filled < head.len + wanted {
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                more => filled += more,
            }
        }
        let is_stream = memmem::find(&buffer[head.len..head.len + wanted], br#""stream":true"#).is_some();
        let mut left = (head.len + body).saturating_sub(filled);
        let behind = filled.saturating_sub(head.len + body);
        buffer.copy_within(filled - behind..filled, 0);
        if left > buffer.len() {
            // a large body is read in large pieces
            buffer.resize(256 << 10, 0);
        }
        while left > 0 {
            let room = left.min(buffer.len());
            match stream.read(&mut buffer[..room]).await? {
                0 => return Ok(()),
                more => left -= more,
            }
        }
        filled = behind;
        if is_stream {
            events(&mut stream, answers).await?;
        } else {
            stream.write_all(&answers.message).await?;
        }
    }
}

/// A stream of events as Anthropic's, chunk by chunk. Each delta says when it was sent, in microseconds since 1970.
async fn events(stream: &mut TcpStream, answers: &Answers) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\nrequest-id: req_01bench\r\n\r\n";
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":75,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let end = format!(
        "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{}}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n",
        answers.events
    );
    stream.write_all((head.to_owned() + &chunk(start)).as_bytes()).await?;
    let mut due = Instant::now();
    for _ in 0..answers.events {
        if !answers.gap.is_zero() {
            due += answers.gap;
            sleep_until(due).await;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
        let event = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" word\"}},\"at\":{at}}}\n\n"
        );
        stream.write_all(chunk(&event).as_bytes()).await?;
    }
    stream.write_all((chunk(&end) + "0\r\n\r\n").as_bytes()).await
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}
