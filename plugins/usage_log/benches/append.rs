//! What the end of a request costs its own thread: the row made of it and written to the journal, by several threads at once.
//! `cargo bench -p usage_log --bench append`. The database is a file that the shipper cannot make, so it takes no part.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that fails is of no use")]

#[path = "sample/exchange.rs"]
mod exchange;
#[path = "sample/folder.rs"]
mod folder;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugin_api::{BuildContext, ByteSize, Plugin as _};
use usage_log::{Config, Database, Ledgers, UsageLog};

use exchange::end;
use folder::Folder;

/// Requests that each thread ends.
const EACH: u64 = 50_000;
/// More than they all write.
const PLENTY: ByteSize = ByteSize::mebibytes(2048);

fn main() {
    for threads in [1, 2, 4, 8] {
        let folder = Folder::new();
        let ledgers = Arc::new(Ledgers::default());
        let mut config = Config { database: Database::Sqlite("/dev/null/no.db".into()), ..Config::default() };
        config.journal.path = Some("journal".into());
        config.journal.max_bytes = PLENTY;
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
        let began = Instant::now();
        let mut took: Vec<Duration> = thread::scope(|scope| {
            let ending = |_| {
                scope.spawn(|| {
                    let timed = |number| {
                        let began = Instant::now();
                        end(&plugin, number);
                        began.elapsed()
                    };
                    (0..EACH).map(timed).collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = (0..threads).map(ending).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread that ends")).collect()
        });
        let all = began.elapsed();
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        println!(
            "{threads} threads: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}; {:.0} requests/s",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            took.len() as f64 / all.as_secs_f64(),
        );
    }
}
