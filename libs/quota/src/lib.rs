//! Limits whose amounts are reserved before the work and settled after it, by true figures: [`Meter`]s that count, [`reserve`] that
//! takes from several at once or from none, and [`Estimates`] of what a call to a model will use. A meter of a limit that several
//! gateways share counts a lease of it ([`Meter::leased`]). It knows no socket and nothing of what is counted. Meters
//! read no clock: the time is passed in, as a [`Clock`] or a test has it.
//!
//! ```
//! use quota::{Claim, Limit, Meters, Now, Subject, reserve};
//!
//! let limit = Limit::per_second(2, 2);
//! let meters = Meters::default();
//! let now = Now { nanos: 0, unix: 0 };
//! let claim = || Claim::spend(meters.get(Subject::of(["alice"]), 1000, &limit, now).meter, limit, 1);
//!
//! assert!(reserve(vec![claim()], now).is_ok());
//! assert!(reserve(vec![claim()], now).is_ok());
//! let refused = reserve(vec![claim()], now).unwrap_err();
//! assert_eq!(refused.wait_nanos, 500_000_000);
//! ```

/// Tests of other crates include a file of this one's.
#[cfg(test)]
extern crate self as quota;

mod bounded;
mod calendar;
mod clock;
mod estimate;
mod lease;
mod limit;
mod meter;
mod meters;
mod reserve;
mod subject;
mod time_zone;

pub use calendar::{Calendar, Unit};
pub use chrono_tz::Tz;
pub use clock::Clock;
pub use estimate::{Caution, Estimate, Estimates, START_OUTPUT};
pub use lease::{Draw, Due, Fit, Grant, LEASE_TTL, OnSilence};
pub use limit::{Limit, Now};
pub use meter::{Meter, Standing};
pub use meters::{BYTES_PER_LEASE, BYTES_PER_METER, Found, Meters};
pub use reserve::{Claim, Refused, Reservation, reserve, reserve_in_any_case};
pub use subject::{LocalSubjects, Subject};
pub use time_zone::TimeZone;

#[cfg(test)]
mod tests;
