//! The signals of the process: what nginx's scripts send. Decides nothing but their meaning.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// All signals that the gateway handles.
pub(super) struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Reload the configuration, and reopen the logs.
    Reload,
    /// Reopen the logs.
    ReopenLogs,
    /// Let a new process take over.
    Upgrade,
    /// Stop.
    Stop(Stop),
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// When running requests have ended.
    Drain,
    /// At once.
    Now,
}

impl Signals {
    /// Registers the handlers.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. One that comes while nobody waits is not lost.
    pub async fn recv(&mut self) -> Action {
        tokio::select! {
            _ = self.hangup.recv() => Action::Reload,
            _ = self.user1.recv() => Action::ReopenLogs,
            _ = self.user2.recv() => Action::Upgrade,
            _ = self.terminate.recv() => Action::Stop(Stop::Drain),
            _ = self.quit.recv() => Action::Stop(Stop::Drain),
            _ = self.interrupt.recv() => Action::Stop(Stop::Now),
        }
    }
}
