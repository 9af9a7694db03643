//! A call that waits for its batch: what is stored of it beside its body. Holds no credential.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use plugin_api::{DeferredCost, Uuid};
use serde::{Deserialize, Serialize};

/// What a call takes of the store's bound beside its texts.
const OF_A_CALL: u64 = 1024;

/// Milliseconds since 1970: what is stored must mean the same after a restart.
pub(crate) type Millis = u64;

/// The time now. It goes on evenly while the process runs: a wall clock that is set expires nothing.
pub(crate) fn now() -> Millis {
    static CLOCK: LazyLock<Clock> = LazyLock::new(|| Clock { wall: wall(), began: Instant::now() });
    CLOCK.at(Instant::now())
}

/// The time by the wall clock, as others have it.
pub(crate) fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that begins as the wall clock stands.
struct Clock {
    wall: Millis,
    began: Instant,
}

impl Clock {
    fn at(&self, now: Instant) -> Millis {
        let elapsed = now.saturating_duration_since(self.began).as_millis();
        self.wall.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// A hash that tells callers or requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(u128);

impl Key {
    /// The key of these parts. What separates them may stand in none.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_le_bytes(bytes))
    }
}

/// Whose batch format a call's upstream takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Api {
    Messages,
    Chat,
    Responses,
    Embeddings,
}

/// What calls of one batch have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The upstream's name in the YAML.
    pub(crate) upstream: String,
    pub(crate) api: Api,
    /// The path that its calls are sent to one by one.
    pub(crate) path: String,
    /// Its query, with the question mark; empty where there is none.
    pub(crate) query: String,
    pub(crate) model: String,
    /// The headers that decide how the provider reads a call (`anthropic-version`), sorted.
    pub(crate) headers: Vec<(String, String)>,
}

/// A call, without its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The request's id, which is its `custom_id` too.
    pub(crate) id: Uuid,
    /// Who may have the answer.
    pub(crate) owner: Key,
    /// What it asks for: the same request of the same owner joins it.
    pub(crate) digest: Key,
    pub(crate) group: Group,
    pub(crate) accepted: Millis,
    /// When its first client has waited as long as it wants.
    pub(crate) wait_until: Millis,
    /// When its batch is submitted, full or not.
    pub(crate) close_at: Millis,
    /// The bounds on its batch.
    pub(crate) max_calls: usize,
    pub(crate) max_bytes: usize,
    /// What its bookkeeping needs if its answer comes when its client has gone.
    pub(crate) booking: Booking,
    /// What budgets have reserved for it.
    pub(crate) cost: Option<DeferredCost>,
}

impl Call {
    /// The bytes that it takes of the store's bound beside its body: what callers may make long, and something for the rest.
    pub(crate) fn room(&self) -> u64 {
        let Group { upstream, api: _, path, query, model, headers } = &self.group;
        let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let payer = self.cost.as_ref().map_or(0, |cost| {
            [&cost.tenant, &cost.key, &cost.user, &cost.model].into_iter().flatten().map(String::len).sum()
        });
        let text =
            payer + upstream.len() + path.len() + query.len() + model.len() + headers + self.booking.domain.len();
        OF_A_CALL + text as u64
    }
}

/// Who pays for a call, as the ledger names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Booking {
    /// The ledger; `None` where the route has none.
    pub(crate) ledger: Option<String>,
    pub(crate) domain: String,
    pub(crate) tenant: Option<String>,
    pub(crate) key_name: Option<String>,
    pub(crate) api_key_hash: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_evenly_from_where_the_wall_clock_stood() {
        let (began, wall) = (Instant::now(), 1_700_000_000_000);
        // whatever the wall clock says by now
        let clock = Clock { wall, began };
        assert_eq!(clock.at(began), wall);
        assert_eq!(clock.at(began + Duration::from_secs(90)), wall + 90_000);
        assert!(super::wall().abs_diff(now()) < 60_000);
    }
}
