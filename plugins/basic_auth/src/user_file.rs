//! A file of users that is read again when it changes, and the checking of passwords against it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use htpasswd::Users;
use log::{info, warn};
use plugin_api::{Shared, run_blocking};
use tokio::sync::Semaphore;
use watched_file::{Change, Fingerprint, Look, Unreadable, Watch, WatchedFile};

use crate::credentials::Credentials;
use crate::outcomes::{CredentialsDigest, Outcomes};

/// The longest file, in bytes.
const LONGEST: usize = 4 << 20;
/// Passwords that are checked at a time. The others wait, so that a flood of wrong ones leaves the cores to requests.
const AT_A_TIME: usize = 1;
/// Requests that wait for that, at most.
const MOST_WAITING: usize = 256;

/// The files of all configurations at work.
#[derive(Debug)]
pub struct UserFiles(Arc<Watch<UserFile>>);

impl Default for UserFiles {
    fn default() -> Self {
        Self(Arc::new(Watch::new("basic_auth")))
    }
}

impl Shared for UserFiles {}

impl UserFiles {
    /// The file at a path, which is watched from now on for as long as anybody has it.
    ///
    /// # Errors
    /// What is wrong with it, where it was not watched before.
    pub(crate) fn file(&self, path: &Path) -> Result<Arc<UserFile>, String> {
        self.0.file(|file| file.file.path() == path, || UserFile::open(path))
    }
}

/// The users of a file.
#[derive(Debug)]
pub(crate) struct UserFile {
    file: WatchedFile<Reading>,
    checks: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The users as they were read, and which passwords were right for them.
pub(crate) struct Reading {
    users: Users,
    outcomes: Outcomes,
}

/// Too many passwords wait to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl UserFile {
    fn open(path: &Path) -> Result<Self, String> {
        let file = WatchedFile::open(path, read)?;
        Ok(Self { file, checks: Arc::new(Semaphore::new(AT_A_TIME)), waiting: AtomicUsize::new(0) })
    }

    /// Whether there is such a user, where these very credentials were checked before.
    pub(crate) fn knew(&self, credentials: &Credentials) -> Option<bool> {
        let reading = self.file.contents();
        reading.outcomes.find(reading.outcomes.digest(credentials))
    }

    /// Whether there is a user of this name with this password. A password that was checked before costs a digest; others are checked
    /// beside the threads that serve, and those of users that do not exist take as long.
    ///
    /// # Errors
    /// Too many wait for that.
    pub(crate) async fn knows(&self, credentials: &Credentials) -> Result<bool, Busy> {
        let reading = Arc::clone(&self.file.contents());
        let digest = reading.outcomes.digest(credentials);
        if let Some(is_right) = reading.outcomes.find(digest) {
            return Ok(is_right);
        }
        let _waiting = Waiting::new(&self.waiting)?;
        let Ok(check) = self.checks.clone().acquire_owned().await else { return Err(Busy) };
        // another request with the same ones may have gone before
        if let Some(is_right) = reading.outcomes.find(digest) {
            return Ok(is_right);
        }
        let (name, password) = (credentials.name().to_owned(), credentials.password().to_owned());
        let checked = run_blocking(move || {
            let _check = check;
            reading.check(&name, &password, digest)
        });
        Ok(checked.await.unwrap_or(false))
    }
}

impl Look for UserFile {
    fn look(&self) -> bool {
        let path = self.file.path().display();
        match self.file.look() {
            Change::None => true,
            Change::Read(reading) => {
                info!(file:% = path, users = reading.users.len(); "users read again");
                true
            }
            Change::Failed(error) => {
                warn!(file:% = path, error; "users cannot be read again; those that were read last stay in force");
                false
            }
        }
    }
}

impl Reading {
    fn check(&self, name: &str, password: &[u8], digest: CredentialsDigest) -> bool {
        let is_right = match self.users.hash(name) {
            Some(hash) => hash.verify(password),
            None => {
                let _ = self.users.costliest().is_some_and(|hash| hash.verify(password));
                false
            }
        };
        self.outcomes.keep(digest, is_right);
        is_right
    }
}

/// A request that waits for its password to be checked.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Result<Self, Busy> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING { Ok(waiting) } else { Err(Busy) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The users of the file at a path.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub(crate) fn read(path: &Path) -> Result<(Reading, Fingerprint), String> {
    let name = path.display();
    let (bytes, fingerprint) = watched_file::read(path, LONGEST).map_err(|error| match error {
        Unreadable::System(_) => format!("{name}: {error}"),
        Unreadable::TooLong => format!("{name}: is longer than {LONGEST} bytes"),
    })?;
    let users = htpasswd::parse(&bytes).map_err(|error| format!("{name}:{}: {error}", error.line))?;
    if users.is_empty() {
        return Err(format!("{name}: has no users, so nobody could come in"));
    }
    let outcomes = Outcomes::new().map_err(|_| "the system has no random numbers".to_owned())?;
    Ok((Reading { users, outcomes }, fingerprint))
}
