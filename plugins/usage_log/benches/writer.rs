//! The whole writer at a steady rate: from the end of a request over its row, the journal and the shipper to the database.
//! `cargo bench -p usage_log --bench writer -- URL [ROWS_A_SECOND [SECONDS]]`, against an empty database that is not needed
//! any more.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that fails is of no use")]

#[path = "sample/exchange.rs"]
mod exchange;
#[path = "sample/folder.rs"]
mod folder;
#[path = "sample/metrics.rs"]
mod metrics;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugin_api::{BuildContext, Plugin as _, Shared as _};
use usage_log::{Config, Ledgers, UsageLog};

use exchange::end;
use folder::Folder;
use metrics::Metrics;

/// How often rows come, in bunches: a timer cannot wait for each.
const TICK: Duration = Duration::from_millis(5);
/// How long the last rows may take to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let url = arguments.next().expect("the URL of an empty database");
    let mut number = |or: u32| arguments.next().map_or(or, |number| number.parse().expect("a number"));
    let (rate, seconds) = (number(10_000), number(20));
    let folder = Folder::new();
    let ledgers = Arc::new(Ledgers::default());
    let config = Config { database: url.parse().expect("a URL"), ..Config::default() };
    let plugin = UsageLog::build(
        &config,
        &BuildContext {
            base: folder.path(),
            shared: &ledgers,
            secrets: &Default::default(),
            common: &Default::default(),
        },
    )
    .expect("a journal");
    plugin.activate();
    let metrics = Metrics::new(&ledgers);
    // connecting and making the schema is no part of it
    end(&plugin, 0);
    metrics.until("tollgate_ledger_rows_total", 1);

    let (begun, cpu, mut peak) = (Instant::now(), Cpu::now(), (0.0_f64, 0.0_f64));
    let all = u64::from(rate) * u64::from(seconds);
    let mut made = 0;
    while made < all {
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while made < due.min(all) {
            made += 1;
            end(&plugin, made);
        }
        peak.0 = peak.0.max(metrics.of("tollgate_ledger_journal_bytes"));
        peak.1 = peak.1.max(metrics.of("tollgate_ledger_queue_rows"));
        thread::sleep(TICK);
    }
    let asked = begun.elapsed();
    let left = metrics.of("tollgate_ledger_queue_rows");
    metrics.until("tollgate_ledger_rows_total", all + 1);
    let (took, spent) = (begun.elapsed(), cpu.since());
    let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / took.as_secs_f64();
    println!(
        "{all} rows in {:.2} s, {left} still to come then; all in the database after {:.2} s: {:.0} rows/s",
        asked.as_secs_f64(),
        took.as_secs_f64(),
        all as f64 / took.as_secs_f64(),
    );
    println!(
        "the ledger's thread: {:.1} % of a core, {:.1} µs a row; requests' side: {:.1} % of a core, {:.1} µs a row",
        share(spent.ledger),
        spent.ledger.as_secs_f64() * 1e6 / all as f64,
        share(spent.requests),
        spent.requests.as_secs_f64() * 1e6 / all as f64,
    );
    println!(
        "at its peak the journal had {:.1} MB and {} rows; {} were lost",
        peak.0 / 1e6,
        peak.1,
        metrics.of("tollgate_ledger_lost_total")
    );
    ledgers.finish(Instant::now() + DEADLINE);
}

/// Time on a processor: of the thread that ships, and of the one that ends requests.
struct Cpu {
    ledger: Duration,
    requests: Duration,
}

impl Cpu {
    fn now() -> Self {
        let mut threads = fs::read_dir("/proc/self/task").expect("threads").flatten().map(|thread| thread.path());
        let named = |thread: &PathBuf| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "ledger\n");
        let ledger = threads.find(named).expect("the ledger's thread");
        Self { ledger: ran(&ledger), requests: ran(Path::new("/proc/thread-self")) }
    }

    fn since(&self) -> Self {
        let now = Self::now();
        Self { ledger: now.ledger - self.ledger, requests: now.requests - self.requests }
    }
}

/// How long a thread has run, to the nanosecond (`schedstat` in proc(5)).
fn ran(thread: &Path) -> Duration {
    let told = fs::read_to_string(thread.join("schedstat")).expect("what the thread used");
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds"))
}
