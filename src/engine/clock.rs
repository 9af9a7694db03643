//! The clock of a worker. Where some microseconds do not matter, as for deadlines, a task that runs on without waiting reads it once.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static READ: Cell<Read> = const { Cell::new(Read::Never) };
}

/// What is remembered of the clock.
#[derive(Clone, Copy)]
enum Read {
    /// Nothing, since no task runs here that says so.
    Never,
    /// Nothing yet.
    NotYet,
    At(Instant),
}

/// A task that runs. Its end is when it waits again.
pub struct Running(());

impl Running {
    /// From now on until this is dropped the task runs.
    #[must_use]
    pub fn begin() -> Self {
        READ.set(Read::NotYet);
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        READ.set(Read::Never);
    }
}

/// The time now.
pub fn now() -> Instant {
    let now = Instant::now();
    // a thread that is ending remembers nothing
    let _ = READ.try_with(|read| {
        if !matches!(read.get(), Read::Never) {
            read.set(Read::At(now));
        }
    });
    now
}

/// The time at which the present task last read the clock while it has run; now, if it has not.
pub fn recent() -> Instant {
    match READ.try_with(Cell::get) {
        Ok(Read::At(time)) => time,
        _ => now(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_read_once_while_a_task_runs_and_always_elsewhere() {
        let pass = || tokio::time::advance(Duration::from_secs(1));
        let start = recent();
        pass().await;
        assert_eq!(recent() - start, Duration::from_secs(1));
        let running = Running::begin();
        let first = recent();
        pass().await;
        assert_eq!(recent(), first);
        let second = now();
        assert_eq!((recent(), second - first), (second, Duration::from_secs(1)));
        drop(running);
        pass().await;
        assert_eq!(recent() - second, Duration::from_secs(1));
    }
}
