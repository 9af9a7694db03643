//! How much memory a gateway takes while something happens, at its peak.

use std::fs;

use crate::harness::Gateway;

/// The memory of a gateway, measured from here on. Pages of its program, which are read when they are first run, do not count.
pub struct Peak {
    pid: u32,
    peak: u64,
    program: u64,
}

impl Peak {
    /// Forgets what it took before.
    pub fn of(gateway: &Gateway) -> Self {
        let pid = gateway.pid();
        // resets the kernel's own high-water mark (proc(5), clear_refs)
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        Self { pid, peak: status(pid, "VmHWM:"), program: status(pid, "RssFile:") }
    }

    /// By how many bytes it has grown at most.
    pub fn growth(&self) -> u64 {
        let program = status(self.pid, "RssFile:").saturating_sub(self.program);
        status(self.pid, "VmHWM:").saturating_sub(self.peak + program)
    }
}

/// A line of the process's status that is a number of kilobytes, in bytes.
fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
