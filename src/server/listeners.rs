//! The listeners of the gateway, as the configuration names them: opened together or not at all, kept over a reload.

use std::net::SocketAddr;
use std::path::Path;

use located_yaml::{Located, Location};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::tls::{self, Certificates};

use super::listener::{self, Listener, Service};
use crate::settings::ListenerSettings;

/// What keeps a listener from being opened: where in the file, of what, and why.
pub type Fault = (Location, String, String);

/// The open listeners, in the order of the YAML.
#[derive(Default)]
pub struct Listeners(Vec<Listener>);

/// Listeners made ready off-line: everything that can fail has been done.
pub struct Prepared(Vec<Ready>);

struct Ready {
    settings: ListenerSettings,
    tls: Option<TlsAcceptor>,
    /// Absent where one that is open already serves this address.
    socket: Option<TcpListener>,
}

impl Listeners {
    /// Reads certificates and takes new addresses. Nothing that serves is touched.
    ///
    /// # Errors
    /// Every certificate that cannot be read, and every address that cannot be had.
    pub fn prepare(&self, settings: &[Located<ListenerSettings>], base: &Path) -> Result<Prepared, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut open: Vec<SocketAddr> = self.0.iter().map(|listener| listener.configured).collect();
        let mut prepared = Vec::with_capacity(settings.len());
        for (index, settings) in settings.iter().enumerate() {
            let tls = settings.tls.as_ref().and_then(|tls| match Certificates::load(tls, base) {
                Ok(certificates) => {
                    for (_, warning) in certificates.warnings() {
                        log::warn!("{warning}");
                    }
                    Some(TlsAcceptor::from(tls::server_config(&certificates)))
                }
                Err(wrong) => {
                    let path = format!("listeners[{index}].tls");
                    faults.extend(wrong.into_iter().map(|(at, what)| (at, path.clone(), what)));
                    None
                }
            });
            let address = settings.address.value;
            let kept = open.iter().position(|known| *known == address).map(|at| open.swap_remove(at)).is_some();
            let socket = if kept { Ok(None) } else { listener::bind(address).map(Some) };
            match socket {
                Ok(socket) => prepared.push(Ready { settings: settings.value.clone(), tls, socket }),
                Err(error) => {
                    let path = format!("listeners[{index}].address");
                    faults.push((settings.address.at, path, format!("cannot listen on {address}: {error}")));
                }
            }
        }
        if faults.is_empty() { Ok(Prepared(prepared)) } else { Err(faults) }
    }

    /// Puts the prepared listeners in the place of the present ones. Addresses that are no longer named stop accepting;
    /// their open connections go on.
    ///
    /// # Errors
    /// That the system no longer knows a socket it has just given.
    pub fn apply(&mut self, prepared: Prepared, service: &Service) -> std::io::Result<()> {
        let mut before = std::mem::take(&mut self.0);
        for Ready { settings, tls, socket } in prepared.0 {
            let address = settings.address.value;
            let max = settings.max_connections.get();
            let listener = match socket {
                Some(socket) => Listener::serve(socket, address, max, tls, service.clone())?,
                None => {
                    let Some(at) = before.iter().position(|listener| listener.configured == address) else { continue };
                    let listener = before.remove(at);
                    listener.change(max, tls);
                    listener
                }
            };
            self.0.push(listener);
        }
        Ok(())
    }

    /// The addresses they really have.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|listener| listener.local)
    }

    /// Accepts no more anywhere.
    pub fn close(&mut self) {
        self.0.clear();
    }
}
