//! Money, exactly: whole picodollars, so that every published price per token is a whole number and sums never round.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Digits behind the point of a dollar.
const DIGITS: usize = 12;
const DOLLAR: i64 = 1_000_000_000_000;

/// An amount in US dollars, from 0 to about 9.2 million, in steps of 10⁻¹².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cost(i64);

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many picodollars (10⁻¹² dollars); the most there can be where it is more.
    #[must_use]
    pub fn from_picos(picos: i128) -> Self {
        Self(i64::try_from(picos.max(0)).unwrap_or(i64::MAX))
    }

    /// In picodollars (10⁻¹² dollars).
    #[must_use]
    pub const fn picos(self) -> i64 {
        self.0
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// In dollars, without trailing zeros: `0.0123`, `17`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0DIGITS$}", self.0 % DOLLAR);
        let fraction = fraction.trim_end_matches('0');
        match fraction {
            "" => write!(f, "{}", self.0 / DOLLAR),
            _ => write!(f, "{}.{fraction}", self.0 / DOLLAR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_as_dollars_to_the_last_picodollar() {
        for (picos, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (12_300_000_000, "0.0123"),
            (17_000_000_000_000, "17"),
            (1_000_000_000_010, "1.00000000001"),
        ] {
            assert_eq!(Cost::from_picos(picos).to_string(), text);
        }
    }

    #[test]
    fn no_amount_wraps() {
        let most = Cost::from_picos(i128::MAX);
        assert_eq!(most.picos(), i64::MAX);
        assert_eq!(most + Cost::from_picos(1), most);
        assert_eq!(Cost::from_picos(-1), Cost::ZERO);
    }
}
