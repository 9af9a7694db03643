//! Days and months as people in a time zone count them.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// A calendar: the time zone whose midnights it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar(pub Tz);

/// What a window of a calendar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

impl Calendar {
    /// UTC.
    pub const UTC: Self = Self(Tz::UTC);

    /// The window that a moment lies in: its first second, and the first second behind it, since 1970 UTC.
    #[must_use]
    pub fn window(self, unit: Unit, unix: i64) -> (i64, i64) {
        let Some(local) = DateTime::from_timestamp(unix, 0).map(|moment| moment.with_timezone(&self.0).date_naive())
        else {
            return (unix, i64::MAX);
        };
        let mut first = match unit {
            Unit::Day => local,
            Unit::Week => {
                local.checked_sub_days(Days::new(local.weekday().num_days_from_monday().into())).unwrap_or(local)
            }
            Unit::Month => local.with_day(1).unwrap_or(local),
        };
        // where clocks are put back over midnight, a date comes twice; its first midnight begins it
        while let Some(next) = next(unit, first).filter(|next| self.begin(*next) <= unix) {
            first = next;
        }
        let end = next(unit, first).map_or(i64::MAX, |next| self.begin(next));
        (self.begin(first).min(unix), end)
    }

    /// The first moment of a date.
    fn begin(self, date: NaiveDate) -> i64 {
        let midnight = date.and_time(NaiveTime::MIN);
        // where clocks are put forward over midnight, the date begins later: no zone skips more than a day
        let quarters = (0..=96).map(|quarter| midnight + TimeDelta::minutes(15 * quarter));
        let moment = quarters.into_iter().find_map(|local| self.0.from_local_datetime(&local).earliest());
        moment.map_or_else(|| midnight.and_utc().timestamp(), |moment| moment.timestamp())
    }
}

fn next(unit: Unit, first: NaiveDate) -> Option<NaiveDate> {
    match unit {
        Unit::Day => first.checked_add_days(Days::new(1)),
        Unit::Week => first.checked_add_days(Days::new(7)),
        Unit::Month => first.checked_add_months(Months::new(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    fn window(zone: Tz, unit: Unit, moment: &str) -> (i64, i64) {
        Calendar(zone).window(unit, at(moment))
    }

    #[test]
    fn a_day_is_the_time_zones_own_even_where_it_has_23_or_25_hours() {
        let utc = window(Tz::UTC, Unit::Day, "2026-11-28T23:59:59Z");
        assert_eq!(utc, (at("2026-11-28T00:00:00Z"), at("2026-11-29T00:00:00Z")));
        let berlin = window(Tz::Europe__Berlin, Unit::Day, "2026-11-28T23:30:00Z");
        assert_eq!(berlin, (at("2026-11-28T23:00:00Z"), at("2026-11-29T23:00:00Z")));
        for (day, hours) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25)] {
            let (begin, end) = window(Tz::Europe__Berlin, Unit::Day, day);
            assert_eq!(end - begin, hours * 3600, "{day}");
        }
    }

    #[test]
    fn a_week_begins_on_monday_wherever_it_is_asked_for() {
        let week = (at("2026-11-22T23:00:00Z"), at("2026-11-29T23:00:00Z"));
        for moment in ["2026-11-22T23:00:00Z", "2026-11-28T12:00:00Z", "2026-11-29T22:59:59Z"] {
            assert_eq!(window(Tz::Europe__Berlin, Unit::Week, moment), week, "{moment}");
        }
        assert_eq!(window(Tz::Europe__Berlin, Unit::Week, "2026-11-29T23:00:00Z").0, week.1);
    }

    #[test]
    fn a_month_is_as_long_as_it_is() {
        let leap = window(Tz::UTC, Unit::Month, "2028-02-29T12:00:00Z");
        assert_eq!(leap, (at("2028-02-01T00:00:00Z"), at("2028-03-01T00:00:00Z")));
        let tokyo = window(Tz::Asia__Tokyo, Unit::Month, "2026-12-31T15:00:00Z");
        assert_eq!(tokyo, (at("2026-12-31T15:00:00Z"), at("2027-01-31T15:00:00Z")));
    }

    #[test]
    fn windows_follow_each_other_without_a_gap_in_the_oddest_zones() {
        // clocks put forward at midnight, put back over midnight, a skipped day, half hours
        for zone in [
            Tz::America__Sao_Paulo,
            Tz::America__St_Johns,
            Tz::Pacific__Apia,
            Tz::Australia__Lord_Howe,
            Tz::Africa__Cairo,
            Tz::Asia__Beirut,
        ] {
            for unit in [Unit::Day, Unit::Week, Unit::Month] {
                let mut moment = at("1987-01-01T00:00:00Z");
                let end = at("2030-01-01T00:00:00Z");
                while moment < end {
                    let (first, behind) = Calendar(zone).window(unit, moment);
                    assert!(first <= moment && moment < behind, "{zone} {unit:?} {moment}");
                    assert_eq!(Calendar(zone).window(unit, behind - 1).1, behind, "{zone} {unit:?} {moment}");
                    assert_eq!(Calendar(zone).window(unit, behind).0, behind, "{zone} {unit:?} {moment}");
                    moment = behind;
                }
            }
        }
    }
}
