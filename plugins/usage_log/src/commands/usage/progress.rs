//! A progress bar on standard error, if that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 40;
/// What is done sooner needs no bar.
const LONG: Duration = Duration::from_millis(500);
const REDRAW: Duration = Duration::from_millis(100);

/// How far a command is. The bar goes with it.
pub(super) struct Progress {
    all: usize,
    done: usize,
    begun: Instant,
    drawn: Option<Instant>,
    seen: bool,
}

impl Progress {
    /// Nothing of so many steps is done.
    pub(super) fn new(all: usize) -> Self {
        Self { all, done: 0, begun: Instant::now(), drawn: None, seen: std::io::stderr().is_terminal() }
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        let due = self.begun.elapsed() > LONG && self.drawn.is_none_or(|drawn| drawn.elapsed() > REDRAW);
        if self.seen && due {
            self.drawn = Some(Instant::now());
            // a closed standard error does not matter
            let _ = write!(std::io::stderr(), "\r{}", bar(self.done, self.all));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r{:1$}\r", "", WIDTH + 8);
        }
    }
}

fn bar(done: usize, all: usize) -> String {
    let all = all.max(1);
    let full = (done * WIDTH / all).min(WIDTH);
    format!("[{:#<full$}{:.<2$}] {3:>3} %", "", "", WIDTH - full, done * 100 / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        assert_eq!(bar(0, 7), format!("[{}]   0 %", ".".repeat(40)));
        assert_eq!(bar(1, 2), format!("[{}{}]  50 %", "#".repeat(20), ".".repeat(20)));
        assert_eq!(bar(7, 7), format!("[{}] 100 %", "#".repeat(40)));
        assert_eq!(bar(0, 0), format!("[{}]   0 %", ".".repeat(40)));
    }
}
