//! A file of users that is read again when it changes, and the checking of passwords against it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture, WeakShared};
use htpasswd::Users;
use log::{info, warn};
use plugin_api::{Shared, run_blocking};
use watched_file::{Change, Fingerprint, Look, Unreadable, Watch, WatchedFile};

use crate::credentials::Credentials;
use crate::outcomes::{CredentialsDigest, Outcomes};
use crate::queue::{Busy, Place, Queue};

/// The longest file, in bytes.
const LONGEST: usize = 4 << 20;

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
    file: WatchedFile<CheckedUsers>,
    queue: Arc<Queue>,
    /// The checks that wait or run: requests with the same credentials wait for the same one.
    running: Mutex<HashMap<CredentialsDigest, WeakShared<Check>>>,
}

/// Whether credentials are right, as soon as they are checked.
type Check = BoxFuture<'static, Result<bool, Busy>>;

/// The users as they were read, and what came of the passwords that were checked against them.
pub(crate) struct CheckedUsers {
    users: Users,
    outcomes: Outcomes,
}

impl UserFile {
    fn open(path: &Path) -> Result<Self, String> {
        Ok(Self { file: WatchedFile::open(path, read)?, queue: Arc::default(), running: Mutex::default() })
    }

    /// Whether there is such a user, where these very credentials were checked before.
    pub(crate) fn knew(&self, credentials: &Credentials) -> Option<bool> {
        let users = self.file.contents();
        users.outcomes.find(credentials.name(), users.outcomes.digest(credentials))
    }

    /// Whether there is a user of this name with this password. A password that was checked before costs a digest; others are checked
    /// beside the threads that serve, and those of users that do not exist take as long.
    ///
    /// # Errors
    /// Too many wait for that, or it would take too long.
    pub(crate) async fn knows(&self, credentials: &Credentials, client: Option<IpAddr>) -> Result<bool, Busy> {
        let users = Arc::clone(&self.file.contents());
        let digest = users.outcomes.digest(credentials);
        if let Some(is_right) = users.outcomes.find(credentials.name(), digest) {
            return Ok(is_right);
        }
        self.check(users, credentials, digest, client)?.await
    }

    /// The check of these credentials: the one that waits or runs already, or another.
    fn check(
        &self,
        users: Arc<CheckedUsers>,
        credentials: &Credentials,
        digest: CredentialsDigest,
        client: Option<IpAddr>,
    ) -> Result<SharedFuture<Check>, Busy> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = running.get(&digest).and_then(WeakShared::upgrade) {
            return Ok(check);
        }
        let place = self.queue.enter(client)?;
        let (name, password) = (credentials.name().into(), credentials.password().into());
        let check = check(users, name, password, digest, place).boxed().shared();
        // as many as may wait, at most
        running.retain(|_, check| check.upgrade().is_some());
        running.extend(check.downgrade().map(|check| (digest, check)));
        Ok(check)
    }
}

/// Checks a password when it is its turn.
async fn check(
    users: Arc<CheckedUsers>,
    name: Box<str>,
    password: Box<[u8]>,
    digest: CredentialsDigest,
    place: Place,
) -> Result<bool, Busy> {
    let turn = place.turn().await?;
    // another check of the same ones may have ended just before this one was made
    if let Some(is_right) = users.outcomes.find(&name, digest) {
        return Ok(is_right);
    }
    let checked = run_blocking(move || {
        let _turn = turn;
        users.check(&name, &password, digest)
    });
    Ok(checked.await.unwrap_or(false))
}

impl Look for UserFile {
    fn look(&self) -> bool {
        let path = self.file.path().display();
        match self.file.look() {
            Change::None => true,
            Change::Read(read) => {
                info!(file:% = path, users = read.users.len(); "users read again");
                true
            }
            Change::Failed(error) => {
                warn!(file:% = path, error; "users cannot be read again; those that were read last stay in force");
                false
            }
        }
    }
}

impl CheckedUsers {
    fn check(&self, name: &str, password: &[u8], digest: CredentialsDigest) -> bool {
        let is_right = match self.users.hash(name) {
            Some(hash) => hash.verify(password),
            None => {
                let _ = self.users.costliest().is_some_and(|hash| hash.verify(password));
                false
            }
        };
        self.outcomes.keep(name, digest, is_right);
        is_right
    }
}

/// The users of the file at a path.
///
/// # Errors
/// What is wrong with it, in words for whoever wrote it.
pub(crate) fn read(path: &Path) -> Result<(CheckedUsers, Fingerprint), String> {
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
    Ok((CheckedUsers { users, outcomes }, fingerprint))
}
