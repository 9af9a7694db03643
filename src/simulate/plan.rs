//! What one request will get: its delays, its tokens, a refusal or a break. Drawn once, before anything is answered.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use plugin_api::Period;

use super::draws::{Draws, Purpose};
use super::settings::Settings;
use super::values::{Rate, error_status, tokens};

const OVERRIDES: &str = "x-sim-";

/// What one request will get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) draws: Draws,
    pub(super) ttft: Duration,
    pub(super) token_gap: Duration,
    /// The time until an answer without a stream, where it is not that of its stream.
    pub(super) whole_after: Option<Duration>,
    pub(super) tokens: u64,
    /// The status to refuse it with.
    pub(super) refusal: Option<StatusCode>,
    pub(super) abort: Option<Abort>,
    /// Whether it came in a batch, as Anthropic's usage says.
    pub(super) in_batch: bool,
}

/// Where an answer breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// Before its first byte.
    Head,
    /// Half-way through its body.
    Midway,
}

impl Plan {
    /// The plan for a call, by the settings alone.
    pub(super) fn draw(settings: &Settings, number: u64) -> Self {
        let draws = Draws::new(settings.seed, number);
        let happens = |rate: Rate, purpose| rate.hits(draws.get(purpose, 0));
        Self {
            draws,
            ttft: settings.ttft.get(),
            token_gap: settings.token_gap.get(),
            whole_after: settings.whole_after.map(Period::get),
            tokens: settings.tokens,
            refusal: happens(settings.error_rate, Purpose::Refusal).then_some(settings.error_status),
            abort: happens(settings.abort_rate, Purpose::Abort).then_some(Abort::Midway),
            in_batch: false,
        }
    }

    /// The same for a request of a batch.
    pub(super) fn of_batch(self) -> Self {
        Self { in_batch: true, ..self }
    }

    /// Follows the headers of the request that override settings. An error says which header is wrong, and how.
    pub(super) fn follow(&mut self, headers: &HeaderMap) -> Result<(), String> {
        for (name, value) in headers {
            let Some(setting) = name.as_str().strip_prefix(OVERRIDES) else { continue };
            let wrong = |error: String| format!("{name}: {error}");
            let value = value.to_str().map_err(|_| wrong("not plain text".to_owned()))?;
            match setting {
                "ttft" => self.ttft = self.asked_time(value).map_err(wrong)?,
                "token-gap" => self.token_gap = self.asked_time(value).map_err(wrong)?,
                "tokens" => self.tokens = tokens(value).map_err(wrong)?,
                "status" if value == "200" => self.refusal = None,
                "status" => self.refusal = Some(error_status(value).map_err(wrong)?),
                "abort" => self.abort = abort(value).map_err(wrong)?,
                _ => {
                    return Err(wrong(
                        "no such setting; there are ttft, token-gap, tokens, status and abort".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// A time that a request asks for. Its answer has that, whether or not it is a stream.
    fn asked_time(&mut self, value: &str) -> Result<Duration, String> {
        self.whole_after = None;
        Ok(value.parse::<Period>()?.get())
    }
}

fn abort(value: &str) -> Result<Option<Abort>, String> {
    match value {
        "1" => Ok(Some(Abort::Midway)),
        "head" => Ok(Some(Abort::Head)),
        "0" => Ok(None),
        _ => Err(format!("`{value}` is none of 1, head and 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(error_rate: &str, abort_rate: &str, seed: u64) -> Settings {
        Settings {
            error_rate: error_rate.parse().unwrap(),
            abort_rate: abort_rate.parse().unwrap(),
            seed,
            ..Settings::default()
        }
    }

    #[test]
    fn the_same_seed_refuses_and_breaks_the_same_calls() {
        let run = |seed| (0..1000).map(|n| Plan::draw(&settings("0.3", "0.2", seed), n)).collect::<Vec<_>>();
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    #[test]
    fn as_many_calls_are_refused_as_the_rate_says() {
        let refused = |rate| (0..10_000).filter(|n| Plan::draw(&settings(rate, "0", 1), *n).refusal.is_some()).count();
        assert_eq!(refused("0"), 0);
        assert_eq!(refused("1"), 10_000);
        assert!((2_800..3_200).contains(&refused("0.3")));
    }

    #[test]
    fn headers_override_the_settings_of_one_call() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-sim-ttft", "250ms"), ("x-sim-tokens", "3"), ("x-sim-status", "503"), ("x-sim-abort", "1")]
        {
            headers.insert(name, value.parse().unwrap());
        }
        let mut plan = Plan::draw(&Settings::default(), 0);
        plan.follow(&headers).unwrap();
        assert_eq!(plan.ttft, Duration::from_millis(250));
        assert_eq!(plan.token_gap, Duration::ZERO);
        assert_eq!((plan.tokens, plan.abort), (3, Some(Abort::Midway)));
        assert_eq!(plan.refusal, Some(StatusCode::SERVICE_UNAVAILABLE));
        headers.insert("x-sim-status", "200".parse().unwrap());
        plan.follow(&headers).unwrap();
        assert_eq!(plan.refusal, None);
    }

    #[test]
    fn a_wrong_override_is_named() {
        for (name, value) in
            [("x-sim-ttft", "soon"), ("x-sim-tokens", "-1"), ("x-sim-abort", "yes"), ("x-sim-speed", "1")]
        {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            let error = Plan::draw(&Settings::default(), 0).follow(&headers).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
