//! Columns of rows, which come as text, as JSON.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Timestamp;
use crate::report::engine::TextRow;
use crate::report::{dollars, moment, text};
use crate::store::calendar::Date;

/// The columns of a row, one after the other.
pub(super) struct Columns(std::vec::IntoIter<Option<String>>);

impl Columns {
    pub(super) fn of(row: TextRow) -> Self {
        Self(row.into_iter())
    }

    /// The next one, where it is something.
    pub(super) fn text(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    pub(super) fn texts(&mut self, count: usize) -> Vec<Option<String>> {
        (0..count).map(|_| self.text()).collect()
    }

    pub(super) fn number(&mut self) -> Option<i128> {
        self.text().and_then(|text| text.parse().ok())
    }

    /// A sum or a count: nothing is 0.
    pub(super) fn sum(&mut self) -> i128 {
        self.number().unwrap_or(0)
    }

    pub(super) fn id(&mut self) -> Option<Uuid> {
        self.text().and_then(|text| text.parse().ok())
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.text().as_deref().and_then(moment)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.text().map(|text| matches!(text.as_str(), "1" | "t" | "true"))
    }
}

/// A number. One beyond 64 bits stays at the most that fits.
pub(super) fn number(number: i128) -> Value {
    json!(i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }))
}

pub(super) fn optional(value: Option<i128>) -> Value {
    value.map_or(Value::Null, number)
}

/// Picodollars as dollars, exactly.
pub(super) fn money(picos: Option<i128>) -> Value {
    picos.map_or(Value::Null, |picos| json!(dollars(picos)))
}

/// A moment: `2026-11-29T11:40:07.123456Z`.
pub(super) fn time(time: Timestamp) -> Value {
    json!(text(time).replacen(' ', "T", 1) + "Z")
}

/// A moment without its fraction.
pub(super) fn minute(time: Timestamp) -> Value {
    json!(text(time).replacen(' ', "T", 1).split('.').next().unwrap_or_default().to_owned() + "Z")
}

pub(super) fn day(time: Timestamp) -> String {
    Date::of(time).to_string()
}

/// The share of the input that was read from a provider's cache; none where there is no input.
pub(super) fn cache_read_share(input: i128, read: i128, creation: i128) -> Value {
    let all = input.saturating_add(read).saturating_add(creation);
    if all <= 0 {
        return Value::Null;
    }
    json!((read as f64 / all as f64 * 10_000.0).round() / 10_000.0)
}

/// The sum of what is known of a cost: none where nothing is, and where what is known is nothing while something is not.
/// `priced` is how many of `all` have a cost.
pub(super) fn known(cost: i128, priced: i128, all: i128) -> Option<i128> {
    (priced > 0 && (cost != 0 || priced >= all)).then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cost_is_null_and_never_nothing() {
        assert_eq!(money(known(0, 0, 3)), Value::Null);
        assert_eq!(money(known(0, 2, 3)), Value::Null);
        assert_eq!(money(known(0, 2, 2)), json!("0"));
        assert_eq!(money(known(12_300_000_000, 1, 2)), json!("0.0123"));
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        let at = moment("2026-11-29 11:40:07.123456").unwrap();
        assert_eq!((time(at), minute(at)), (json!("2026-11-29T11:40:07.123456Z"), json!("2026-11-29T11:40:07Z")));
        assert_eq!((day(at).as_str(), cache_read_share(1, 2, 1)), ("2026-11-29", json!(0.5)));
    }
}
