//! Work that takes too long for a thread that serves: it runs beside them, as many pieces at once as the process has slots.
//! Tokio's own pool has a bound for each runtime, and nobody who has left gives back a place in its queue.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

static POOL: Pool = Pool::new();

/// Runs work beside the threads that serve, as soon as a slot is free; `None` if it panicked. Whoever is dropped while it
/// waits gives its place back; work that has begun keeps its slot to its end.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let slot = POOL.slot().await?;
    let run = spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    run.await.ok()
}

/// Sets how many pieces of such work may run at once in the process; at least one.
pub fn set_blocking_slots(slots: usize) {
    POOL.resize(slots.max(1));
}

#[derive(Debug)]
struct Pool {
    free: Semaphore,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    slots: usize,
    /// Slots in use that are not to come back.
    surplus: usize,
}

impl Pool {
    const fn new() -> Self {
        Self { free: Semaphore::const_new(1), size: Mutex::new(Size { slots: 1, surplus: 0 }) }
    }

    async fn slot(&'static self) -> Option<Slot> {
        let permit = self.free.acquire().await.ok()?;
        Some(Slot { pool: self, permit: Some(permit) })
    }

    fn resize(&self, slots: usize) {
        let mut size = self.size();
        let (before, surplus) = (size.slots, size.surplus);
        size.slots = slots;
        if slots >= before {
            let more = slots - before;
            size.surplus = surplus.saturating_sub(more);
            self.free.add_permits(more.saturating_sub(surplus));
        } else {
            let fewer = before - slots;
            size.surplus += fewer - self.free.forget_permits(fewer);
        }
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of work that may run.
struct Slot {
    pool: &'static Pool,
    permit: Option<SemaphorePermit<'static>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut size = self.pool.size();
        if size.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            size.surplus -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn pool(slots: usize) -> &'static Pool {
        let pool = Box::leak(Box::new(Pool::new()));
        pool.resize(slots);
        pool
    }

    /// Whether a slot is free now; it is given back at once.
    async fn is_free(pool: &'static Pool) -> bool {
        let mut slot = pin!(pool.slot());
        poll_fn(|cx| Poll::Ready(slot.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn no_more_run_than_there_are_slots_and_whoever_leaves_gives_its_place_back() {
        let pool = pool(2);
        let (first, second) = (pool.slot().await, pool.slot().await);
        {
            let mut waiting = pin!(pool.slot());
            assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        }
        assert!(!is_free(pool).await);
        drop(first);
        assert!(is_free(pool).await);
        drop(second);
    }

    #[tokio::test]
    async fn slots_in_use_go_when_they_are_free_and_may_come_back_before() {
        let pool = pool(3);
        let taken = [pool.slot().await, pool.slot().await, pool.slot().await];
        pool.resize(1);
        pool.resize(2);
        let [first, second, third] = taken;
        drop(first);
        assert!(!is_free(pool).await);
        drop((second, third));
        assert_eq!(pool.free.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_panic_costs_nothing_but_its_own_answer() {
        assert_eq!(run_blocking(|| -> u8 { panic!("on purpose") }).await, None);
        assert_eq!(run_blocking(|| 7).await, Some(7));
    }
}
