//! A span of the day: `22:00-06:00 Europe/Berlin`.

use std::fmt;

use quota::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From one minute of the day to another, which is not in it; over midnight where the second is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TimeSpan {
    from: u32,
    to: u32,
    zone: TimeZone,
}

impl TimeSpan {
    /// Whether a moment is in it, in seconds since 1970, UTC.
    #[must_use]
    pub fn holds(&self, unix: i64) -> bool {
        let minute = self.zone.minute_of_day(unix);
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no span of the day; wanted `22:00-06:00` or `22:00-06:00 Europe/Berlin`");
        let (span, zone) = text.split_once(' ').unwrap_or((&text, "UTC"));
        let (from, to) = span.split_once('-').ok_or_else(wrong)?;
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str, below| text.parse::<u32>().ok().filter(|n| text.len() == 2 && *n < below);
            let (hours, minutes) = (number(hours, 25)?, number(minutes, 60)?);
            Some(hours * 60 + minutes).filter(|minute| *minute <= 24 * 60)
        };
        let (from, to) = minute(from).zip(minute(to)).ok_or_else(wrong)?;
        if from == to {
            return Err(format!("`{text}` begins and ends at the same minute; leave `time` out for the whole day"));
        }
        Ok(Self { from, to, zone: TimeZone::try_from(zone.trim().to_owned())? })
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, zone } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02} {zone}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(span: &str, hour: i64, minute: i64) -> bool {
        // 2026-06-01, when Berlin is two hours ahead of UTC
        let midnight = 1_780_272_000;
        TimeSpan::try_from(span.to_owned()).unwrap().holds(midnight + hour * 3600 + minute * 60)
    }

    #[test]
    fn a_span_may_go_over_midnight_and_has_a_time_zone() {
        assert!(holds("09:00-17:30", 9, 0) && holds("09:00-17:30", 17, 29) && !holds("09:00-17:30", 17, 30));
        assert!(holds("22:00-06:00", 23, 0) && holds("22:00-06:00", 5, 59) && !holds("22:00-06:00", 6, 0));
        assert!(holds("22:00-06:00 Europe/Berlin", 20, 0) && !holds("22:00-06:00 Europe/Berlin", 4, 0));
        assert!(holds("12:00-24:00", 23, 59));
        assert_eq!(String::from(TimeSpan::try_from("09:00-17:30".to_owned()).unwrap()), "09:00-17:30 UTC");
    }

    #[test]
    fn what_is_no_span_is_an_error() {
        for text in ["", "9:00-10:00", "09:00", "25:00-26:00", "24:01-03:00", "09:60-10:00", "09:00-09:00", "a-b"] {
            assert!(TimeSpan::try_from(text.to_owned()).is_err(), "{text}");
        }
        let error = TimeSpan::try_from("09:00-10:00 Mars/Olympus".to_owned()).unwrap_err();
        assert!(error.contains("Mars/Olympus"), "{error}");
    }
}
