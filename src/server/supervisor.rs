//! What systemd is told (`sd_notify`): that the gateway is ready, reloads, stops, or that another process is the main one now. Without
//! systemd, nothing.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;
use rustix::time::{ClockId, clock_gettime};

use crate::config;

/// The supervisor of this process, if there is one.
#[derive(Debug)]
pub(super) struct Supervisor(Option<UnixDatagram>);

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names.
    pub fn find() -> Self {
        Self::at(config::variable("NOTIFY_SOCKET").as_deref())
    }

    fn at(address: Option<&str>) -> Self {
        let socket = address.filter(|address| !address.is_empty()).and_then(|address| {
            connect(address).inspect_err(|error| warn!(error:%; "systemd cannot be told the gateway's state")).ok()
        });
        Self(socket)
    }

    /// The gateway serves, or has finished a reload.
    pub fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// A reload begins. [`ready`](Self::ready) ends it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// The gateway stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    /// Another process serves in place of this one.
    pub fn main_process_is(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}\nREADY=1\n"));
    }

    fn tell(&self, state: &str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(state.as_bytes())) {
            warn!(error:%; "systemd cannot be told the gateway's state");
        }
    }
}

fn connect(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // the gateway does not wait for it
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_as_systemd_reads_it() {
        let name = format!("tollgate-supervisor-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let supervisor = Supervisor::at(Some(&format!("@{name}")));
        supervisor.ready();
        supervisor.reloading();
        supervisor.main_process_is(7);
        supervisor.stopping();
        let told = || {
            let mut buffer = [0; 256];
            let length = systemd.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(told(), "READY=1\n");
        let reloading = told();
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(micros.parse::<u64>().unwrap() > 0);
        assert_eq!((told(), told()), ("MAINPID=7\nREADY=1\n".into(), "STOPPING=1\n".into()));
    }

    #[test]
    fn without_systemd_nothing_happens() {
        for address in [None, Some(""), Some("/no/such/socket")] {
            Supervisor::at(address).ready();
        }
    }
}
