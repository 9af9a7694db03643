//! The current backends of a pool: one for each address of each name. The addresses of a name share its weight exactly.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Server;
use super::server_config::ServerConfig;
use super::turn::Turn;
use super::upstream_state::UpstreamState;

/// The backends, and the turn of each at the same index.
#[derive(Debug, Default)]
pub(super) struct Backends {
    pub list: Vec<Backend>,
    pub turns: Vec<Turn>,
    /// The last seen count of changes of addresses and limits.
    pub seen: Option<u64>,
}

/// One address of an entry of `servers`.
#[derive(Debug)]
pub(super) struct Backend {
    pub server: Arc<Server>,
    pub label: Arc<str>,
    pub server_index: usize,
    /// The full weight, scaled.
    pub weight: u64,
    // copied from the entry, since every selection reads them
    pub limit: u64,
    pub backup: bool,
    pub down: bool,
}

/// The largest scale by which weights are made divisible. Beyond it their shares are rounded.
const LARGEST_SCALE: u64 = 720_720;
/// Additional scale where a slow start lets weights grow in thousandths.
const SLOW_START_SCALE: u64 = 1000;

impl Backends {
    /// Takes the names' current addresses. Addresses that stay keep their turns; servers that go keep their counts as long
    /// as requests hold them.
    pub fn renew(&mut self, configs: &[ServerConfig], upstream: &Arc<UpstreamState>) {
        let addresses: Vec<_> = configs.iter().map(|config| config.name.addresses()).collect();
        let counts: Vec<u64> = addresses.iter().map(|found| found.len() as u64).collect();
        let mut scale = scale(&counts);
        if configs.iter().any(|config| !config.slow_start.is_zero()) {
            scale *= SLOW_START_SCALE;
        }
        let mut list = Vec::with_capacity(addresses.iter().map(|found| found.len()).sum());
        let mut turns = Vec::with_capacity(list.capacity());
        for (at, (config, found)) in configs.iter().zip(&addresses).enumerate() {
            let unit = (scale / found.len().max(1) as u64).max(1);
            for socket in found.iter() {
                let server = upstream.server(config, *socket);
                let weight = u64::from(config.weight) * unit;
                let before = self
                    .list
                    .iter()
                    .position(|backend| backend.server_index == at && Arc::ptr_eq(&backend.server, &server));
                // a turn of another scale cannot be kept
                let turn = before.map(|before| self.turns[before]).filter(|turn| turn.unit.unsigned_abs() == unit);
                turns.push(turn.unwrap_or_else(|| Turn::new(weight, unit, server.hash())));
                list.push(Backend {
                    server,
                    label: label(config, *socket, found.len()),
                    server_index: at,
                    weight,
                    limit: upstream.limit(config),
                    backup: config.backup,
                    down: config.down,
                });
            }
        }
        (self.list, self.turns) = (list, turns);
    }
}

fn label(config: &ServerConfig, socket: SocketAddr, addresses: usize) -> Arc<str> {
    if addresses == 1 {
        config.address.to_string().into()
    } else {
        format!("{} ({})", config.address, socket.ip()).into()
    }
}

/// The factor that makes every weight divisible by its number of addresses: their least common multiple.
fn scale(counts: &[u64]) -> u64 {
    let mut scale = 1;
    for count in counts.iter().copied().filter(|count| *count > 1) {
        scale = scale / greatest_common_divisor(scale, count) * count;
        if scale > LARGEST_SCALE {
            return LARGEST_SCALE;
        }
    }
    scale
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_scaled_by_the_least_that_shares_them_exactly() {
        assert_eq!(scale(&[1, 1, 0]), 1);
        assert_eq!(scale(&[2, 3, 4]), 12);
        assert_eq!(scale(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 2520);
        assert_eq!(scale(&[97, 89, 83, 79]), LARGEST_SCALE);
    }
}
