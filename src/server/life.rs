//! The life of a gateway that has started: it reloads, reopens its logs, lets a new process take over, drains. Starts nothing itself.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info, warn};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::access_log::AccessLogs;
use crate::admin::{Readiness, ReloadRequest};

use super::admin_listener::{self, CurrentAdminListener};
use super::pid_file::PidFile;
use super::running::{Running, Stopped};
use super::signals::{Action, Signals, Stop};
use super::supervisor::Supervisor;
use super::upgrade::{self, Program, Upgrade};

/// How long connections that are idle stay open once a new process serves. A client that uses one meanwhile is told in the answer that it
/// closes; one that is closed while a request is on its way to it would make that request fail.
const IDLE_AFTER_UPGRADE: Duration = Duration::from_secs(5);

/// A gateway that serves.
pub(super) struct Life {
    pub running: Running,
    pub signals: Signals,
    pub reloads: mpsc::Receiver<ReloadRequest>,
    pub readiness: Arc<Readiness>,
    pub supervisor: Supervisor,
    pub program: Program,
    pub admin_listener: CurrentAdminListener,
    /// Ends the admin listener.
    pub stop_admin: CancellationToken,
    /// Held until the process ends.
    pub pid_file: Option<PidFile>,
}

/// Why a gateway drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// A signal asks for it.
    Stop,
    /// Another process serves.
    Upgraded,
    /// Another process serves, and a signal has asked this one for it, too.
    UpgradedAndStopped,
}

/// What happened.
enum Event {
    Signal(Action),
    ReloadRequest(ReloadRequest),
    Upgraded(Result<(), String>),
}

impl Life {
    /// Serves until the end, and tells how that was.
    pub async fn live(mut self) -> (Running, Stopped) {
        let mut upgrading: Option<Upgrade> = None;
        // what is asked for during an upgrade, whose sockets are those of this configuration
        let mut reload_later = false;
        let stopped = loop {
            let event = tokio::select! {
                action = self.signals.recv() => Event::Signal(action),
                Some(request) = self.reloads.recv(), if upgrading.is_none() => Event::ReloadRequest(request),
                upgraded = done(&mut upgrading) => Event::Upgraded(upgraded),
                () = self.running.follow_certificates() => continue,
            };
            let stop = match event {
                Event::Signal(Action::Stop(stop)) => Some(stop),
                Event::Signal(Action::Reload) if upgrading.is_some() => {
                    info!("the reload waits for the end of the upgrade");
                    reload_later = true;
                    None
                }
                Event::Signal(Action::Reload) => self.reload(None).await,
                Event::Signal(Action::ReopenLogs) => {
                    self.reopen_logs();
                    None
                }
                Event::Signal(Action::Upgrade) => {
                    self.upgrade(&mut upgrading);
                    None
                }
                Event::ReloadRequest(request) => self.reload(Some(request)).await,
                Event::Upgraded(Ok(())) => {
                    if let Some(upgrade) = upgrading.take() {
                        self.give_way(upgrade, reload_later).await;
                        break self.drain(Drain::Upgraded).await;
                    }
                    None
                }
                Event::Upgraded(Err(why)) => {
                    upgrading = None;
                    self.restore_pid_file();
                    error!(why; "upgrade failed; this process serves on");
                    if std::mem::take(&mut reload_later) { self.reload(None).await } else { None }
                }
            };
            let Some(stop) = stop else { continue };
            let mut drain = Drain::Stop;
            if let Some(mut upgrade) = upgrading.take() {
                match upgrade.try_done() {
                    // it has requests of its own, and may have had the same signal
                    Some(Ok(())) => {
                        self.give_way(upgrade, reload_later).await;
                        drain = Drain::UpgradedAndStopped;
                    }
                    Some(Err(why)) => {
                        error!(why; "upgrade failed; this process stops");
                        self.restore_pid_file();
                    }
                    None => {
                        info!("the upgrade is given up");
                        upgrade.abandon().await;
                        self.restore_pid_file();
                    }
                }
            }
            if drain == Drain::Stop {
                self.supervisor.stopping();
            }
            break match stop {
                Stop::Now => {
                    info!("interrupted; running requests are cut");
                    Stopped::Cut
                }
                Stop::Drain => self.drain(drain).await,
            };
        };
        (self.running, stopped)
    }

    /// Reloads the configuration and reopens the logs, whether or not it is valid. Returns a signal to stop that came meanwhile.
    async fn reload(&mut self, request: Option<ReloadRequest>) -> Option<Stop> {
        self.supervisor.reloading();
        let persistent = self.running.persistent();
        // a reload may wait for names, a stop does not wait for the reload
        let (reloaded, stop) = {
            let mut reload = pin!(self.running.reload());
            loop {
                tokio::select! {
                    reloaded = &mut reload => break (Some(reloaded), None),
                    action = self.signals.recv() => match action {
                        Action::Stop(stop) => break (None, Some(stop)),
                        Action::ReopenLogs => reopen(&persistent.access_logs),
                        Action::Upgrade => warn!("a reload is under way; the upgrade is not begun"),
                        // what it would read is being read
                        Action::Reload => info!("a reload is under way already"),
                    }
                }
            }
        };
        if reloaded.as_ref().is_some_and(Result::is_err) {
            // a new configuration has opened its own
            self.reopen_logs();
        }
        if let (Some(request), Some(reloaded)) = (request, reloaded) {
            // the operator may have disconnected
            let _ = request.send(reloaded);
        }
        self.supervisor.ready();
        stop
    }

