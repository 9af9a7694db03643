//! The gateway's listeners: opened all together or not at all, and kept across reloads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use located_yaml::{Located, Location};
use log::{info, warn};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use watched_file::Appearance;

use crate::metrics::{CertificateFigures, Metrics};

use super::given_sockets::{GivenSockets, Role};
use super::listener::{self, Listener, Options, Service};
use super::listener_tls::{ListenerTls, TlsFaults};
use super::upgrade::Passed;
use crate::settings::{ListenerSettings, TlsSettings};

/// A problem that shows only when the configuration is put to work: its place in the file, the setting's path, and what
/// is wrong.
pub type ConfigProblem = (Location, String, String);

/// The open listeners, in the order of the YAML.
#[derive(Default)]
pub struct Listeners {
    open: Vec<Open>,
    /// The accept loops, those of listeners that were removed included.
    accepting: JoinSet<()>,
}

/// Listeners ready to serve: everything that can fail has succeeded.
pub struct Prepared(Vec<Ready>);

struct Ready {
    settings: ListenerSettings,
    tls: Option<ListenerTls>,
    /// `None` where an open listener already serves this address.
    socket: Option<TcpListener>,
}

/// An open listener and its TLS.
struct Open {
    listener: Listener,
    tls: Option<ListenerTls>,
}

/// What was read for each listener of a configuration, in their order; `None` for one without TLS.
pub(super) struct ReadTls(Vec<Option<Result<ListenerTls, TlsFaults>>>);

impl ReadTls {
    /// Reads the files of the listeners' certificates; relative paths start from `base`.
    pub fn load(settings: &[Located<ListenerSettings>], base: &Path) -> Self {
        Self(settings.iter().map(|listener| listener.tls.as_ref().map(|tls| ListenerTls::load(tls, base))).collect())
    }
}

impl Listeners {
    /// Binds new addresses, those apart for which sockets are given. Changes no open listener.
    ///
    /// # Errors
    /// Every certificate that could not be read and every address that cannot be bound.
    pub(super) fn prepare(
        &self,
        settings: &[Located<ListenerSettings>],
        read: ReadTls,
        given: &mut GivenSockets,
    ) -> Result<Prepared, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut open: Vec<SocketAddr> = self.open.iter().map(|open| open.listener.configured).collect();
        let mut prepared = Vec::with_capacity(settings.len());
        for (index, (settings, tls)) in settings.iter().zip(read.0).enumerate() {
            let tls = tls.transpose().unwrap_or_else(|wrong| {
                let path = format!("listeners[{index}].tls");
                problems.extend(wrong.into_iter().map(|(at, what)| (at, path.clone(), what)));
                None
            });
            let address = settings.address.value;
            let kept = open.iter().position(|known| *known == address).map(|at| open.swap_remove(at)).is_some();
            let given = if kept { Ok(None) } else { given.take(Role::Listener, address) };
            let socket = match given {
                Ok(None) if !kept => listener::bind(address).map(Some),
                given => given,
            };
            match socket {
                Ok(socket) => prepared.push(Ready { settings: settings.value.clone(), tls, socket }),
                Err(error) => {
                    let path = format!("listeners[{index}].address");
                    problems.push((settings.address.at, path, format!("cannot listen on {address}: {error}")));
                }
            }
        }
        if problems.is_empty() { Ok(Prepared(prepared)) } else { Err(problems) }
    }

    /// Replaces the open listeners by the prepared ones. Addresses that are no longer configured stop accepting; their open
    /// connections stay.
    ///
    /// # Errors
    /// A socket that was just bound has no local address.
    pub fn apply(&mut self, prepared: Prepared, service: &Service) -> std::io::Result<()> {
        while self.accepting.try_join_next().is_some() {} // loops of listeners that an earlier reload removed
        let mut before = std::mem::take(&mut self.open);
        for Ready { settings, tls, socket } in prepared.0 {
            let address = settings.address.value;
            let options =
                Options { max_connections: settings.max_connections.get(), proxy_protocol: settings.proxy_protocol };
            let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
            let listener = match socket {
                Some(socket) => {
                    Listener::serve(socket, address, options, acceptor, service.clone(), &mut self.accepting)?
                }
                None => {
                    let Some(at) = before.iter().position(|open| open.listener.configured == address) else { continue };
                    let Open { listener, .. } = before.remove(at);
                    listener.change(options, acceptor);
                    listener
                }
            };
            self.open.push(Open { listener, tls });
        }
        self.show_expiries(&service.metrics);
        Ok(())
    }

    /// The sockets, for a process that takes over.
    ///
    /// # Errors
    /// There are too many open files.
    pub(super) fn passed(&self) -> std::io::Result<Vec<Passed>> {
        let each = self.open.iter().map(|open| Ok((Role::Listener, open.listener.configured, open.listener.socket()?)));
        each.collect()
    }

    /// The files of the certificates in force, by the listener's address with the real port.
    pub(super) fn watched(&self, base: &Path) -> Vec<(SocketAddr, Vec<PathBuf>)> {
        let files = |open: &Open| Some((open.listener.local, open.tls.as_ref()?.files(base)));
        self.open.iter().filter_map(files).collect()
    }

    /// Takes note of how the files of a listener look; by which settings they are to be read, if they are now.
    pub(super) fn due(&mut self, local: SocketAddr, looks: &[Appearance]) -> Option<TlsSettings> {
        let tls = self.tls_of(local)?.tls.as_mut()?;
        tls.is_due(looks.to_vec()).then(|| tls.settings().clone())
    }

    /// A listener serves what was read for it once more. Where its files, which looked like this, cannot be used, it keeps what it has.
    pub(super) fn renew(
        &mut self,
        listener: SocketAddr,
        looked: Vec<Appearance>,
        read: Result<ListenerTls, TlsFaults>,
        metrics: &Metrics,
    ) {
        let Some(open) = self.tls_of(listener) else { return };
        match read {
            Ok(tls) => {
                open.listener.change_tls(Some(tls.acceptor.clone()));
                open.tls = Some(tls);
                info!(listener:%; "certificates read again");
            }
            Err(wrong) => {
                if let Some(tls) = &mut open.tls {
                    tls.stay(looked);
                }
                let error = wrong.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
                warn!(listener:%, error; "certificates cannot be read again; those that were read last stay in force");
            }
        }
        self.show_expiries(metrics);
    }

    /// The listener with this address, if it has TLS.
    fn tls_of(&mut self, local: SocketAddr) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.listener.local == local && open.tls.is_some())
    }

    fn show_expiries(&self, metrics: &Metrics) {
        let of_listener = |open: &Open| {
            let listener = open.listener.local.to_string();
            let figures = |(certificate, expires): &(String, i64)| CertificateFigures {
                listener: listener.clone(),
                certificate: certificate.clone(),
                expires: *expires,
            };
            open.tls.iter().flat_map(|tls| &tls.expiries).map(figures).collect::<Vec<_>>()
        };
        metrics.set_certificates(self.open.iter().flat_map(of_listener).collect());
    }

    /// The addresses with their real ports.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.iter().map(|open| open.listener.local)
    }

    /// Stops accepting; returns when no accept loop can bring another connection.
    pub async fn close(&mut self) {
        self.open.clear();
        while self.accepting.join_next().await.is_some() {}
    }
}
