//! Listening sockets that this process was started with: those of the process that it takes over from, and those of systemd. Binds
//! none itself.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use log::warn;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::TcpListener as AsyncListener;

/// What a socket was bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Listener,
    Admin,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Admin => "admin",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Listener, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// The sockets that no listener has taken yet. Those that remain are closed with it.
#[derive(Debug, Default)]
pub(super) struct GivenSockets {
    inherited: Vec<(Role, SocketAddr, TcpListener)>,
    activated: Vec<TcpListener>,
}

impl GivenSockets {
    /// A socket of the process that this one takes over from, with the address in its YAML.
    pub fn inherit(&mut self, role: Role, configured: SocketAddr, socket: TcpListener) {
        self.inherited.push((role, configured, socket));
    }

    /// Adds the sockets that systemd opened for this process (`LISTEN_FDS`).
    ///
    /// # Errors
    /// One of them is none that TCP clients connect to.
    pub fn activate(&mut self) -> io::Result<()> {
        let mut given = ListenFd::from_env();
        for index in 0..given.len() {
            let Some(socket) = given.take_tcp_listener(index)? else { continue };
            // a process that takes over gets it in another way
            fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
            self.activated.push(socket);
        }
        Ok(())
    }

    /// The socket for this address, if there is one.
    ///
    /// # Errors
    /// The system's.
    pub fn take(&mut self, role: Role, address: SocketAddr) -> io::Result<Option<AsyncListener>> {
        let inherited = self.inherited.iter().position(|(of, configured, _)| *of == role && *configured == address);
        let socket = match inherited {
            Some(at) => Some(self.inherited.swap_remove(at).2),
            None => {
                let at = self.activated.iter().position(|socket| socket.local_addr().is_ok_and(|own| own == address));
                at.map(|at| self.activated.swap_remove(at))
            }
        };
        let Some(socket) = socket else { return Ok(None) };
        socket.set_nonblocking(true)?;
        AsyncListener::from_std(socket).map(Some)
    }

    /// Logs sockets of systemd that the YAML does not name, which are closed then.
    pub fn log_unused(&self) {
        for address in self.activated.iter().filter_map(|socket| socket.local_addr().ok()) {
            warn!(address:%; "systemd opened a socket for an address that the configuration does not name; it is closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_found_by_what_it_is_for_and_the_address_as_the_yaml_writes_it() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = || TcpListener::bind(any).unwrap();
        let (listener, admin, activated) = (bound(), bound(), bound());
        let own = |socket: &TcpListener| socket.local_addr().unwrap();
        let addresses = [own(&listener), own(&admin), own(&activated)];
        let mut given = GivenSockets::default();
        given.inherit(Role::Listener, any, listener);
        given.inherit(Role::Admin, any, admin);
        given.activated.push(activated);
        let mut take = |role, address| given.take(role, address).unwrap().map(|socket| socket.local_addr().unwrap());
        assert_eq!(take(Role::Admin, any), Some(addresses[1]));
        assert_eq!(take(Role::Admin, any), None);
        assert_eq!(take(Role::Listener, any), Some(addresses[0]));
        assert_eq!(take(Role::Listener, addresses[0]), None);
        assert_eq!(take(Role::Listener, addresses[2]), Some(addresses[2]));
    }
}
