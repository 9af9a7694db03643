//! A walk through requests, from the newest back, as far as one answer may take: whatever a filter looks for, and however rare that is, no
//! query goes through more rows than a step has.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Failure;
use super::json::Columns;
use super::parameters::Parameters;
use super::reader::Reader;
use crate::Timestamp;

/// The rows of the first steps; further ones are as large as the last.
const STEPS: [usize; 3] = [2_000, 8_000, 20_000];
/// After so long no further step is taken.
const LONG_ENOUGH: Duration = Duration::from_millis(120);

/// Where an answer ended: behind this row, or before this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    time: Timestamp,
    id: Option<Uuid>,
}

impl Place {
    /// Behind a row.
    pub(super) fn behind(time: Timestamp, id: Uuid) -> Self {
        Self { time, id: Some(id) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time.micros())?;
        self.id.map_or(Ok(()), |id| write!(f, ".{id}"))
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (time, id) = text.split_once('.').map_or((text, None), |(time, id)| (time, Some(id)));
        let time = Timestamp::from_micros(time.parse().map_err(|_| ())?);
        Ok(Self { time, id: id.map(|id| id.parse().map_err(|_| ())).transpose()? })
    }
}

/// A walk from one moment back to another.
pub(super) struct Walk {
    from: Timestamp,
    place: Place,
    steps: usize,
    began: Instant,
}

impl Walk {
    /// From where an answer ended, or else from the end of the span.
    pub(super) fn of(parameters: &mut Parameters, from: Timestamp, to: Timestamp) -> Result<Self, String> {
        let after: Option<Place> = parameters.parsed("after", "what `next` said")?;
        let end = Place { time: to, id: None };
        let place = after.filter(|after| after.time <= to).unwrap_or(end);
        Ok(Self { from, place, steps: 0, began: Instant::now() })
    }

    /// The condition of the rows of the next step, where there is one; none once all is walked through, or it was long enough.
    pub(super) async fn step(&mut self, reader: &Reader) -> Result<Option<String>, Failure> {
        if self.place.time <= self.from && self.place.id.is_none()
            || self.steps > 0 && self.began.elapsed() > LONG_ENOUGH
        {
            return Ok(None);
        }
        let time = reader.words().time;
        let before = match self.place.id {
            Some(id) => format!(
                "created_at <= {0} AND (created_at < {0} OR id < '{id}'{1})",
                time(self.place.time),
                reader.words().uuid
            ),
            None => format!("created_at < {}", time(self.place.time)),
        };
        let from = time(self.from);
        let rows = STEPS[self.steps.min(STEPS.len() - 1)];
        let text = (reader.dialect().time_text)("created_at");
        let far = format!(
            "SELECT {text} FROM api_requests WHERE {before} AND created_at >= {from} ORDER BY created_at DESC LIMIT 1 OFFSET {rows}"
        );
        let far = reader.rows(&far, 1).await?.into_iter().next().and_then(|row| Columns::of(row).time());
        self.steps += 1;
        // all rows of that moment are in this step
        let first = far.unwrap_or(self.from);
        self.place = Place { time: first, id: None };
        Ok(Some(format!("{before} AND created_at >= {}", time(first))))
    }

    /// Up to where all rows were looked at.
    pub(super) fn searched_to(&self) -> Timestamp {
        self.place.time
    }

    /// Where the next answer begins; none where nothing is left.
    pub(super) fn next(&self) -> Option<Place> {
        (self.place.time > self.from).then_some(self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for place in [
            Place::behind(Timestamp::from_micros(12), Uuid::from_u128(7)),
            Place { time: Timestamp::from_micros(-3), id: None },
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert!(["", ".", "1.", "1.x", "x", "1.2.3"].iter().all(|text| text.parse::<Place>().is_err()));
    }
}
