//! The gateway's listeners: opened all together or not at all, and kept across reloads.

use std::net::SocketAddr;
use std::path::Path;

use located_yaml::{Located, Location};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::metrics::CertificateFigures;
use crate::tls::{self, Certificates};

use super::given_sockets::{GivenSockets, Role};
use super::listener::{self, Listener, Service};
use super::upgrade::Passed;
use crate::settings::ListenerSettings;

/// A problem that shows only when the configuration is put to work: its place in the file, the setting's path, and what
/// is wrong.
pub type ConfigProblem = (Location, String, String);

/// The open listeners, in the order of the YAML.
#[derive(Default)]
pub struct Listeners {
    open: Vec<Listener>,
    /// The accept loops, those of listeners that were removed included.
    accepting: JoinSet<()>,
}

/// Listeners ready to serve: everything that can fail has succeeded.
pub struct Prepared(Vec<Ready>);

struct Ready {
    settings: ListenerSettings,
    tls: Option<TlsAcceptor>,
    /// The files of its certificates, and when they expire.
    expiries: Vec<(String, i64)>,
    /// `None` where an open listener already serves this address.
    socket: Option<TcpListener>,
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
        let mut open: Vec<SocketAddr> = self.open.iter().map(|listener| listener.configured).collect();
        let mut prepared = Vec::with_capacity(settings.len());
        for (index, settings) in settings.iter().enumerate() {
            let tls = settings.tls.as_ref().and_then(|tls| match Certificates::load(tls, base) {
                Ok(certificates) => {
                    for (_, warning) in certificates.warnings() {
                        log::warn!("{warning}");
                    }
                    Some((TlsAcceptor::from(tls::server_config(&certificates)), certificates.expiries().to_vec()))
                }
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
                Ok(socket) => {
                    let (tls, expiries) = tls.unzip();
                    let expiries = expiries.unwrap_or_default();
                    prepared.push(Ready { settings: settings.value.clone(), tls, expiries, socket });
                }
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
        let mut certificates = Vec::new();
        for Ready { settings, tls, expiries, socket } in prepared.0 {
            let address = settings.address.value;
            let max = settings.max_connections.get();
            let listener = match socket {
                Some(socket) => Listener::serve(socket, address, max, tls, service.clone(), &mut self.accepting)?,
                None => {
                    let Some(at) = before.iter().position(|listener| listener.configured == address) else { continue };
                    let listener = before.remove(at);
                    listener.change(max, tls);
                    listener
                }
            };
            certificates.extend(expiries.into_iter().map(|(certificate, expires)| CertificateFigures {
                listener: listener.local.to_string(),
                certificate,
                expires,
            }));
            self.open.push(listener);
        }
        service.metrics.set_certificates(certificates);
        Ok(())
    }

    /// The sockets, for a process that takes over.
    ///
    /// # Errors
    /// There are too many open files.
    pub(super) fn passed(&self) -> std::io::Result<Vec<Passed>> {
        let each = self.open.iter().map(|listener| Ok((Role::Listener, listener.configured, listener.socket()?)));
        each.collect()
    }

    /// The addresses with their real ports.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.iter().map(|listener| listener.local)
    }

    /// Stops accepting; returns when no accept loop can bring another connection.
    pub async fn close(&mut self) {
        self.open.clear();
        while self.accepting.join_next().await.is_some() {}
    }
}
