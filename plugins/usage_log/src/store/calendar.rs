//! Days and months in UTC, from microseconds and back. The proleptic Gregorian calendar, as databases have it.

use std::fmt;

use crate::Timestamp;

const DAY_MICROS: i64 = 86_400_000_000;

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Date {
    pub(crate) year: i32,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

impl Date {
    /// The day that a moment falls on.
    pub(crate) fn of(time: Timestamp) -> Self {
        Self::from_days(time.micros().div_euclid(DAY_MICROS))
    }

    /// Its first moment.
    pub(crate) fn start(self) -> Timestamp {
        Timestamp::from_micros(self.days().saturating_mul(DAY_MICROS))
    }

    /// The first day of its month.
    pub(crate) fn month_start(self) -> Self {
        Self { day: 1, ..self }
    }

    /// The first day of the month after it.
    pub(crate) fn next_month(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1, day: 1 },
            month => Self { month: month + 1, day: 1, ..self },
        }
    }

    /// The day after it.
    pub(crate) fn next(self) -> Self {
        Self::from_days(self.days() + 1)
    }

    /// A day, where there is such a day.
    pub(crate) fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let date = Self { year, month, day };
        ((1..=12).contains(&month) && Self::from_days(date.days()) == date).then_some(date)
    }

    /// Days since 1970-01-01. Counts years from March, so that a leap day is a year's last.
    fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);
        let small = |number: i64| u8::try_from(number).unwrap_or(1);
        Self { year: i32::try_from(year).unwrap_or(i32::MAX), month: small(month), day: small(day) }
    }
}

/// `2026-11-24`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// A moment as text, in UTC: `2026-11-24 13:30:00.123456`. Sorts by time.
pub(crate) fn text(time: Timestamp) -> String {
    let micros = time.micros().rem_euclid(DAY_MICROS);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{} {hours:02}:{minutes:02}:{seconds:02}.{fraction:06}", Date::of(time))
}

/// What [`text`] wrote, or only the day of it.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut numbers = date.splitn(3, '-').map(str::parse::<u16>);
    let mut next = || numbers.next()?.ok();
    let date = Date::new(next()?.into(), u8::try_from(next()?).ok()?, u8::try_from(next()?).ok()?)?;
    let (clock, fraction) = clock.trim_end_matches('Z').split_once('.').unwrap_or((clock.trim_end_matches('Z'), "0"));
    let mut seconds = 0;
    for (part, most) in clock.splitn(3, ':').zip([23, 59, 59]) {
        let number = part.parse::<u8>().ok().filter(|number| *number <= most)?;
        seconds = seconds * 60 + i64::from(number);
    }
    let whole = match clock.matches(':').count() {
        1 => seconds * 60,
        2 => seconds,
        _ => return None,
    };
    let micros = format!("{fraction:0<6}").get(..6)?.parse::<u32>().ok()?;
    Some(Timestamp::from_micros(date.start().micros() + whole * 1_000_000 + i64::from(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_its_own_and_months_end_where_they_end() {
        let mut date = Date { year: 1969, month: 12, day: 28 };
        for _ in 0..150_000 {
            let next = date.next();
            assert_eq!(Date::of(next.start()), next);
            assert_eq!(Date::of(Timestamp::from_micros(next.start().micros() - 1)), date);
            assert!(next == Date { day: date.day + 1, ..date } || next == date.next_month(), "{date} {next}");
            date = next;
        }
        assert_eq!(Date::new(2024, 2, 29).map(|date| date.next().to_string()).as_deref(), Some("2024-03-01"));
        for (year, month, day) in [(2023, 2, 29), (2026, 13, 1), (2026, 0, 1), (2026, 4, 31), (2026, 4, 0)] {
            assert_eq!(Date::new(year, month, day), None);
        }
    }

    #[test]
    fn a_moment_reads_as_a_clock_shows_it() {
        assert_eq!(text(Timestamp::from_micros(0)), "1970-01-01 00:00:00.000000");
        assert_eq!(text(Timestamp::from_micros(1_709_251_199_999_999)), "2024-02-29 23:59:59.999999");
        assert_eq!(text(Timestamp::from_micros(-1)), "1969-12-31 23:59:59.999999");
        for micros in [0, -1, 1_709_251_199_999_999] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(parse(&text(time)), Some(time));
        }
        let day = parse("2024-02-29");
        assert_eq!((day, parse("2024-02-29T00:00")), (parse("2024-02-29T00:00:00Z"), parse("2024-02-29 00:00:00.0")));
        assert!(day.is_some());
        for wrong in ["", "yesterday", "2023-02-29", "2024-01-01 24:00", "2024-01-01 1", "2024-01-01 00:00:00.x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
