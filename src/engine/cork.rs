//! Sends the head of a request and its body in one packet. Pingora writes them one after the other; the kernel holds the head back
//! (`TCP_CORK`, tcp(7)) until the turn of the loop ends. The body is written in the same turn, if it is here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Weak};

use rustix::net::sockopt::set_tcp_cork;

use super::turn;

/// The most requests that are held back. Beyond it the tasks that are still to run in this turn would delay them too long.
const MOST: usize = 16;

thread_local! {
    /// The connections to servers that this thread has, by the descriptors that Pingora knows them by.
    static SOCKETS: RefCell<HashMap<RawFd, Weak<Socket>>> = RefCell::default();
    /// The sockets whose bytes are held back.
    static HELD: RefCell<Vec<Arc<Socket>>> = const { RefCell::new(Vec::new()) };
}

/// The socket of a connection to a server: another descriptor of it, which is closed together with Pingora's.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// The socket of the connection that Pingora knows by the descriptor `connection`. `descriptor` is another one of it.
    pub fn new(connection: RawFd, descriptor: OwnedFd) -> Arc<Self> {
        let socket = Arc::new(Self(descriptor));
        SOCKETS.with_borrow_mut(|sockets| {
            if sockets.len() == sockets.capacity() {
                sockets.retain(|_, socket| socket.strong_count() > 0);
            }
            sockets.insert(connection, Arc::downgrade(&socket));
        });
        socket
    }
}

/// Holds back what is written to this connection until the turn ends. Connections over TLS are not known here, and are left alone.
pub fn hold(connection: RawFd) {
    let Some(socket) = SOCKETS.with_borrow(|sockets| sockets.get(&connection).and_then(Weak::upgrade)) else { return };
    // an error of the socket shows when Pingora writes
    if !turn::end_is_awaited() || set_tcp_cork(&socket.0, true).is_err() {
        return;
    }
    HELD.with_borrow_mut(|held| {
        if held.len() == MOST {
            held.drain(..).for_each(release);
        }
        held.push(socket);
    });
}

/// Sends everything that is held back.
pub fn release_all() {
    HELD.with_borrow_mut(|held| held.drain(..).for_each(release));
}

fn release(socket: Arc<Socket>) {
    let _ = set_tcp_cork(&socket.0, false);
}
