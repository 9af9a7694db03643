//! How much memory a gateway takes while something happens, at its peak.

use std::fs;

use crate::harness::Gateway;

/// The memory of a gateway, measured from here on.
pub struct Peak {
    pid: u32,
    before: u64,
}

impl Peak {
    /// Forgets what it took before.
    pub fn of(gateway: &Gateway) -> Self {
        let pid = gateway.pid();
        // resets the kernel's own high-water mark (proc(5), clear_refs)
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        Self { pid, before: high_water(pid) }
    }

    /// By how many bytes it has grown at most.
    pub fn growth(&self) -> u64 {
        high_water(self.pid).saturating_sub(self.before)
    }
}

fn high_water(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
