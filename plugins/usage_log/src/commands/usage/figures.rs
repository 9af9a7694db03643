//! The figures of a line: their names, their order and their kinds.

use crate::report::{Sums, dollars};

/// The figures of a line, in the order in which they are written.
pub(super) const FIGURES: [&str; 10] = [
    "requests",
    "batch_results",
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "saved_cost_usd",
    "unpriced",
];

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Count(i128),
    /// In picodollars; none where it is not known.
    Money(Option<i128>),
}

impl Figure {
    /// The figure in digits, or `unknown`.
    pub(super) fn text(self, unknown: &str) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Money(picos) => picos.map_or_else(|| unknown.into(), dollars),
        }
    }
}

/// The figures of some sums.
pub(super) fn figures(sums: &Sums) -> [Figure; FIGURES.len()] {
    [
        Figure::Count(sums.requests),
        Figure::Count(sums.batch_results),
        Figure::Count(sums.input_tokens),
        Figure::Count(sums.cache_read_input_tokens),
        Figure::Count(sums.cache_creation_input_tokens),
        Figure::Count(sums.output_tokens),
        Figure::Count(sums.reasoning_tokens),
        Figure::Money(known_cost(sums)),
        Figure::Money((!sums.saved_unknown).then_some(sums.saved)),
        Figure::Count(sums.unpriced),
    ]
}

/// What some rows cost, as far as that is known. Rows that cost nothing, such as answers from the cache, say nothing of those beside
/// them whose price is not known: together they are no 0.
fn known_cost(sums: &Sums) -> Option<i128> {
    let is_known = !sums.cost_unknown && (sums.cost != 0 || sums.unpriced == 0);
    is_known.then_some(sums.cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_never_shown_as_nothing_while_a_price_is_unknown() {
        let cost = |cost, cost_unknown, unpriced| {
            known_cost(&Sums { requests: 3, cost, cost_unknown, unpriced, ..Sums::default() })
        };
        assert_eq!(cost(0, false, 0), Some(0));
        assert_eq!(cost(0, false, 1), None);
        assert_eq!(cost(0, true, 3), None);
        assert_eq!(cost(5, false, 1), Some(5));
    }
}
