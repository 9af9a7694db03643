//! The thread that looks at files for as long as anybody has one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often files are looked at. What has changed lasts for one more look before it is read.
const INTERVAL: Duration = Duration::from_millis(150);

/// A file that can be looked at.
pub trait Look: Send + Sync + 'static {
    /// Looks whether it has changed; `false` if it has and cannot be read.
    fn look(&self) -> bool;
}

/// The files that are looked at.
#[derive(Debug)]
pub struct Watch<F> {
    /// The name of the thread.
    name: &'static str,
    known: Mutex<Known<F>>,
    failures: AtomicU64,
}

#[derive(Debug)]
struct Known<F> {
    files: Vec<Weak<F>>,
    is_watched: bool,
}

impl<F: Look> Watch<F> {
    /// No files yet. The thread that looks at them will have this name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, known: Mutex::new(Known { files: Vec::new(), is_watched: false }), failures: AtomicU64::new(0) }
    }

    /// A file, which is looked at from now on for as long as anybody has it: one that is the same as the wanted one, else a new one.
    ///
    /// # Errors
    /// What `open` says, or why there is no thread.
    pub fn file(
        self: &Arc<Self>,
        is_same: impl Fn(&F) -> bool,
        open: impl FnOnce() -> Result<F, String>,
    ) -> Result<Arc<F>, String> {
        let mut known = self.known();
        if let Some(file) = known.files.iter().filter_map(Weak::upgrade).find(|file| is_same(file)) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        known.files.push(Arc::downgrade(&file));
        if !known.is_watched {
            let watch = Arc::downgrade(self);
            let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || look_at_all(&watch));
            spawned.map_err(|error| format!("its thread cannot be started: {error}"))?;
            known.is_watched = true;
        }
        Ok(file)
    }

    /// The files that anybody has.
    #[must_use]
    pub fn files(&self) -> Vec<Arc<F>> {
        self.known().files.iter().filter_map(Weak::upgrade).collect()
    }

    /// How often a file that had changed could not be read.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known<F>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at every file that anybody still has; whether there is any. The thread ends where there is none, so that must be what
    /// `is_watched` says, although files are let go at any moment.
    fn look(&self) -> bool {
        let files: Vec<_> = {
            let mut known = self.known();
            let files: Vec<_> = known.files.iter().filter_map(Weak::upgrade).collect();
            known.files.retain(|file| file.strong_count() > 0);
            known.is_watched = !files.is_empty();
            files
        };
        // a panic in one, which its hook has reported, must not end the thread for the others
        let is_read = |file: &Arc<F>| catch_unwind(AssertUnwindSafe(|| file.look())).unwrap_or(false);
        let failures = files.iter().filter(|file| !is_read(file)).count();
        self.failures.fetch_add(failures as u64, Ordering::Relaxed);
        !files.is_empty()
    }
}

fn look_at_all<F: Look>(watch: &Weak<Watch<F>>) {
    loop {
        thread::sleep(INTERVAL);
        let Some(watch) = watch.upgrade() else { return };
        if !watch.look() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says when it is looked at, or panics.
    struct Told(&'static str, Sender<&'static str>);

    impl Look for Told {
        fn look(&self) -> bool {
            assert_ne!(self.0, "broken", "on purpose");
            self.1.send(self.0).is_ok()
        }
    }

    fn is_looked_at(looks: &Receiver<&'static str>, name: &str) -> bool {
        std::iter::from_fn(|| looks.recv_timeout(Duration::from_secs(20)).ok()).any(|looked| looked == name)
    }

    #[test]
    fn a_file_whose_look_panics_is_a_failure_and_the_others_are_looked_at() {
        let (watch, (told, looks)) = (Arc::new(Watch::new("test")), channel());
        let file = |name| watch.file(|file: &Told| file.0 == name, || Ok(Told(name, told.clone()))).unwrap();
        let (_broken, _whole) = (file("broken"), file("whole"));
        assert!(is_looked_at(&looks, "whole") && is_looked_at(&looks, "whole"));
        assert!(watch.failures() > 0);
    }

    /// A file that is as it was.
    struct Unchanged;

    impl Look for Unchanged {
        fn look(&self) -> bool {
            true
        }
    }

    #[test]
    fn the_thread_ends_only_where_the_next_file_starts_another() {
        let (watch, barrier) = (Watch::new("test"), Barrier::new(2));
        for _ in 0..20_000 {
            let file = Arc::new(Unchanged);
            watch.known().files.push(Arc::downgrade(&file));
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    drop(file);
                });
                barrier.wait();
                let goes_on = watch.look();
                assert_eq!(watch.known().is_watched, goes_on);
            });
        }
    }
}
