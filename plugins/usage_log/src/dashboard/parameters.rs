//! The parameters of a query of the dashboard: each known, once at most, and within its bounds.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::SystemTime;

use plugin_api::AdminRequest;
use uuid::Uuid;

use crate::Timestamp;
use crate::report::moment;

/// The longest span of time that a query may look at.
const LONGEST: i64 = 400 * DAY;
/// A day in microseconds.
pub(super) const DAY: i64 = 86_400_000_000;

/// Parameters that nobody has taken yet.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn of(request: &AdminRequest) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for (name, value) in request.parameters()? {
            // no text of the ledger has one
            if value.contains('\0') {
                return Err(format!("`{name}` has a NUL in it"));
            }
            if all.insert(name.clone(), value).is_some() {
                return Err(format!("`{name}` is named twice"));
            }
        }
        Ok(Self(all))
    }

    /// A text, empty or not, where there is one.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The same, where it says anything.
    pub(super) fn word(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, wanted: &str) -> Result<Option<T>, String> {
        let word = self.word(name);
        word.map(|text| text.parse().map_err(|_| format!("`{name}`: found `{text}`, wanted {wanted}"))).transpose()
    }

    /// A number, or else this one, within these bounds.
    pub(super) fn number(&mut self, name: &str, least: usize, otherwise: usize, most: usize) -> Result<usize, String> {
        let number = self.parsed(name, "a number")?.unwrap_or(otherwise);
        let is_bounded = (least..=most).contains(&number);
        is_bounded.then_some(number).ok_or_else(|| format!("`{name}`: found {number}, wanted {least} to {most}"))
    }

    pub(super) fn id(&mut self, name: &str) -> Result<Option<Uuid>, String> {
        self.parsed(name, "a UUID")
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        self.parsed(name, "true or false").map(Option::unwrap_or_default)
    }

    fn moment(&mut self, name: &str) -> Result<Option<Timestamp>, String> {
        let wanted =
            |text: &str| format!("`{name}`: found `{text}`, wanted a moment in UTC like `2026-11-01T13:30:00Z`");
        self.word(name).map(|text| moment(&text).ok_or_else(|| wanted(&text))).transpose()
    }

    /// The span from `from` on and before `to`; the last day where neither is said.
    pub(super) fn span(&mut self) -> Result<(Timestamp, Timestamp), String> {
        let to = self.moment("to")?.unwrap_or_else(|| SystemTime::now().into());
        let from = self.moment("from")?.unwrap_or(Timestamp::from_micros(to.micros().saturating_sub(DAY)));
        bounded(from, to)
    }

    /// The days from `from` to `to`, both among them, as moments: the beginning of the first, and the end of the last. The last 30 days
    /// where neither is said.
    pub(super) fn days(&mut self) -> Result<(Timestamp, Timestamp), String> {
        let day = |time: Timestamp| Timestamp::from_micros(time.micros().div_euclid(DAY).saturating_mul(DAY));
        let to = day(self.moment("to")?.unwrap_or_else(|| SystemTime::now().into()));
        let to = Timestamp::from_micros(to.micros().saturating_add(DAY));
        let from = self.moment("from")?.unwrap_or(Timestamp::from_micros(to.micros().saturating_sub(30 * DAY)));
        bounded(day(from), to)
    }

    /// That all were taken.
    pub(super) fn finish(&self) -> Result<(), String> {
        self.0.keys().next().map_or(Ok(()), |name| Err(format!("`{name}` is no parameter of this path")))
    }
}

fn bounded(from: Timestamp, to: Timestamp) -> Result<(Timestamp, Timestamp), String> {
    let span = to.micros().saturating_sub(from.micros());
    match span {
        ..0 => Err("`from` is after `to`".into()),
        0..=LONGEST => Ok((from, to)),
        _ => Err("the span from `from` to `to` is longer than 400 days".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Result<Parameters, String> {
        Parameters::of(&AdminRequest { query: query.into() })
    }

    #[test]
    fn parameters_are_known_named_once_and_within_their_bounds() {
        let mut all = parameters("limit=7&tenant=&id=x&errors=true").unwrap();
        assert_eq!(all.number("limit", 1, 50, 200), Ok(7));
        assert_eq!((all.text("tenant"), all.flag("errors")), (Some(String::new()), Ok(true)));
        assert!(all.id("id").is_err());
        assert_eq!(all.finish(), Ok(()));
        assert!(parameters("a=1&a=2").is_err() && parameters("a=%00").is_err());
        assert!(parameters("b=1").unwrap().finish().unwrap_err().contains("`b`"));
        assert!(parameters("limit=0").unwrap().number("limit", 1, 50, 200).is_err());
        assert!(parameters("limit=201").unwrap().number("limit", 1, 50, 200).is_err());
    }

    #[test]
    fn a_span_has_an_end_after_its_beginning_and_is_no_longer_than_a_year() {
        let days = |query: &str| parameters(query).unwrap().days();
        let at = |text| moment(text).unwrap();
        assert_eq!(days("from=2026-11-01&to=2026-11-30"), Ok((at("2026-11-01"), at("2026-12-01"))));
        assert_eq!(days("from=2026-11-01T23:00:00Z&to=2026-11-01"), Ok((at("2026-11-01"), at("2026-11-02"))));
        assert!(days("from=2026-11-02&to=2026-10-01").is_err() && days("from=2024-11-02&to=2026-10-01").is_err());
        assert!(days("from=2026-13-02").is_err());
        let (from, to) = parameters("").unwrap().span().unwrap();
        assert_eq!(to.micros() - from.micros(), DAY);
    }
}
