//! The settings.

use std::time::Duration;

use plugin_api::{ConfigProblem, Count, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest window. Beyond it callers would wait longer than for most answers.
const LONGEST: Duration = Duration::from_secs(1);

/// Makes one upstream call of embedding calls that come at the same time, and takes its answer apart again.
///
/// Calls are merged that one tenant makes with one credential to one upstream, and that are equal but for their `input`. The first call
/// goes at once, as it came; those that come while it is under way wait for the window, and go together. Each caller gets the bytes that
/// it would have got alone. The usage is shared out to the token by the size of the inputs. A merged call that the upstream refuses is
/// sent again as the calls that it was made of.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long a call waits for others at most, from 1 ms to 1 s.
    #[serde(default = "window")]
    pub window: Period,
    /// How many calls go together at most, from 2 to 256.
    #[serde(default = "max")]
    pub max: Count<2, 256>,
    /// How many inputs a merged call has at most, from 2 to 2048, which most providers take. A call with more goes alone.
    #[serde(default = "max_inputs")]
    pub max_inputs: Count<2, 2048>,
    /// How many tokens a merged call has at most, from 1 to 10000000. A text counts a token for each of its bytes, which are never fewer. A
    /// call with more goes alone.
    #[serde(default = "max_tokens")]
    pub max_tokens: Count<1, 10_000_000>,
}

/// How much goes together at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub calls: usize,
    pub inputs: usize,
    pub tokens: u64,
}

fn window() -> Period {
    Period::from_millis(5)
}

fn max() -> Count<2, 256> {
    Count::clamped(64)
}

fn max_inputs() -> Count<2, 2048> {
    Count::clamped(256)
}

fn max_tokens() -> Count<1, 10_000_000> {
    Count::clamped(300_000)
}

impl Default for Config {
    fn default() -> Self {
        Self { window: window(), max: max(), max_inputs: max_inputs(), max_tokens: max_tokens() }
    }
}

impl Config {
    /// How much goes together at most.
    pub(crate) fn limits(&self) -> Limits {
        Limits { calls: self.max.as_usize(), inputs: self.max_inputs.as_usize(), tokens: self.max_tokens.get() }
    }

    /// Whether the window makes sense.
    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        let window = self.window.get();
        if (Duration::from_millis(1)..=LONGEST).contains(&window) {
            return Ok(());
        }
        Err("window: is from 1ms to 1s".into())
    }
}
