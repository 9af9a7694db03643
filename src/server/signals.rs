//! The signals of the process: what nginx's scripts send. Decides nothing but their meaning.

use std::io;

use arc_swap::ArcSwap;
use log::{info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::Snapshot;

/// All signals that the gateway handles.
pub(super) struct Signals {
    /// Reload.
    pub hangup: Signal,
    pub stop: StopSignals,
    pub others: OtherSignals,
}

/// The signals that stop the gateway.
pub(super) struct StopSignals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

/// The signals that neither stop nor reload it.
pub(super) struct OtherSignals {
    reopen: Signal,
    upgrade: Signal,
}

/// How to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
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
        let stop = StopSignals {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let others = OtherSignals {
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
        };
        Ok(Self { hangup: signal(SignalKind::hangup())?, stop, others })
    }
}

impl StopSignals {
    pub async fn recv(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Drain,
            _ = self.quit.recv() => Stop::Drain,
            _ = self.interrupt.recv() => Stop::Now,
        }
    }
}

impl OtherSignals {
    /// Waits for the next signal and does what it asks for.
    pub async fn recv(&mut self, snapshot: &ArcSwap<Snapshot>) {
        tokio::select! {
            _ = self.reopen.recv() => match snapshot.load().access_log.reopen() {
                Ok(()) => info!("logs reopened"),
                Err(error) => warn!(error:%; "the access log cannot be reopened; the old file stays in use"),
            },
            _ = self.upgrade.recv() => {
                warn!("USR2 does nothing: a binary cannot be replaced in place yet; start the new one beside this one");
            }
        }
    }
}
