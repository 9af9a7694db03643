//! The sockets of plain connections to servers that wait for a next request, those of one worker. Those that have waited too long are closed,
//! and those that their servers have closed.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ahash::RandomState;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::clock;

/// How often a worker looks for sockets that have waited too long.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Each so many times it looks for those that their servers have closed, too.
const PROBE_EVERY: u64 = 10;

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

/// A server of an upstream, which its number names. The requests of a worker to it share sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub upstream: u64,
    pub address: SocketAddr,
}

/// A socket that has carried requests.
pub struct KeptSocket {
    pub tcp: TcpStream,
    /// The bytes that they have written to it.
    pub written: u64,
}

/// A socket that waits.
struct Waiting {
    socket: KeptSocket,
    /// Its place in the order in which sockets were put here.
    number: u64,
    until: Instant,
}

#[derive(Default)]
struct Idle {
    /// The sockets of each server, the one that was used last at the end.
    sockets: HashMap<PoolKey, VecDeque<Waiting>, RandomState>,
    /// The servers of all sockets, the one that was used last at the end.
    order: BTreeMap<u64, PoolKey>,
    next_number: u64,
    most: usize,
    /// Wakes the task that closes sockets, while there are none.
    waker: Option<Waker>,
}

/// Takes the socket to this server that was used last, if one waits that the server has not closed.
pub fn take(server: PoolKey) -> Option<KeptSocket> {
    IDLE.with_borrow_mut(|idle| {
        let (sockets, now) = (idle.sockets.get_mut(&server)?, clock::recent());
        while let Some(Waiting { socket, number, until }) = sockets.pop_back() {
            idle.order.remove(&number);
            if until > now && is_open(&socket.tcp) {
                return Some(socket);
            }
        }
        None
    })
}

/// Keeps this socket for so long. Beyond the most sockets of the worker, the one that was used least recently is closed.
pub fn put(server: PoolKey, socket: KeptSocket, idle_timeout: Duration) {
    IDLE.with_borrow_mut(|idle| {
        if idle.most == 0 {
            return;
        }
        let number = idle.next_number;
        idle.next_number += 1;
        idle.order.insert(number, server);
        let waiting = Waiting { socket, number, until: clock::recent() + idle_timeout };
        idle.sockets.entry(server).or_default().push_back(waiting);
        if idle.order.len() > idle.most
            && let Some((_, server)) = idle.order.pop_first()
        {
            idle.sockets.get_mut(&server).and_then(VecDeque::pop_front);
        }
        if let Some(waker) = idle.waker.take() {
            waker.wake();
        }
    });
}

/// Keeps up to so many sockets for the requests of this thread, and closes those that are of no use any more. A task of every worker.
pub async fn sweep(most: usize) {
    IDLE.with_borrow_mut(|idle| idle.most = most);
    for sweep in 1_u64.. {
        poll_fn(|cx| IDLE.with_borrow_mut(|idle| idle.poll_filled(cx))).await;
        sleep(SWEEP_INTERVAL).await;
        IDLE.with_borrow_mut(|idle| idle.close(sweep.is_multiple_of(PROBE_EVERY)));
    }
}

impl Idle {
    fn poll_filled(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.order.is_empty() {
            return Poll::Ready(());
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Closes sockets that have waited too long, and with `probes` those that their servers have closed.
    fn close(&mut self, probes: bool) {
        let now = Instant::now();
        let order = &mut self.order;
        self.sockets.retain(|_, sockets| {
            sockets.retain(|waiting| {
                let stays = waiting.until > now && (!probes || is_open(&waiting.socket.tcp));
                if !stays {
                    order.remove(&waiting.number);
                }
                stays
            });
            !sockets.is_empty()
        });
    }
}

/// Whether the server has neither closed this socket nor sent bytes that no request asked for. It costs no system call while nothing has come.
fn is_open(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    struct Servers {
        listener: TcpListener,
        server: PoolKey,
    }

    impl Servers {
        async fn new(most: usize) -> Self {
            IDLE.set(Idle { most, ..Idle::default() });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            Self { listener, server: PoolKey { upstream: 1, address } }
        }

        /// A socket, and the server's side of it.
        async fn socket(&self) -> (KeptSocket, TcpStream) {
            let tcp = TcpStream::connect(self.server.address).await.unwrap();
            (KeptSocket { tcp, written: 0 }, self.listener.accept().await.unwrap().0)
        }

        fn port(socket: &KeptSocket) -> u16 {
            socket.tcp.local_addr().unwrap().port()
        }

        async fn is_closed(mut of_server: TcpStream) -> bool {
            tokio::io::AsyncReadExt::read(&mut of_server, &mut [0]).await.unwrap() == 0
        }
    }

    #[tokio::test]
    async fn the_socket_that_was_used_last_is_taken_first_and_only_for_its_server() {
        let servers = Servers::new(10).await;
        let mut kept = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..3 {
            let (socket, of_server) = servers.socket().await;
            ports.push(Servers::port(&socket));
            put(servers.server, socket, LONG);
            kept.push(of_server);
        }
        let other = PoolKey { upstream: 2, ..servers.server };
        assert!(take(other).is_none());
        for port in ports.into_iter().rev() {
            assert_eq!(Servers::port(&take(servers.server).unwrap()), port);
        }
        assert!(take(servers.server).is_none());
    }

    #[tokio::test]
    async fn beyond_the_most_the_socket_used_least_recently_is_closed() {
        let servers = Servers::new(2).await;
        let (first, of_first) = servers.socket().await;
        put(servers.server, first, LONG);
        let mut kept = Vec::new();
        for upstream in 2..4 {
            let (socket, of_server) = servers.socket().await;
            put(PoolKey { upstream, ..servers.server }, socket, LONG);
            kept.push(of_server);
        }
        assert!(Servers::is_closed(of_first).await);
        assert!(take(servers.server).is_none());
        assert!(take(PoolKey { upstream: 2, ..servers.server }).is_some());
    }

    #[tokio::test]
    async fn a_socket_that_its_server_closed_or_wrote_to_is_not_taken() {
        let servers = Servers::new(10).await;
        let (open, _of_open) = servers.socket().await;
        let (closed, of_closed) = servers.socket().await;
        let (written, mut of_written) = servers.socket().await;
        drop(of_closed);
        of_written.write_all(b"?").await.unwrap();
        closed.tcp.readable().await.unwrap();
        written.tcp.readable().await.unwrap();
        let port = Servers::port(&open);
        for socket in [open, closed, written] {
            put(servers.server, socket, LONG);
        }
        assert_eq!(Servers::port(&take(servers.server).unwrap()), port);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_closed_and_nothing_is_left_of_it() {
        let servers = Servers::new(10).await;
        let sweeping = tokio::spawn(sweep(10));
        let (socket, of_server) = servers.socket().await;
        put(servers.server, socket, Duration::from_millis(1));
        assert!(Servers::is_closed(of_server).await);
        IDLE.with_borrow(|idle| assert!(idle.sockets.is_empty() && idle.order.is_empty()));
        sweeping.abort();
    }
}
