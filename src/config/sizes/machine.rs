//! How much memory this process may use: that of the machine, or what a control group (v1 or v2) or `ulimit -v` leaves of it.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

/// What a machine is taken to have that does not say.
const ASSUMED: u64 = 1 << 30;

/// The bytes that this process may use.
pub(super) fn memory() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let address_space = getrlimit(Resource::RLIMIT_AS).ok().map(|(soft, _)| soft);
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup")).into_iter().filter_map(|file| number(&file));
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    limits.chain(total).chain(address_space).min().unwrap_or(ASSUMED).max(1)
}

/// The files that may say how much the groups of a process, and those around them, may use. Within a container the paths
/// may be those outside of it; then the root of what is mounted is the container's own group.
fn limit_files(groups: &str, mounted: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => (mounted.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (mounted.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        files.extend(own.ancestors().take_while(|folder| folder.starts_with(&root)).map(|folder| folder.join(name)));
    }
    files
}

/// The number in a file; `None` where there is none, as where it says `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The machine's memory by `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(groups: &str) -> Vec<String> {
        limit_files(groups, Path::new("/g")).iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn the_groups_of_both_versions_and_those_around_them_are_asked() {
        assert_eq!(files("0::/a/b\n"), ["/g/a/b/memory.max", "/g/a/memory.max", "/g/memory.max"]);
        assert_eq!(
            files("9:name=systemd:/\n4:cpu,memory:/docker/x\n"),
            [
                "/g/memory/docker/x/memory.limit_in_bytes",
                "/g/memory/docker/memory.limit_in_bytes",
                "/g/memory/memory.limit_in_bytes"
            ]
        );
        assert!(files("nonsense\n3:cpuset:/\n").is_empty());
    }

    #[test]
    fn this_machine_has_memory() {
        assert_eq!(total("MemTotal:       24684048 kB\nMemFree: 1 kB\n"), Some(24_684_048 * 1024));
        assert!(memory() > 1 << 20);
    }
}
