//! When a change of what is looked at is to be read: once it has lasted for one more look. Looks at nothing itself.

/// How often something that changes at every look is left alone before it is read nevertheless.
const RESTLESS: u32 = 3;

/// How something looked when it was last read, and how it has looked since.
#[derive(Debug)]
pub struct Settling<A> {
    read: A,
    /// Another appearance, which must last until the next look: a file may be half written, and one of several.
    changed: Option<(A, u32)>,
}

impl<A: PartialEq> Settling<A> {
    /// It looked like this before it was read: what changes meanwhile is a change.
    #[must_use]
    pub fn new(read: A) -> Self {
        Self { read, changed: None }
    }

    /// Takes note of a look. Whether it is to be read now: at the second look that finds it changed at the latest, or, where it changes at
    /// each, at the fourth.
    pub fn look(&mut self, now: A) -> bool {
        if now == self.read {
            self.changed = None;
            return false;
        }
        let looks = match &self.changed {
            Some((changed, _)) if *changed == now => return true,
            Some((_, looks)) => looks + 1,
            None => 0,
        };
        self.changed = Some((now, looks));
        looks >= RESTLESS
    }

    /// It was read, well or not, and looked like this before.
    pub fn read(&mut self, appearance: A) {
        *self = Self::new(appearance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_lasts_and_until_it_is_read() {
        let mut settling = Settling::new((1, 2));
        let steps =
            [((1, 2), false), ((9, 2), false), ((9, 8), false), ((9, 8), true), ((9, 8), true), ((1, 2), false)];
        for (now, is_due) in steps {
            assert_eq!(settling.look(now), is_due, "{now:?}");
        }
        assert!(!settling.look((9, 8)) && settling.look((9, 8)));
        settling.read((9, 8));
        assert!(!settling.look((9, 8)) && !settling.look((7, 7)) && settling.look((7, 7)));
    }

    #[test]
    fn what_changes_at_every_look_is_read_in_the_end() {
        let mut settling = Settling::new(0);
        assert_eq!([1, 2, 3, 4].map(|now| settling.look(now)), [false, false, false, true]);
    }
}