    fn reopen_logs(&self) {
        reopen(&self.running.persistent().access_logs);
    }

    /// Begins an upgrade, unless one is under way or none is possible.
    fn upgrade(&self, upgrading: &mut Option<Upgrade>) {
        if upgrading.is_some() {
            warn!("an upgrade is under way already; USR2 begins no other");
            return;
        }
        if std::process::id() == 1 {
            warn!("this is process 1, with which its container ends; replace the container in the place of an upgrade");
            return;
        }
        match self.begin_upgrade() {
            Ok(upgrade) => *upgrading = Some(upgrade),
            Err(why) => error!(why; "upgrade failed; this process serves on"),
        }
    }

    fn begin_upgrade(&self) -> Result<Upgrade, String> {
        let mut sockets = self.running.listeners().passed().map_err(|error| error.to_string())?;
        if let Some(admin) = &*admin_listener::lock(&self.admin_listener) {
            sockets.push(admin.passed().map_err(|error| error.to_string())?);
        }
        Upgrade::start(&self.program, sockets, self.running.upgrade_timeout(), self.running.persistent())
    }

    /// Another process serves: this one is nobody to ask any more. A reload that was asked for meanwhile is that one's.
    async fn give_way(&mut self, upgrade: Upgrade, reload: bool) {
        let pid = upgrade.pid();
        let mut reload = reload;
        // those that asked by HTTP are told that this process does none any more
        self.reloads.close();
        while self.reloads.try_recv().is_ok() {
            reload = true;
        }
        info!(pid; "upgrade done: the new process serves, this one drains");
        self.supervisor.main_process_is(pid);
        self.stop_admin.cancel();
        *admin_listener::lock(&self.admin_listener) = None;
        if reload {
            upgrade.reload();
        }
        upgrade.let_go();
        // the new configuration may name another journal
        let persistent = self.running.persistent();
        let taking_back = tokio::task::spawn_blocking(move || upgrade::take_back(&persistent));
        let _ = taking_back.await;
    }

    /// A process that was to take over may have put its own in its place.
    fn restore_pid_file(&self) {
        if let Some(file) = &self.pid_file {
            file.restore();
        }
    }

    /// Stops accepting and waits for running requests. A signal to stop, while it stops, cuts them.
    async fn drain(&mut self, why: Drain) -> Stopped {
        let mut idle = IDLE_AFTER_UPGRADE;
        if why == Drain::Stop {
            idle = Duration::ZERO;
            self.readiness.set_draining();
            if let Some(stopped) = self.wait_for_load_balancers().await {
                return stopped;
            }
            info!("stopping; running requests may end");
        }
        let Self { running, signals, .. } = self;
        let persistent = running.persistent();
        let insist = async {
            // one that was not asked to stop yet is stopping already
            let mut is_asked = why != Drain::Upgraded;
            loop {
                match signals.recv().await {
                    Action::Stop(Stop::Drain) if !is_asked => {
                        info!("this process drains already; another signal cuts what still runs");
                        is_asked = true;
                    }
                    Action::Stop(_) => return,
                    Action::Reload | Action::ReopenLogs => reopen(&persistent.access_logs),
                    Action::Upgrade => warn!("this process stops; USR2 does nothing"),
                }
            }
        };
        let stopped = running.stop(idle, insist).await;
        match stopped {
            Stopped::Drained => info!("gateway stopped; every request had its end"),
            Stopped::Cut => warn!("gateway stopped; running requests were cut"),
        }
        stopped
    }

    /// Serves on for `readiness_delay` while `/readyz` says otherwise. Another signal to stop cuts all that runs.
    async fn wait_for_load_balancers(&mut self) -> Option<Stopped> {
        let delay = self.running.readiness_delay();
        if delay.is_zero() {
            return None;
        }
        info!(seconds = delay.as_secs(); "stopping: not ready any more; the listeners close after readiness_delay");
        self.running.close_connections();
        let mut delayed = pin!(tokio::time::sleep(delay));
        loop {
            tokio::select! {
                () = &mut delayed => return None,
                action = self.signals.recv() => match action {
                    Action::Stop(_) => {
                        warn!("gateway stopped; running requests were cut");
                        return Some(Stopped::Cut);
                    }
                    Action::Reload | Action::ReopenLogs => self.reopen_logs(),
                    Action::Upgrade => warn!("this process stops; USR2 does nothing"),
                }
            }
        }
    }
}

/// Waits for the end of an upgrade, if there is one.
async fn done(upgrading: &mut Option<Upgrade>) -> Result<(), String> {
    match upgrading {
        Some(upgrade) => upgrade.done().await,
        None => std::future::pending().await,
    }
}

fn reopen(access_logs: &AccessLogs) {
    match access_logs.reopen() {
        Ok(()) => info!("logs reopened"),
        Err(error) => warn!(error:%; "the access log cannot be reopened; the old file stays in use"),
    }
}
