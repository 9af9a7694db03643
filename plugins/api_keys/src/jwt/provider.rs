//! The keys of a provider, read again in the background by a thread of their own. What was read last stays in force while the provider
//! is away.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http_client::HttpClient;
use log::{info, warn};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Source;
use super::key_set::ProviderKeys;

/// The largest document.
const LARGEST: usize = 1 << 20;
/// How long a provider may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a file is read again, and the thread looks whether it is still needed.
const TICK: Duration = Duration::from_secs(1);
/// The longest pause after a failure; the first is one tick.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Tokens with keys that nobody knows make the keys be read again no more often.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The keys of a provider.
pub(super) struct Provider {
    source: Source,
    refresh: Duration,
    keys: ArcSwapOption<ProviderKeys>,
    /// How often they were read, well or not.
    attempts: watch::Sender<u64>,
    /// They are to be read now.
    wanted: Arc<Notify>,
    state: Mutex<State>,
    on_change: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    /// What was read last.
    document: Vec<u8>,
    /// When they were last asked for out of turn, and after how many attempts.
    asked: Option<(Instant, u64)>,
    /// Since when they cannot be read.
    stale: Option<Instant>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Provider {
    /// The keys at a source, which need not be there if it is a URL. `on_change` is told when there are others.
    ///
    /// # Errors
    /// A file cannot be read, or there is no thread to be had.
    pub(super) fn start(
        source: Source,
        refresh: Duration,
        on_change: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<Self>, String> {
        let provider = Arc::new(Self {
            source,
            refresh,
            keys: ArcSwapOption::empty(),
            attempts: watch::Sender::new(0),
            wanted: Arc::default(),
            state: Mutex::default(),
            on_change,
        });
        if let Source::File(path) = &provider.source {
            provider.take(read_file(path)?)?;
        }
        let weak = Arc::downgrade(&provider);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("its runtime cannot be started: {error}"))?;
        let spawned = thread::Builder::new().name("jwks".to_owned()).spawn(move || runtime.block_on(run(weak)));
        spawned.map_err(|error| format!("its thread cannot be started: {error}"))?;
        Ok(provider)
    }

    pub(super) fn is_of(&self, source: &Source) -> bool {
        self.source == *source
    }

    /// The keys in force; `None` if none were ever read.
    pub(super) fn keys(&self) -> Option<Arc<ProviderKeys>> {
        self.keys.load_full()
    }

    /// Whether these are the keys in force.
    pub(super) fn has(&self, keys: Option<&Arc<ProviderKeys>>) -> bool {
        let now = self.keys.load();
        matches!((&*now, keys), (Some(now), Some(keys)) if Arc::ptr_eq(now, keys))
    }

    pub(super) fn stale_for(&self) -> Duration {
        self.state().stale.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits for the first attempt to read them.
    pub(super) async fn first(&self, limit: Duration) {
        let mut attempts = self.attempts.subscribe();
        // what came of it shows in the keys
        let _ = timeout(limit, attempts.wait_for(|attempts| *attempts > 0)).await;
    }

    /// Has them read again, unless that was done a moment ago, and waits for it.
    pub(super) async fn again(&self, limit: Duration) {
        let mut attempts = self.attempts.subscribe();
        let before = {
            let mut state = self.state();
            match state.asked {
                Some((when, before)) if when.elapsed() < AGAIN_AFTER => before,
                _ => {
                    let before = *attempts.borrow_and_update();
                    state.asked = Some((Instant::now(), before));
                    self.wanted.notify_one();
                    before
                }
            }
        };
        // what came of it shows in the keys
        let _ = timeout(limit, attempts.wait_for(|attempts| *attempts > before)).await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads them once; whether that went well.
    async fn read(&self, client: &HttpClient) -> bool {
        let document = match &self.source {
            Source::File(path) => read_file(path),
            Source::Url(url) => {
                let document = client.get(url, LARGEST, FETCH_TIMEOUT).await;
                document.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
            }
        };
        let taken = document.and_then(|document| self.take(document));
        let mut state = self.state();
        match &taken {
            Ok(()) => state.stale = None,
            Err(why) if state.stale.is_none() => {
                warn!(why; "the keys for tokens cannot be read; those that were read last stay in force");
                state.stale = Some(Instant::now());
            }
            Err(_) => {}
        }
        drop(state);
        self.attempts.send_modify(|attempts| *attempts += 1);
        taken.is_ok()
    }

    /// Puts the keys of a document in force, if they are others.
    fn take(&self, document: Vec<u8>) -> Result<(), String> {
        if self.keys.load().is_some() && self.state().document == document {
            return Ok(());
        }
        let keys = ProviderKeys::parse(&document)?;
        info!(keys = keys.len(); "keys for tokens read");
        self.keys.store(Some(Arc::new(keys)));
        self.state().document = document;
        (self.on_change)();
        Ok(())
    }
}

/// The document in a file, if it is one with keys.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut document = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut document));
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    if document.len() > LARGEST {
        return Err(format!("{}: it is longer than {LARGEST} bytes", path.display()));
    }
    ProviderKeys::parse(&document).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(document)
}

/// Reads the keys of a provider for as long as anybody has it.
async fn run(provider: Weak<Provider>) {
    let client = HttpClient::new();
    let mut pause = TICK;
    loop {
        let Some(current) = provider.upgrade() else { return };
        let is_read = current.read(&client).await;
        let (refresh, wanted) = (current.refresh, current.wanted.clone());
        let is_file = matches!(current.source, Source::File(_));
        drop(current);
        let wait = match (is_file, is_read) {
            (true, _) => TICK,
            (false, true) => refresh,
            (false, false) => pause.min(refresh),
        };
        pause = if is_read { TICK } else { (2 * pause).min(LONGEST_PAUSE) };
        let next = Instant::now() + wait;
        while Instant::now() < next && provider.strong_count() > 0 {
            let left = next.saturating_duration_since(Instant::now());
            if timeout(left.min(TICK), wanted.notified()).await.is_ok() {
                break;
            }
        }
    }
}
