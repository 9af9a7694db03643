//! An upgrade: a new process of the program gets the listening sockets of this one, prepares, takes over what only one process may have,
//! and says that it serves. Until then this one serves as before, and does so for ever if the new one fails or hangs.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin_api::Handover;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::config;
use crate::engine::PersistentState;

use super::channel::Channel;
use super::given_sockets::Role;
use super::predecessor::{PREDECESSOR, words};

/// The program of this process, as it was started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

/// A socket that the new process gets: what it is for, the address in the YAML, and the socket.
pub(super) type Passed = (Role, SocketAddr, OwnedFd);

/// An upgrade that is under way.
pub(super) struct Upgrade {
    child: Arc<Mutex<Child>>,
    pid: u32,
    /// That the new process serves, or why it does not.
    done: oneshot::Receiver<Result<(), String>>,
    persistent: Arc<PersistentState>,
}

impl Program {
    /// The program of this process. To be asked before anything replaces its file: the path is that by which it was started, at which a
    /// new release is put, and not the file, which has none then.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let found = if Path::new(&name).components().count() > 1 {
            std::path::absolute(&name).ok()
        } else {
            in_path(Path::new(&name))
        };
        let path = found.map_or_else(std::env::current_exe, Ok)?;
        Ok(Self { path, name, arguments: arguments.collect() })
    }

    fn start(&self, channel: OwnedFd) -> Result<Child, String> {
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(&self.arguments);
        command.env(PREDECESSOR, std::process::id().to_string()).stdin(Stdio::from(channel));
        command.spawn().map_err(|error| format!("{} cannot be started: {error}", self.path.display()))
    }
}

/// The program of this name that the shell would start.
fn in_path(name: &Path) -> Option<PathBuf> {
    let path = config::variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Upgrade {
    /// Starts the new process, and leads it through its steps on a thread of its own. It may take `limit` for all of them.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Program,
        sockets: Vec<Passed>,
        limit: Duration,
        persistent: Arc<PersistentState>,
    ) -> Result<Self, String> {
        let (channel, other) = Channel::pair().map_err(|error| error.to_string())?;
        let child = program.start(other)?;
        let pid = child.id();
        info!(pid, program:% = program.path.display(); "upgrade: a new process starts");
        let child = Arc::new(Mutex::new(child));
        let (tell, done) = oneshot::channel();
        let (own, kept) = (child.clone(), persistent.clone());
        let lead = move || {
            let led = lead(&channel, sockets, Instant::now() + limit, &kept);
            if led.is_err() {
                end(&own);
                take_back(&kept);
            }
            // nobody waits for it any more
            let _ = tell.send(led);
        };
        if let Err(error) = std::thread::Builder::new().name("upgrade".into()).spawn(lead) {
            end(&child);
            return Err(format!("its thread cannot be started: {error}"));
        }
        Ok(Self { child, pid, done, persistent })
    }

    /// The new process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What came of it, if that is known already: as [`done`](Self::done) tells it, which is not to be asked then any more.
    pub fn try_done(&mut self) -> Option<Result<(), String>> {
        match self.done.try_recv() {
            Ok(done) => Some(done),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err("its thread panicked".into())),
        }
    }

    /// Has the new process, which serves, read its configuration again.
    pub fn reload(&self) {
        let pid = Pid::from_raw(self.pid.cast_signed());
        if let Err(error) = kill(pid, Signal::SIGHUP) {
            warn!(error:%, pid = self.pid; "the new process cannot be told to reload");
        }
    }

    /// The new process serves, and this one only waits for its end: one that ends leaves no zombie.
    pub fn let_go(self) {
        let reap = move || drop(lock(&self.child).wait());
        if let Err(error) = std::thread::Builder::new().name("upgraded".into()).spawn(reap) {
            warn!(error:%; "nobody waits for the end of the new process");
        }
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// Why it does not. It has ended then, and this process has everything back.
    pub async fn done(&mut self) -> Result<(), String> {
        (&mut self.done).await.unwrap_or_else(|_| Err("its thread panicked".into()))
    }

    /// Ends the new process, whatever it has come to, and waits until this one has everything back.
    pub async fn abandon(mut self) {
        end(&self.child);
        if self.done().await.is_ok() {
            take_back(&self.persistent);
        }
    }
}

/// Leads the new process through its steps.
fn lead(
    channel: &Channel,
    sockets: Vec<Passed>,
    deadline: Instant,
    persistent: &PersistentState,
) -> Result<(), String> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => "it is not ready in time".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            "it has ended".to_owned()
        }
        _ => error.to_string(),
    };
    let wait_for = |word: &str| {
        let message = channel.receive(deadline.saturating_duration_since(Instant::now())).map_err(gone)?;
        match message.text.strip_prefix(words::FAILED) {
            Some(why) => Err(why.to_owned()),
            None if message.text == word => Ok(()),
            None => Err(format!("it says `{}` where `{word}` was expected", message.text)),
        }
    };
    for (role, configured, socket) in &sockets {
        channel.send(&format!("{} {configured}", role.word()), Some(socket.as_fd())).map_err(gone)?;
    }
    drop(sockets);
    channel.send(words::SOCKETS, None).map_err(gone)?;
    wait_for(words::PREPARED)?;
    persistent.plugins.hand_over(Handover::Give)?;
    channel.send(words::YOURS, None).map_err(gone)?;
    wait_for(words::READY)
}

/// Takes back what the new process does not have.
pub(super) fn take_back(persistent: &PersistentState) {
    if let Err(why) = persistent.plugins.hand_over(Handover::TakeBack) {
        error!(why; "not everything could be taken back from the new process");
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the new process and waits for its end.
fn end(child: &Mutex<Child>) {
    let mut child = lock(child);
    // it may have ended already
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_finds_an_upgrade_that_is_done_has_failed_or_is_to_be_abandoned() {
        let upgrade = || {
            let child = Command::new("sleep").arg("1000").spawn().unwrap();
            let (tell, done) = oneshot::channel();
            let (pid, child) = (child.id(), Arc::new(Mutex::new(child)));
            (Upgrade { child, pid, done, persistent: Arc::default() }, tell)
        };
        for came in [Ok(()), Err("it has ended".to_owned())] {
            let (mut upgrade, tell) = upgrade();
            tell.send(came.clone()).unwrap();
            assert_eq!(upgrade.try_done(), Some(came));
            end(&upgrade.child);
        }
        let (mut pending, tell) = upgrade();
        assert_eq!(pending.try_done(), None);
        let child = pending.child.clone();
        let told = std::thread::spawn(move || {
            // as the thread that leads it finds the end of the channel
            while lock(&child).try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            tell.send(Err("it has ended".into())).unwrap();
        });
        pending.abandon().await;
        told.join().unwrap();
    }

    #[test]
    fn the_program_is_found_by_the_path_it_was_started_with() {
        let program = Program::of_this_process().unwrap();
        assert!(program.path.is_absolute() && program.path.is_file(), "{program:?}");
        assert!(in_path(Path::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(in_path(Path::new("no such program")), None);
    }
}
