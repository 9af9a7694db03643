//! The queue in which passwords wait to be checked: few at a time, so that a flood of wrong ones leaves the cores to requests, and clients
//! in turn, so that it delays nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Passwords that are checked at a time.
const AT_A_TIME: usize = 1;
/// Checks in the queue at most, those that run included.
const MOST: usize = 1024;
/// Those of one client at most.
const MOST_OF_CLIENT: usize = 32;
/// How long a check waits for its turn at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The checks that wait or run.
#[derive(Debug)]
pub(crate) struct Queue {
    slots: Arc<Semaphore>,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    checks: usize,
    by_host: HashMap<Host, Client>,
}

/// What tells clients apart; `None` for those without an address.
type Host = Option<[u8; 16]>;

/// A client with checks in the queue.
#[derive(Debug)]
struct Client {
    checks: usize,
    /// Only one of its checks waits for a slot; the others wait for that one.
    first: Arc<Semaphore>,
}

/// Too many passwords wait to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Default for Queue {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_A_TIME)), clients: Mutex::default() }
    }
}

impl Queue {
    /// A place at the end of the line of this client.
    ///
    /// # Errors
    /// Too many wait, or too many of this client.
    pub(crate) fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, Busy> {
        let host = client.map(networks::host);
        let mut clients = self.clients();
        let of_client = clients.by_host.get(&host).map_or(0, |client| client.checks);
        if clients.checks >= MOST || of_client >= MOST_OF_CLIENT {
            return Err(Busy);
        }
        clients.checks += 1;
        let new = || Client { checks: 0, first: Arc::new(Semaphore::new(1)) };
        let client = clients.by_host.entry(host).or_insert_with(new);
        client.checks += 1;
        Ok(Place { queue: self.clone(), host, first: client.first.clone() })
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    host: Host,
    first: Arc<Semaphore>,
}

/// A check may run until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _first: Option<OwnedSemaphorePermit>,
    _slot: Option<OwnedSemaphorePermit>,
    _place: Place,
}

impl Place {
    /// Waits for the turn of this place, for 10 s at most: who waits has perhaps left, and others have no place meanwhile.
    ///
    /// # Errors
    /// It took longer.
    pub(crate) async fn turn(self) -> Result<Turn, Busy> {
        let slots = async {
            // neither is ever closed
            let first = self.first.clone().acquire_owned().await.ok();
            let slot = self.queue.slots.clone().acquire_owned().await.ok();
            (first, slot)
        };
        let (first, slot) = timeout(LONGEST_WAIT, slots).await.map_err(|_| Busy)?;
        Ok(Turn { _first: first, _slot: slot, _place: self })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.queue.clients();
        clients.checks -= 1;
        let Some(client) = clients.by_host.get_mut(&self.host) else { return };
        client.checks -= 1;
        if client.checks == 0 {
            clients.by_host.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use futures_util::future::{BoxFuture, FutureExt};

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    /// Which of these waiting checks has its turn, if any.
    async fn next(
        waiting: &mut [(&'static str, BoxFuture<'static, Result<Turn, Busy>>)],
    ) -> Option<(&'static str, Turn)> {
        poll_fn(|cx| {
            let mut polled = waiting.iter_mut().map(|(name, turn)| (*name, turn.poll_unpin(cx)));
            let ready = polled.find_map(|(name, poll)| match poll {
                Poll::Ready(turn) => Some((name, turn.unwrap())),
                Poll::Pending => None,
            });
            Poll::Ready(ready)
        })
        .await
    }

    #[tokio::test]
    async fn clients_take_turns() {
        let queue = Arc::<Queue>::default();
        let place = |name, client| (name, queue.enter(client).unwrap().turn().boxed());
        let mut waiting = vec![
            place("a1", address(1)),
            place("a2", address(1)),
            place("a3", address(1)),
            place("b1", address(2)),
            place("c1", None),
        ];
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let (name, turn) = next(&mut waiting).await.unwrap();
            waiting.retain(|(other, _)| *other != name);
            assert!(next(&mut waiting).await.is_none(), "one at a time");
            order.push(name);
            drop(turn);
        }
        assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
        assert!(queue.clients().by_host.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_the_place_is_free_again() {
        let queue = Arc::<Queue>::default();
        let turn = queue.enter(address(1)).unwrap().turn().await.unwrap();
        assert!(queue.enter(address(2)).unwrap().turn().await.is_err());
        assert_eq!(queue.clients().checks, 1);
        drop(turn);
        assert!(queue.enter(address(2)).unwrap().turn().await.is_ok());
    }

    #[test]
    fn a_client_has_so_many_places_and_all_together_so_many() {
        let queue = Arc::<Queue>::default();
        let mut places: Vec<_> = (0..MOST_OF_CLIENT).map(|_| queue.enter(address(1)).unwrap()).collect();
        assert_eq!(queue.enter(address(1)).map(drop), Err(Busy));
        places.extend((0..MOST - MOST_OF_CLIENT).map(|at| {
            let host = u16::try_from(at / MOST_OF_CLIENT).unwrap();
            queue.enter(Some([0x2001, 0xdb8, 0, host, 0, 0, 0, 1].into())).unwrap()
        }));
        assert_eq!(queue.enter(address(2)).map(drop), Err(Busy));
        places.pop();
        assert_eq!(queue.enter(address(1)).map(drop), Err(Busy));
        assert_eq!(queue.enter(address(2)).map(drop), Ok(()));
    }
}
