//! Open event streams: opens them, says so, counts what they get in a stretch of time and how late it is, and holds them open until its
//! standard input is closed.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use memchr::memmem;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::http::Request;
use crate::percentiles::percentiles;

/// Streams that are opened at the same time.
const OPENING: usize = 64;
/// How long all may take to open.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What it opens.
#[derive(clap::Args)]
pub struct Settings {
    #[command(flatten)]
    request: Request,
    /// So many streams.
    #[arg(long, default_value_t = 500)]
    count: u64,
    /// For how long events are counted.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

#[derive(Default)]
struct Seen {
    opened: u64,
    ended: u64,
    failed: Vec<String>,
    first: Vec<f64>,
    is_counting: bool,
    late: Vec<f64>,
}

/// Prints `{"open":…}` once all streams have had an event, then `{"events":…,"p50":…}` with how late they came, in microseconds.
pub fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, count(settings))?;
    // the streams stay open until this is closed
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn count(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let mut template = settings.request.template()?;
    let (seen, gate) = (Rc::<RefCell<Seen>>::default(), Rc::new(Semaphore::new(OPENING)));
    for number in 0..settings.count {
        let request = template.numbered(settings.request.from + number).to_vec();
        let (seen, gate, address) = (seen.clone(), gate.clone(), settings.request.address);
        tokio::task::spawn_local(async move {
            match follow(address, &request, &gate, &seen).await {
                Ok(()) => seen.borrow_mut().ended += 1,
                Err(error) => seen.borrow_mut().failed.push(error.to_string()),
            }
        });
    }
    let begun = Instant::now();
    while seen.borrow().opened < settings.count {
        if let Some(error) = seen.borrow().failed.first() {
            return Err(format!("a stream did not open: {error}").into());
        }
        if begun.elapsed() > TIMEOUT {
            return Err(format!("only {} streams opened", seen.borrow().opened).into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let first = percentiles(std::mem::take(&mut seen.borrow_mut().first));
    writeln!(io::stdout(), "{}", json!({ "open": settings.count, "first_event": first }))?;
    let begun = Instant::now();
    seen.borrow_mut().is_counting = true;
    sleep(Duration::from_secs_f64(settings.seconds)).await;
    let (late, seconds) = (std::mem::take(&mut seen.borrow_mut().late), begun.elapsed().as_secs_f64());
    seen.borrow_mut().is_counting = false;
    let events = late.len();
    let mut figures = percentiles(late);
    figures["events"] = json!(events);
    figures["seconds"] = json!(seconds);
    figures["ended"] = json!(seen.borrow().ended);
    figures["failed"] = json!(seen.borrow().failed.len());
    writeln!(io::stdout(), "{figures}")?;
    Ok(())
}

/// Follows one stream to its end.
async fn follow(address: SocketAddr, request: &[u8], gate: &Semaphore, seen: &RefCell<Seen>) -> io::Result<()> {
    let opening = gate.acquire().await.map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let begun = Instant::now();
    stream.write_all(request).await?;
    let mut opening = Some(opening);
    let (mut buffer, mut filled) = (vec![0; 4 << 10], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let bytes = &buffer[..filled];
        if opening.is_some() && !bytes.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&bytes[..bytes.len().min(300)])));
        }
        let mut done = 0;
        while let Some(found) = memmem::find(&bytes[done..], b"\"at\":") {
            let digits = &bytes[done + found + 5..];
            // the rest of this one has not come yet
            let Some(len) = memchr::memchr(b'}', digits) else { break };
            let at = std::str::from_utf8(&digits[..len]).ok().and_then(|text| text.parse::<f64>().ok());
            let mut seen = seen.borrow_mut();
            if opening.take().is_some() {
                seen.opened += 1;
                seen.first.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            if seen.is_counting {
                seen.late.push(now - at.ok_or_else(|| io::Error::other("an event without its time"))?);
            }
            done += found + 5 + len;
        }
        if bytes.ends_with(b"0\r\n\r\n") {
            return Ok(());
        }
        // what may be the beginning of the next event stays, unless the head of the answer is still to be looked at
        if opening.is_none() {
            let from = done.max(filled.saturating_sub(64));
            buffer.copy_within(from..filled, 0);
            filled -= from;
        } else if filled == buffer.len() {
            return Err(io::Error::other("no event in 4 KiB"));
        }
    }
}
