//! What was read of a run, and what is missing so far. A record that was moved within the journal may come later than those behind
//! it, and a record that stands there twice comes once.

use crate::count::{Count, Loss, Place};

/// What was read of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// It is not known which of the records below this number were read.
    from: u64,
    /// All records before it were read, or are missing; none as long as no record of the run is known.
    next: Option<Count>,
    /// Records that were not read, from one place up to another, in order.
    missing: Vec<(Count, Count)>,
    /// Numbers of records that are missing and of which an amendment was read: nothing of them is lost.
    amended: Vec<u64>,
    /// Records that are read or missing, and wait no more.
    passed: u64,
}

impl Seen {
    /// All before this was read, and nothing behind it.
    pub(crate) fn up_to(count: Count) -> Self {
        Self { from: count.records(), next: Some(count), ..Self::default() }
    }

    /// All before it was read or is missing.
    pub(crate) fn next(&self) -> Count {
        self.next.unwrap_or_default()
    }

    /// Records that were read or are missing.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// A record is read: whether for the first time.
    pub(crate) fn meet(&mut self, Place { kind, before }: Place) -> bool {
        let number = before.records();
        let next = *self.next.get_or_insert_with(|| {
            self.from = number;
            before
        });
        if number >= next.records() {
            if number > next.records() {
                self.missing.push((next, before));
            }
            self.passed += number - next.records() + 1;
            self.next = Some(before.after(kind));
            return true;
        }
        if number < self.from {
            return true;
        }
        let behind = self.missing.partition_point(|(from, _)| from.records() <= number);
        let gap = behind.checked_sub(1).and_then(|at| self.missing.get(at).copied());
        let Some((from, to)) = gap.filter(|(_, to)| number < to.records()) else { return false };
        let left = [(from, before), (before.after(kind), to)];
        let left = left.into_iter().filter(|(from, to)| from.records() < to.records());
        self.missing.splice(behind - 1..behind, left);
        true
    }

    /// An amendment is read of the record with this number.
    pub(crate) fn amend(&mut self, sequence: u64) {
        let is_in = |(from, to): &(Count, Count)| from.sequence < sequence && sequence <= to.sequence;
        let behind = self.missing.partition_point(|(from, _)| from.sequence < sequence);
        if behind.checked_sub(1).and_then(|at| self.missing.get(at)).is_some_and(is_in) {
            self.amended.push(sequence);
        }
    }

    /// Nothing more comes of what was kept up to here.
    pub(crate) fn end(&mut self, end: Count) {
        if let Some(next) = self.next.filter(|next| next.records() < end.records()) {
            self.missing.push((next, end));
            self.passed += end.records() - next.records();
            self.next = Some(end);
        }
    }

    /// What is missing is lost: how much that is. It is told once.
    pub(crate) fn settle(&mut self) -> Loss {
        let mut loss = Loss::default();
        self.amended.sort_unstable();
        self.amended.dedup();
        for (from, to) in self.missing.drain(..) {
            let mut gap = to.since(from);
            let below = |sequence: u64| self.amended.partition_point(|amended| *amended <= sequence);
            gap.numbered = gap.numbered.saturating_sub((below(to.sequence) - below(from.sequence)) as u64);
            loss += gap;
        }
        self.amended.clear();
        self.from = self.next().records();
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    /// The places of records of these kinds, and the count behind them.
    fn places(kinds: &[Kind]) -> (Vec<Place>, Count) {
        let mut before = Count::default();
        let places = kinds.iter().map(|kind| {
            let place = Place { kind: *kind, before };
            before = before.after(*kind);
            place
        });
        (places.collect(), before)
    }

    #[test]
    fn what_comes_late_is_not_lost_and_what_comes_twice_comes_once() {
        let (places, end) = places(&[Kind::Numbered; 10]);
        let mut seen = Seen::up_to(Count::default());
        let met: Vec<bool> = [0, 5, 2, 5, 1, 2, 8].into_iter().map(|at: usize| seen.meet(places[at])).collect();
        assert_eq!(met, [true, true, true, false, true, false, true]);
        seen.end(end);
        // 3, 4, 6, 7 and 9
        assert_eq!(seen.settle(), Loss { numbered: 5, ..Loss::default() });
        assert_eq!(seen.settle(), Loss::default());
        assert_eq!(seen.next(), end);
    }

    #[test]
    fn a_record_whose_amendment_is_read_is_not_lost() {
        let (places, end) = places(&[
            Kind::Numbered,
            Kind::Numbered,
            Kind::Unnumbered,
            Kind::Amendment,
            Kind::Numbered,
            Kind::Amendment,
        ]);
        let mut seen = Seen::up_to(Count::default());
        assert!(seen.meet(places[3]));
        [1, 9].into_iter().for_each(|sequence| seen.amend(sequence));
        seen.end(end);
        assert_eq!(seen.settle(), Loss { numbered: 2, amendments: 1, unnumbered: 1 });
    }

    #[test]
    fn of_a_run_that_is_met_in_its_midst_only_what_lies_between_is_missing() {
        let (places, end) = places(&[Kind::Numbered; 6]);
        let mut seen = Seen::default();
        assert!([2, 5, 1].into_iter().all(|at: usize| seen.meet(places[at])));
        seen.end(end);
        assert_eq!(seen.settle(), Loss { numbered: 2, ..Loss::default() });
    }

    #[test]
    fn a_record_that_was_refused_is_no_gap() {
        let mut seen = Seen::up_to(Count::default());
        let before = Count::default().refused().refused();
        assert!(seen.meet(Place { kind: Kind::Numbered, before }));
        assert_eq!((seen.settle(), seen.next().sequence), (Loss::default(), 3));
    }
}
