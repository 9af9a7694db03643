//! Days and months in UTC, and moments as text. The proleptic Gregorian calendar, as databases have it.

use std::fmt;

use chrono::format::{Fixed, Item, Numeric, Pad};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::Timestamp;

/// How [`text`] writes a moment: `%Y-%m-%d %H:%M:%S%.6f`, which is not read anew for each row.
const WRITTEN: [Item<'_>; 12] = [
    Item::Numeric(Numeric::Year, Pad::Zero),
    Item::Literal("-"),
    Item::Numeric(Numeric::Month, Pad::Zero),
    Item::Literal("-"),
    Item::Numeric(Numeric::Day, Pad::Zero),
    Item::Space(" "),
    Item::Numeric(Numeric::Hour, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Minute, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Second, Pad::Zero),
    Item::Fixed(Fixed::Nanosecond6),
];
/// How people write the clock of a moment.
const CLOCKS: [&str; 2] = ["%H:%M:%S%.f", "%H:%M"];

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Date(NaiveDate);

impl Date {
    /// The day that a moment falls on.
    pub(crate) fn of(time: Timestamp) -> Self {
        Self(moment(time).date())
    }

    /// A day, if there is such a day.
    pub(crate) fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month.into(), day.into()).map(Self)
    }

    pub(crate) fn year(self) -> i32 {
        self.0.year()
    }

    /// 1 to 12.
    pub(crate) fn month(self) -> u32 {
        self.0.month()
    }

    /// 1 to 31.
    pub(crate) fn day(self) -> u32 {
        self.0.day()
    }

    /// Its first moment.
    pub(crate) fn start(self) -> Timestamp {
        timestamp(self.0.and_time(NaiveTime::MIN))
    }

    /// The first day of its month.
    pub(crate) fn month_start(self) -> Self {
        Self(self.0.with_day(1).unwrap_or(self.0))
    }

    /// The first day of the month after it.
    pub(crate) fn next_month(self) -> Self {
        Self(self.month_start().0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
    }

    /// The day after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX))
    }
}

/// `2026-11-24`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A moment as text, in UTC: `2026-11-24 13:30:00.123456`. Sorts by time.
#[must_use]
pub fn text(time: Timestamp) -> String {
    text_as(time)
}

/// [`text`], as any type that is made from a text.
pub(crate) fn text_as<T: for<'a> From<&'a str> + From<String>>(time: Timestamp) -> T {
    let moment = moment(time);
    // several times as fast, for every row of the ledger
    let digits = u32::try_from(moment.year()).ok().filter(|year| *year <= 9999).map(|year| {
        let mut text = *b"0000-00-00 00:00:00.000000";
        put(&mut text[..4], year);
        put(&mut text[5..7], moment.month());
        put(&mut text[8..10], moment.day());
        put(&mut text[11..13], moment.hour());
        put(&mut text[14..16], moment.minute());
        put(&mut text[17..19], moment.second());
        put(&mut text[20..], moment.nanosecond() / 1000);
        text
    });
    match digits.as_ref().map(|digits| str::from_utf8(digits)) {
        Some(Ok(text)) => text.into(),
        _ => moment.format_with_items(WRITTEN.iter()).to_string().into(),
    }
}

/// Writes the last digits of a number, as many as there is room for.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        number /= 10;
    }
}

/// The moment of a text by [`text`], or as people write one: `2026-11-24`, `2026-11-24 13:30`, `2026-11-24T13:30:00Z`.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (date, clock.trim_end_matches('Z')),
        None => (text, "00:00"),
    };
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let clock = CLOCKS.iter().find_map(|form| NaiveTime::parse_from_str(clock, form).ok())?;
    // a leap second has no number of its own
    (clock.nanosecond() < 1_000_000_000).then(|| timestamp(date.and_time(clock)))
}

/// Moments beyond the calendar's years, which no clock shows, count as its first or last.
fn moment(time: Timestamp) -> NaiveDateTime {
    let limit = if time.micros() < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX };
    DateTime::from_timestamp_micros(time.micros()).map_or(limit, |time| time.naive_utc())
}

fn timestamp(moment: NaiveDateTime) -> Timestamp {
    Timestamp::from_micros(moment.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_its_own_and_months_end_where_they_end() {
        let mut date = Date::new(1969, 12, 28).unwrap();
        for _ in 0..150_000 {
            let next = date.next();
            assert_eq!(Date::of(next.start()), next);
            assert_eq!(Date::of(Timestamp::from_micros(next.start().micros() - 1)), date);
            let is_next_day = (next.year(), next.month(), next.day()) == (date.year(), date.month(), date.day() + 1);
            assert!(is_next_day || next == date.next_month(), "{date} {next}");
            date = next;
        }
        assert_eq!(Date::new(2024, 2, 29).map(|date| date.next().to_string()).as_deref(), Some("2024-03-01"));
        assert_eq!(Date::new(2024, 1, 31).map(|date| date.next_month().to_string()).as_deref(), Some("2024-02-01"));
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
        for wrong in [
            "",
            "yesterday",
            "2023-02-29",
            "2024-01-01 24:00",
            "2024-01-01 1",
            "2024-01-01 00:00:00.x",
            "2024-01-01 00:00:60",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_written_as_their_form_says() {
        for micros in [0, -1, 1_709_251_199_999_999, 253_402_300_800_000_000, -70_000_000_000_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(text(time), moment(time).format("%Y-%m-%d %H:%M:%S%.6f").to_string());
        }
    }

    #[test]
    fn no_moment_is_beyond_the_calendar() {
        for micros in [i64::MIN, i64::MAX] {
            let date = Date::of(Timestamp::from_micros(micros));
            assert!(date.next() >= date && date.next_month() >= date.month_start(), "{date}");
            assert!(!text(date.start()).is_empty());
        }
    }
}
