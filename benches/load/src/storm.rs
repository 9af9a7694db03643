//! Callers of every kind, at random: complete calls and streams, some that leave in the middle, some that send nonsense. Says
//! what became of each, so that it can be held against the ledger.

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::http;
use crate::random::Random;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Models, hosts and bodies that come again; all others are made up.
const COMMON: u64 = 8;

/// What it sends.
#[derive(clap::Args)]
pub struct Settings {
    /// Where to.
    address: SocketAddr,
    /// The file for what became of each call: its number, and a word.
    results: PathBuf,
    /// Callers at the same time.
    #[arg(long, default_value_t = 150)]
    callers: u64,
    /// Milliseconds that each waits between its calls, on average.
    #[arg(long, default_value_t = 150)]
    pause: u64,
    /// For how long.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// How many of the keys `KEY0000`, `KEY0001`, … are known.
    #[arg(long, default_value_t = 50)]
    keys: u64,
    /// What comes before a key's number.
    #[arg(long, default_value = "sk-soak-")]
    key: String,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

type Results = Rc<RefCell<BufWriter<File>>>;

/// Sends until the time is over, and each caller has its last answer.
pub fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results: Results = Rc::new(RefCell::new(BufWriter::new(File::create(&settings.results)?)));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let until = Instant::now() + Duration::from_secs_f64(settings.seconds);
        let callers: Vec<_> = (0..settings.callers)
            .map(|index| {
                let caller = Caller {
                    address: settings.address,
                    random: Random::new(settings.seed << 32 | index),
                    number: index << 32,
                    keys: settings.keys,
                    key: settings.key.clone(),
                    connection: None,
                };
                tokio::task::spawn_local(caller.run(until, settings.pause, results.clone()))
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        results.borrow_mut().flush()?;
        Ok(())
    })
}

struct Caller {
    address: SocketAddr,
    random: Random,
    number: u64,
    keys: u64,
    key: String,
    connection: Option<TcpStream>,
}

/// What a caller does with a call.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Waits for the whole answer.
    Whole,
    /// Leaves once so many bytes of the answer have come.
    LeavesAfter(usize),
    /// Leaves in the middle of its body.
    LeavesInBody,
    /// Leaves in the middle of its head: no request.
    LeavesInHead,
}

impl Caller {
    async fn run(mut self, until: Instant, pause: u64, results: Results) -> io::Result<()> {
        while Instant::now() < until {
            self.number += 1;
            let kind = match self.random.below(100) {
                0..=79 => Kind::Whole,
                80..=89 => Kind::LeavesAfter(1 + self.random.below(4000) as usize),
                90..=93 => Kind::LeavesAfter(0),
                94..=97 => Kind::LeavesInBody,
                _ => Kind::LeavesInHead,
            };
            let request = self.request();
            let word = match timeout(TIMEOUT, self.call(&request, kind)).await {
                Ok(Ok(word)) => word,
                Ok(Err(_)) => "broken",
                Err(_) => "late",
            };
            writeln!(results.borrow_mut(), "{:012} {word}", self.number)?;
            sleep(Duration::from_micros(self.random.below(pause * 2000 + 1))).await;
        }
        Ok(())
    }

    /// Sends a call; gives a word for what became of it.
    async fn call(&mut self, request: &[u8], kind: Kind) -> io::Result<&'static str> {
        let mut is_kept = self.connection.is_some();
        let mut stream = match self.connection.take() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let head = memchr::memmem::find(request, b"\r\n\r\n").map_or(0, |at| at + 4);
        let sent = match kind {
            Kind::LeavesInHead => &request[..self.random.below(head as u64 - 1) as usize],
            Kind::LeavesInBody => &request[..head + self.random.below((request.len() - head).max(1) as u64) as usize],
            Kind::Whole | Kind::LeavesAfter(_) => request,
        };
        let is_all = sent.len() == request.len();
        let mut written = stream.write_all(sent).await;
        if written.is_err() && is_kept {
            // closed as idle before the call came: it is sent on a new one
            (stream, is_kept) = (self.connect().await?, false);
            written = stream.write_all(sent).await;
        }
        written?;
        match kind {
            Kind::LeavesInHead => return Ok("torn"),
            Kind::LeavesInBody if !is_all => return Ok("left"),
            Kind::LeavesAfter(0) => return Ok("left"),
            _ => {}
        }
        let (mut buffer, mut answer) = ([0; 16 << 10], Vec::new());
        loop {
            match stream.read(&mut buffer).await {
                // the server closed it while the call was on its way
                Ok(0) | Err(_) if answer.is_empty() && is_kept => return Ok("unsent"),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => answer.extend_from_slice(&buffer[..more]),
                Err(error) => return Err(error),
            }
            if let Kind::LeavesAfter(bytes) = kind
                && answer.len() >= bytes
            {
                return Ok("left");
            }
            let Some(head) = http::head(&answer, true)? else { continue };
            let is_whole = match head.body {
                Some(length) => answer.len() >= head.len + length,
                None => answer.ends_with(b"0\r\n\r\n"),
            };
            if is_whole {
                let is_good = head.status == 200;
                self.connection = (is_good && self.random.percent(90)).then_some(stream);
                return Ok(if is_good { "answered" } else { "refused" });
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A call by chance: of a caller, to a host, for a model; small or large; with or without a stream; sometimes nonsense.
    fn request(&mut self) -> Vec<u8> {
        let number = self.number;
        let random = &mut self.random;
        let pick = |random: &mut Random| if random.percent(80) { random.below(COMMON) } else { random.next() };
        let (host, model) = (pick(random), pick(random));
        let model = ["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1"]
            .get(model as usize)
            .map_or_else(|| format!("model-{model}"), |name| (*name).to_owned());
        let key = if random.percent(95) { random.below(self.keys) } else { random.next() };
        // some are asked again and again, and found in the cache
        let text = if random.percent(30) { random.below(COMMON).to_string() } else { number.to_string() };
        let filler = "some text ".repeat(if random.percent(85) { 20 } else { random.below(5000) as usize });
        let tokens = if random.percent(95) { 200 } else { 1_000_000 };
        let is_stream = random.percent(45);
        let body = if random.percent(3) {
            format!("{{\"model\": \"{model}\", nonsense {text}")
        } else {
            format!(
                r#"{{"model":"{model}","max_tokens":{tokens},"stream":{is_stream},"messages":[{{"role":"user","content":"{filler}{text}"}}]}}"#
            )
        };
        let path = match random.below(100) {
            0..=1 => "/nothing/here",
            2..=30 => "/v1/chat/completions",
            _ => "/v1/messages",
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: host{host}.test\r\nx-api-key: {}{key:04}\r\nx-session-id: {number:012}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        (head + &body).into_bytes()
    }
}
