//! The refusal of a call that does not fit: which limit, whose it is, and when another attempt is worth it.

use std::time::Duration;

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{Protocol, Refusal, RefusalKind, ResetFormat, Window};
use quota::{Now, Refused};

use crate::by::Caller;
use crate::rules::{Group, Measure, Rule};

/// The longest wait that clients are asked to sit out: agents give up at once where they are told of a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The refusal.
pub(crate) fn of(
    group: &Group,
    rule: &Rule,
    caller: &Caller<'_>,
    refused: &Refused,
    now: Now,
    protocol: &'static Protocol,
) -> Refusal {
    let wait = Duration::from_nanos(refused.wait_nanos);
    // a bucket that drains by the minute goes on draining; an hour, a day or a month that is used up is not waited for
    let is_short = matches!(rule.rate.map(|rate| rate.window), None | Some(Window::Second | Window::Minute));
    let is_throttled = is_short || wait <= LONGEST_WAIT;
    let name = &group.name;
    let whose = group.by.describe(caller, group.header);
    let allowed = allowed(rule);
    let message = if is_throttled {
        let wait = wait.min(LONGEST_WAIT);
        let seconds = seconds(wait);
        format!("Rate limit `{name}` reached: {allowed} for {whose}. Try again in {seconds} s.")
    } else {
        let reset = now.timestamp_ahead(refused.wait_nanos);
        format!("Limit `{name}` is used up: {allowed} for {whose}. It resets at {reset}.")
    };
    let refusal = Refusal::new(RefusalKind::TooManyRequests, rule.reason(), message);
    let refusal = if is_throttled {
        refusal.retry_after(wait.min(LONGEST_WAIT))
    } else {
        refusal.retry_after(wait).not_to_be_retried()
    };
    headers(rule, refused, now, protocol)
        .into_iter()
        .fold(refusal, |refusal, (name, value)| refusal.header(name, value))
}

/// The refusal of a call that nobody can decide about.
pub(crate) fn undecided() -> Refusal {
    let message = "The limits on calls cannot be checked at present. Try again in 1 s.";
    Refusal::new(RefusalKind::Unavailable, "limits_unavailable", message).retry_after(Duration::from_secs(1))
}

/// What a limit allows, in words: `400000 tokens per minute`.
pub(crate) fn allowed(rule: &Rule) -> String {
    let measure = match rule.measure {
        Measure::Requests => "requests",
        Measure::Tokens => "tokens",
        Measure::Concurrent => "calls in progress",
    };
    match rule.rate {
        None => format!("{} {measure}", rule.limit.capacity()),
        Some(rate) => {
            let window = match rate.window {
                Window::Second => "second",
                Window::Minute => "minute",
                Window::Hour => "hour",
                Window::Day => "day",
                Window::Month => "month",
            };
            format!("{} {measure} per {window}", rate.amount)
        }
    }
}

/// The provider's own headers for a limit.
fn headers(rule: &Rule, refused: &Refused, now: Now, protocol: &'static Protocol) -> Vec<(HeaderName, HeaderValue)> {
    let Some(names) = protocol.limit_headers else { return Vec::new() };
    let of_measure = match rule.measure {
        Measure::Requests => names.requests,
        Measure::Tokens => names.tokens,
        Measure::Concurrent => return Vec::new(),
    };
    let standing = &refused.standing;
    let reset = match names.reset {
        ResetFormat::Timestamp => now.timestamp_ahead(standing.reset_nanos),
        ResetFormat::Duration => go_duration(Duration::from_nanos(standing.reset_nanos)),
    };
    let values = [HeaderValue::from(standing.limit), HeaderValue::from(standing.remaining)].map(Ok);
    let values = values.into_iter().chain([HeaderValue::try_from(reset)]);
    let named = of_measure.into_iter().map(HeaderName::from_static).zip(values);
    named.filter_map(|(name, value)| value.ok().map(|value| (name, value))).collect()
}

/// In whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A span of time as Go writes it, and `OpenAI`: `120ms`, `1s`, `6m0s`, `1h0m0s`.
fn go_duration(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{}ms", time.as_millis());
    }
    let all = seconds(time);
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_providers_write_them() {
        for (milliseconds, text) in
            [(0, "0ms"), (120, "120ms"), (1000, "1s"), (1001, "2s"), (360_000, "6m0s"), (86_400_000, "24h0m0s")]
        {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), text);
        }
    }
}
