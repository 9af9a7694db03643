//! The settings of the plugin and their checks. Opens nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin_api::{ByteSize, ConfigProblem, Count, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::Millis;
use crate::plan::Times;
use crate::store::Terms;

/// Sends calls that may wait as batches, at the price of batches.
///
/// A call with the header `x-tollgate-batch: 30m`, the longest that its client waits, is written to the disk, collected with others
/// of its upstream and model, and submitted as an Anthropic message batch or an `OpenAI` batch, with the upstream's own credential. Its
/// client gets the answer on the same connection or is told where to fetch it. Calls without the header pass as ever.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most calls in a batch.
    pub max_calls: Count<1, 50_000>,
    /// The most bytes of calls in a batch.
    pub max_bytes: ByteSize,
    /// How long calls are collected, from the first one on.
    pub window: Period,
    /// How long a call without a stream is held before its client is told to come back.
    pub max_hold: Period,
    /// What a client gets whose call was not answered in time, or failed or expired in its batch.
    pub otherwise: Otherwise,
    /// What happens to a call that waits once all its clients have disconnected.
    pub on_clients_disconnected: OnClientsDisconnected,
    /// The folder of calls and answers. No other gateway may use it.
    pub path: PathBuf,
    /// The most bytes of calls and answers in it. Beyond it, calls go by `otherwise`.
    pub max_stored: ByteSize,
    /// How long answers wait for their clients.
    pub keep: Period,
    /// How long after its submission a batch is looked at first. Each pause is half as long again as the one before, up to 24 times this.
    pub poll: Period,
    /// How long after an unclear submission the provider's list of batches must show it. A batch that is listed later is submitted twice.
    pub settle: Period,
}

/// What a client gets whose call was not answered by a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The call goes to the upstream at once, at its usual price.
    #[default]
    Live,
    /// An error.
    Fail,
}

/// What happens to a call when all its clients have disconnected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClientsDisconnected {
    /// It stays: the same request gets its answer.
    #[default]
    Keep,
    /// It is taken out of its batch, or, once that is submitted, the batch is cancelled as soon as nobody waits for any of its calls.
    Cancel,
}

/// The least room of a store.
const LEAST: ByteSize = ByteSize::mebibytes(1);
/// The most that a provider takes as one batch.
const MOST: ByteSize = ByteSize::mebibytes(190);
/// The longest times: those after which providers forget batches and their results.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const LONGEST_KEEP: Duration = Duration::from_secs(29 * 24 * 3600);

impl Default for Config {
    fn default() -> Self {
        Self {
            max_calls: Count::clamped(1000),
            max_bytes: ByteSize::mebibytes(32),
            window: Period::from_secs(30),
            max_hold: Period::from_secs(480),
            otherwise: Otherwise::default(),
            on_clients_disconnected: OnClientsDisconnected::default(),
            path: PathBuf::from("batches"),
            max_stored: ByteSize::mebibytes(128),
            keep: Period::from_secs(24 * 3600),
            poll: Period::from_secs(5),
            settle: Period::from_secs(10),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        for (name, period, longest) in [
            ("window", self.window, LONGEST),
            ("max_hold", self.max_hold, LONGEST),
            ("keep", self.keep, LONGEST_KEEP),
            ("poll", self.poll, LONGEST),
            ("settle", self.settle, LONGEST),
        ] {
            if period.get().is_zero() || period.get() > longest {
                return Err(format!(
                    "`{name}` is `{period}`, and must be above 0 and at most {}h",
                    longest.as_secs() / 3600
                )
                .into());
            }
        }
        if self.max_bytes > MOST {
            return Err(format!("`max_bytes` is {}, above the {MOST} that providers take", self.max_bytes).into());
        }
        if self.max_stored < LEAST {
            return Err(format!("`max_stored` is {}, below {LEAST}", self.max_stored).into());
        }
        if self.max_bytes > self.max_stored {
            return Err(
                format!("`max_bytes` is {}, above `max_stored`, which is {}", self.max_bytes, self.max_stored).into()
            );
        }
        Ok(())
    }

    /// The setting of the store that another entry with the same folder has in another way.
    pub(crate) fn differs_from(&self, other: &Self, base: &Path) -> Option<&'static str> {
        if self.folder(base) != other.folder(base) {
            return None;
        }
        let differences = [
            ("max_stored", self.max_stored != other.max_stored),
            ("keep", self.keep.get() != other.keep.get()),
            ("poll", self.poll.get() != other.poll.get()),
            ("settle", self.settle.get() != other.settle.get()),
        ];
        differences.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
    }

    pub(crate) fn folder(&self, base: &Path) -> PathBuf {
        let path = base.join(&self.path);
        std::path::absolute(&path).unwrap_or(path)
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            times: Times { keep: milliseconds(self.keep.get()) },
            poll: milliseconds(self.poll.get()),
            settle: milliseconds(self.settle.get()),
            max_stored: self.max_stored.get(),
        }
    }
}

pub(crate) fn milliseconds(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}
