//! The signals of the process: what nginx's scripts send. Decides nothing but their meaning.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for anything but a stop. Without a handler each ends the process, and a script may send one to all gateways there
/// are: they are handled from the start of the process.
pub(super) struct EarlySignals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

/// All signals that the gateway handles. One to stop ends the process at once before.
pub(super) struct Signals {
    early: EarlySignals,
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

impl EarlySignals {
    /// Registers the handlers. Must run within a runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }
}

impl Signals {
    /// Registers the other handlers.
    ///
    /// # Errors
    /// The system's.
    pub fn new(early: EarlySignals) -> io::Result<Self> {
        Ok(Self {
            early,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. One that comes while nobody waits is not lost.
    pub async fn recv(&mut self) -> Action {
        tokio::select! {
            _ = self.early.hangup.recv() => Action::Reload,
            _ = self.early.user1.recv() => Action::ReopenLogs,
            _ = self.early.user2.recv() => Action::Upgrade,
            _ = self.terminate.recv() => Action::Stop(Stop::Drain),
            _ = self.quit.recv() => Action::Stop(Stop::Drain),
            _ = self.interrupt.recv() => Action::Stop(Stop::Now),
        }
    }
}
