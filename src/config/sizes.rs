//! How much memory the requests of a configuration may take: the one figure that it amounts to. Counts nothing itself; see
//! [`memory`](crate::memory).

mod machine;

use std::fmt;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use plugin_api::{BODIES, Count, set_blocking_slots};

use super::Config;
use crate::memory::HEADS;
use crate::plugins;

/// What a connection takes at most besides: its buffers, those of TLS or HTTP/2, and one request on its way.
const CONNECTION: u64 = 256 << 10;
/// How many times `max_body` may be in memory for one body that is being unpacked and read: two stacked encodings, and the
/// room for the output grows by doubling.
const WORK: u64 = 4;

/// The sizes of a configuration, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What bodies may take: `max_body_memory`.
    pub bodies: u64,
    /// What heads may take beyond the connections' share: `max_header_memory`.
    pub heads: u64,
    /// How many large bodies are unpacked and read at once.
    pub slots: usize,
    /// What that takes beyond what is charged.
    work: u64,
    /// What connections take, each with one request.
    connections: u64,
    /// What plugins hold: their caches.
    caches: u64,
}

impl Sizes {
    /// The sizes of this configuration on this machine.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self::on(config, machine::memory(), available_parallelism().map_or(1, NonZeroUsize::get))
    }

    fn on(config: &Config, memory: u64, cores: usize) -> Self {
        let server = &config.server;
        let bodies = server.max_body_memory.map_or(memory / 4, |size| size.get().get());
        let heads = server.max_header_memory.map_or(memory / 8, |size| size.get().get());
        let max_body = server.max_body.get();
        // on a small share of a large machine, fewer than there are cores
        let affordable = bodies / 2 / max_body.saturating_mul(WORK).max(1);
        let slots = usize::try_from(affordable).unwrap_or(usize::MAX).clamp(1, cores);
        let threads = server.threads.map_or(cores, Count::as_usize);
        // a thread copies one body at a time: into more room, or for a plugin's edit
        let work = max_body.saturating_mul(slots as u64 * WORK + threads as u64);
        let connections: u64 = config.listeners.iter().map(|listener| listener.max_connections.get() as u64).sum();
        let entries = config.plugins.iter().chain(config.routes.iter().flat_map(|route| &route.plugins));
        Self {
            bodies,
            heads,
            slots,
            work,
            connections: connections.saturating_mul(CONNECTION),
            caches: plugins::memory(entries.map(|entry| &**entry)),
        }
    }

    /// What requests take at most, all together.
    #[must_use]
    pub fn total(&self) -> u64 {
        [self.bodies, self.work, self.heads, self.connections, self.caches].into_iter().fold(0, u64::saturating_add)
    }

    /// Makes them the limits of this process.
    pub fn apply(&self) {
        BODIES.set_limit(usize::try_from(self.bodies).unwrap_or(usize::MAX));
        HEADS.set_limit(usize::try_from(self.heads).unwrap_or(usize::MAX));
        set_blocking_slots(self.slots);
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "at most {} MiB for requests (bodies {} MiB, of which {} MiB for those being unpacked and read; heads {} MiB; \
             connections {} MiB; caches {} MiB)",
            mib(self.total()),
            mib(self.bodies.saturating_add(self.work)),
            mib(self.work),
            mib(self.heads),
            mib(self.connections),
            mib(self.caches),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn config(server: &str, plugins: &str) -> Config {
        let text = format!(
            "server: {server}\nlisteners: [{{ address: \"127.0.0.1:0\", max_connections: 1024 }}]\n\
             upstreams: {{ a: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
             plugins: {plugins}\nroutes: [{{ upstream: a }}]\n"
        );
        crate::config::parse("a.yaml", &text, Path::new(""), &|_| None).unwrap()
    }

    #[test]
    fn absent_sizes_are_shares_of_the_machine_and_the_figure_is_their_sum() {
        let plugins = "[{ response_cache: { memory: { max_bytes: 64MiB } } }]";
        let sizes = Sizes::on(&config("{ threads: 2 }", plugins), 8 * GIB, 2);
        assert_eq!((sizes.bodies, sizes.heads, sizes.slots), (2 * GIB, GIB, 2));
        assert_eq!(sizes.caches, 128 << 20);
        assert_eq!(
            sizes.to_string(),
            "at most 3776 MiB for requests (bodies 2368 MiB, of which 320 MiB for those being unpacked and read; heads \
             1024 MiB; connections 256 MiB; caches 128 MiB)"
        );
    }

    #[test]
    fn a_small_budget_has_fewer_slots_than_the_machine_has_cores_but_always_one() {
        let slots = |server: &str| Sizes::on(&config(server, "[]"), 64 * GIB, 64).slots;
        assert_eq!(slots("{ max_body_memory: 1GiB }"), 4);
        assert_eq!(slots("{ max_body_memory: 1MiB }"), 1);
        assert_eq!(slots("{}"), 64);
    }

    #[test]
    fn a_cache_that_two_routes_share_counts_once() {
        let one = Sizes::on(&config("{}", "[{ response_cache: { ttl: 1m } }]"), GIB, 1);
        assert_eq!(one.caches, 512 << 20);
    }
}
