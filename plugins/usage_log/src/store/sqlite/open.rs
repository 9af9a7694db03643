//! Connections to a file of `SQLite`'s as the settings want them. None is made here.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

use crate::PoolSettings;
use crate::store::open;

/// How long a transaction of `SQLite` waits for another.
const BUSY: Duration = Duration::from_secs(5);

/// What a connection that writes keeps of the file in memory, in KiB: the pages that a batch changes, so that none is written twice.
const CACHE: &str = "-4096";
/// The pages of a new file, in bytes. A batch appends to most of what it changes: larger pages are fewer writes.
const PAGE: u32 = 8192;
/// So many pages are written beside the file before they are copied into it, which makes that 32 MiB long, half of it where a file of an earlier
/// release has smaller pages: an index changes the same pages again and again, and each is copied once.
const CHECKPOINT: &str = "4000";

/// Connections to a file that is only read.
pub(crate) fn to_read(path: &Path, settings: &PoolSettings) -> SqlitePool {
    open::pool(settings).connect_lazy_with(file(path).read_only(true))
}

/// Connections to a file that is made where there is none. What is committed is on the disk, since the journal forgets it.
pub(super) fn to_write(path: &Path, settings: &PoolSettings) -> SqlitePool {
    // the engine would make it readable by all, and gives its own files beside it the mode of this one; what keeps it from being
    // created is told by the engine
    let _ = private_files::options().write(true).create_new(true).open(path);
    let options = file(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    // what a statement may have to take back is kept in memory: else each that adds to the sums makes a file and deletes it
    let options = options.page_size(PAGE).pragma("cache_size", CACHE).pragma("temp_store", "MEMORY");
    let options = options.pragma("wal_autocheckpoint", CHECKPOINT);
    open::pool(settings).connect_lazy_with(options)
}

fn file(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}
