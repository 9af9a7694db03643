//! The gateway's listeners: opened all together or not at all, and kept across reloads.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use located_yaml::{Located, Location};
use log::{info, warn};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::metrics::{CertificateFigures, Metrics};
use crate::tls::{self, Certificates};

use super::given_sockets::{GivenSockets, Role};
use super::listener::{self, Listener, Options, Service};
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
    tls: Option<Tls>,
    /// `None` where an open listener already serves this address.
    socket: Option<TcpListener>,
}

/// An open listener and the settings of its TLS.
struct Open {
    listener: Listener,
    tls: Option<TlsSettings>,
    /// The files of its certificates, and when they expire.
    expiries: Vec<(String, i64)>,
}

/// Certificates that were read.
struct Tls {
    acceptor: TlsAcceptor,
    expiries: Vec<(String, i64)>,
}

impl Tls {
    /// Reads the certificates of a listener, and warns of those that are not valid today.
    fn load(settings: &TlsSettings, base: &Path) -> Result<Self, Vec<(Location, String)>> {
        let certificates = Certificates::load(settings, base)?;
        for (_, warning) in certificates.warnings() {
            warn!("{warning}");
        }
        let acceptor = TlsAcceptor::from(tls::server_config(&certificates));
        Ok(Self { acceptor, expiries: certificates.expiries().to_vec() })
    }
}

impl Listeners {
    /// Reads certificates and binds new addresses, those apart for which sockets are given. Changes no open listener.
    ///
    /// # Errors
    /// Every certificate that cannot be read and every address that cannot be bound.
    pub(super) fn prepare(
        &self,
        settings: &[Located<ListenerSettings>],
        base: &Path,
        given: &mut GivenSockets,
    ) -> Result<Prepared, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut open: Vec<SocketAddr> = self.open.iter().map(|open| open.listener.configured).collect();
        let mut prepared = Vec::with_capacity(settings.len());
        for (index, settings) in settings.iter().enumerate() {
            let tls = settings.tls.as_ref().and_then(|tls| match Tls::load(tls, base) {
                Ok(tls) => Some(tls),
                Err(wrong) => {
                    let path = format!("listeners[{index}].tls");
                    problems.extend(wrong.into_iter().map(|(at, what)| (at, path.clone(), what)));
                    None
                }
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
            let (acceptor, expiries) = tls.map(|tls| (tls.acceptor, tls.expiries)).unzip();
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
            self.open.push(Open { listener, tls: settings.tls, expiries: expiries.unwrap_or_default() });
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

    /// The files of the certificates in force.
    pub fn certificate_files(&self, base: &Path) -> Vec<PathBuf> {
        let settings = self.open.iter().filter_map(|open| open.tls.as_ref());
        settings.flat_map(TlsSettings::files).map(|file| base.join(file)).collect()
    }

    /// Reads the certificates of every listener again. One whose files cannot be used keeps those that it has.
    pub fn reread_certificates(&mut self, base: &Path, metrics: &Metrics) {
        for open in &mut self.open {
            let Some(settings) = &open.tls else { continue };
            let listener = open.listener.local;
            match Tls::load(settings, base) {
                Ok(tls) => {
                    open.listener.change_tls(Some(tls.acceptor));
                    open.expiries = tls.expiries;
                    info!(listener:%; "certificates read again");
                }
                Err(wrong) => {
                    let error = wrong.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
                    warn!(listener:%, error; "certificates cannot be read again; those that were read last stay in force");
                }
            }
        }
        self.show_expiries(metrics);
    }

    fn show_expiries(&self, metrics: &Metrics) {
        let of_listener = |open: &Open| {
            let listener = open.listener.local.to_string();
            let figures = |(certificate, expires): &(String, i64)| CertificateFigures {
                listener: listener.clone(),
                certificate: certificate.clone(),
                expires: *expires,
            };
            open.expiries.iter().map(figures).collect::<Vec<_>>()
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
