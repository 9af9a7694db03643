//! The process that this one takes over from: it passes its listening sockets, gives up what only one process may have, and drains once
//! this one is ready. If this one ends or hangs before that, the other serves on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{SockType, getsockopt, sockopt};
use rustix::stdio::dup2_stdin;

use crate::config;

use super::channel::Channel;
use super::given_sockets::{GivenSockets, Role};

/// Names the process that this one takes over from to this one.
pub(super) const PREDECESSOR: &str = "TOLLGATE_PREDECESSOR";
/// How long the other process may take for each of its steps. It has limits of its own, which end this process before.
const LIMIT: Duration = Duration::from_secs(600);

/// What the two processes say to each other, apart from the sockets.
pub(super) mod words {
    /// All sockets have been sent.
    pub const SOCKETS: &str = "sockets";
    /// The configuration is valid and every address bound.
    pub const PREPARED: &str = "prepared";
    /// What only one process may have is the new one's.
    pub const YOURS: &str = "yours";
    /// The new process serves.
    pub const READY: &str = "ready";
    /// It cannot; the reason follows.
    pub const FAILED: &str = "failed ";
}

/// The process.
#[derive(Debug)]
pub(super) struct Predecessor(Channel);

fn gone(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the process to take over from is gone or says nothing: {error}"))
}

impl Predecessor {
    /// The process that started this one so that it takes over; `None` if this is an ordinary start. Its sockets are put to `sockets`.
    ///
    /// # Errors
    /// It is gone. This process was to take over from it, and is no service of its own that anybody asked for.
    pub fn find(sockets: &mut GivenSockets) -> io::Result<Option<Self>> {
        // what it starts by itself inherits the variable, and not the channel
        let has_channel = getsockopt(&io::stdin(), sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket);
        if config::variable(PREDECESSOR).is_none() || !has_channel {
            return Ok(None);
        }
        let channel = Channel::of(io::stdin().as_fd().try_clone_to_owned()?);
        dup2_stdin(std::fs::File::open("/dev/null")?)?;
        loop {
            let message = channel.receive(LIMIT).map_err(gone)?;
            if message.text == words::SOCKETS {
                return Ok(Some(Self(channel)));
            }
            let told = message
                .text
                .split_once(' ')
                .and_then(|(role, address)| Some((Role::parse(role)?, address.parse::<SocketAddr>().ok()?)));
            let (Some((role, address)), Some(socket)) = (told, message.socket) else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the process to take over from says what is not known here",
                ));
            };
            sockets.inherit(role, address, TcpListener::from(socket));
        }
    }

    /// The configuration is valid and every address bound: waits until what only one process may have is this one's.
    ///
    /// # Errors
    /// The other process is gone.
    pub fn wait_for_turn(&self) -> io::Result<()> {
        self.0.send(words::PREPARED, None).map_err(gone)?;
        self.0.receive(LIMIT).map(drop).map_err(gone)
    }

    /// This process serves: the other one drains.
    pub fn ready(self) {
        // one that is gone needs not know
        let _ = self.0.send(words::READY, None);
    }

    /// This process cannot serve: the other one says why.
    pub fn failed(&self, why: &str) {
        let _ = self.0.send(&format!("{}{why}", words::FAILED), None);
    }
}
