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
    /// Whether it is nothing: none, rather than not known.
    pub(super) fn is_nothing(self) -> bool {
        matches!(self, Self::Count(0) | Self::Money(Some(0)))
    }

    /// The figure for people: its digits in groups of three.
    pub(super) fn grouped(self, unknown: &str) -> String {
        let text = self.text(unknown);
        let digits = text.trim_start_matches('-').split('.').next().map_or(0, str::len);
        let sign = text.len() - text.trim_start_matches('-').len();
        if !text.contains(|c: char| c.is_ascii_digit()) {
            return text;
        }
        let mut grouped = String::with_capacity(text.len() + digits / 3);
        for (at, c) in text.chars().enumerate() {
            let behind = (sign + digits).saturating_sub(at);
            if at > sign && behind > 0 && behind.is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(c);
        }
        grouped
    }

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
        Figure::Money(sums.known_cost()),
        Figure::Money((!sums.saved_unknown).then_some(sums.saved)),
        Figure::Count(sums.unpriced),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (figure, text) in [
            (Figure::Count(0), "0"),
            (Figure::Count(999), "999"),
            (Figure::Count(1_000), "1,000"),
            (Figure::Count(-1_234_567), "-1,234,567"),
            (Figure::Money(Some(1_234_567_890_123_456)), "1,234.567890123456"),
            (Figure::Money(Some(12_300_000_000)), "0.0123"),
            (Figure::Money(None), "-"),
        ] {
            assert_eq!(figure.grouped("-"), text);
        }
    }

    #[test]
    fn a_cost_is_never_shown_as_nothing_while_a_price_is_unknown() {
        let cost = |cost, cost_unknown, unpriced| {
            Sums { requests: 3, cost, cost_unknown, unpriced, ..Sums::default() }.known_cost()
        };
        assert_eq!(cost(0, false, 0), Some(0));
        assert_eq!(cost(0, false, 1), None);
        assert_eq!(cost(0, true, 3), None);
        assert_eq!(cost(5, false, 1), Some(5));
        // answers from the cache beside a stream that told no tokens
        let sums = Sums { requests: 2, unknown: 1, ..Sums::default() };
        assert_eq!(sums.known_cost(), None);
    }
}
