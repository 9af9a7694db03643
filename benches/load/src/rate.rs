//! Calls at a fixed rate over open connections, each of a thread that blocks: no runtime's timer is in what is measured.
//!
//! The loop is open: a call is due at a time that does not depend on earlier answers. One that leaves late because its
//! connection was still busy is timed from when it was due, so that a slow answer is not hidden by the calls it held up
//! (coordinated omission). One that leaves on time is timed from when it left.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use serde_json::json;

use crate::http::{self, Request, Template};
use crate::percentiles::percentiles;
use crate::random::Random;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls are sent before they count.
const WARM_UP: Duration = Duration::from_millis(500);

/// What it sends.
#[derive(clap::Args)]
pub struct Settings {
    #[command(flatten)]
    request: Request,
    /// Calls a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Connections that they are spread over.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// For how long.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A file for what became of each call: its number, and its status, or 0 where its answer did not come.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// Sends, then prints `{"calls":…,"sent":…,"broken":…,"refused":…,"p50":…}`, in microseconds.
pub fn run(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let template = settings.request.template()?;
    let gap = Duration::from_secs_f64(f64::from(settings.connections) / settings.rate);
    let begin = Instant::now() + Duration::from_millis(100);
    let threads: Vec<_> = (0..settings.connections)
        .map(|index| {
            let call = template.clone();
            let calls = Calls {
                address: settings.request.address,
                gap,
                // connections take turns
                begin: begin + gap.mul_f64(f64::from(index) / f64::from(settings.connections)),
                until: begin + WARM_UP + Duration::from_secs_f64(settings.seconds),
                counted: begin + WARM_UP,
                number: settings.request.from + (u64::from(index) << 24),
            };
            thread::spawn(move || calls.run(call))
        })
        .collect();
    let (mut micros, mut sent) = (Vec::new(), Vec::new());
    for thread in threads {
        let results = thread.join().map_err(|_| "a thread panicked")?;
        micros.extend(results.micros);
        sent.extend(results.sent);
    }
    if let Some(file) = &settings.results {
        let lines: String = sent.iter().map(|(number, status)| format!("{number:012} {status}\n")).collect();
        fs::write(file, lines)?;
    }
    let of = |wanted: fn(u16) -> bool| sent.iter().filter(|(_, status)| wanted(*status)).count();
    let (broken, refused) = (of(|status| status == 0), of(|status| status != 0 && status != 200));
    let calls = micros.len();
    let mut figures = percentiles(micros);
    for (name, count) in [("calls", calls), ("sent", sent.len()), ("broken", broken), ("refused", refused)] {
        figures[name] = json!(count);
    }
    writeln!(io::stdout(), "{figures}")?;
    Ok(())
}

/// The calls of one connection.
struct Calls {
    address: SocketAddr,
    gap: Duration,
    begin: Instant,
    counted: Instant,
    until: Instant,
    number: u64,
}

#[derive(Default)]
struct Results {
    micros: Vec<f64>,
    sent: Vec<(u64, u16)>,
}

impl Calls {
    fn run(&self, mut template: Template) -> Results {
        // The system may else wake a thread 50 µs late.
        let _ = prctl::set_timerslack(1);
        let mut results = Results::default();
        let mut random = Random::new(self.number);
        let mut connection: Option<TcpStream> = None;
        for turn in 0_u32.. {
            // somewhere in its slot, so that connections do not fall into step
            let due = self.begin + self.gap.mul_f64(f64::from(turn) + random.share());
            if due >= self.until {
                break;
            }
            let wait = due.saturating_duration_since(Instant::now());
            let is_late = wait.is_zero();
            thread::sleep(wait);
            let from = if is_late { due } else { Instant::now() };
            let number = self.number + u64::from(turn);
            let answered = (|| {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => connect(self.address)?,
                };
                let status = exchange(&mut open, template.numbered(number))?;
                // one that refuses may close
                connection = (status == 200).then_some(open);
                io::Result::Ok(status)
            })();
            if due >= self.counted && matches!(answered, Ok(200)) {
                results.micros.push(from.elapsed().as_secs_f64() * 1e6);
            }
            results.sent.push((number, answered.unwrap_or(0)));
        }
        results
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// One call, and its answer to the end; gives its status.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    stream.write_all(request)?;
    let mut buffer = [0; 16 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
        let Some(head) = http::head(&buffer[..filled], true)? else { continue };
        let body = head.body.ok_or_else(|| io::Error::other("a chunked answer"))?;
        if filled >= head.len + body {
            return Ok(head.status);
        }
    }
}
