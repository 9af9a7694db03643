//! What a call to a model will use, learned from the calls that ended: bytes of a body for each token, and how long answers are.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bounded::Bounded;
use crate::subject::Subject;

/// What an answer is taken to be, in tokens, until enough answers of its kind have been seen.
pub const START_OUTPUT: u64 = 4096;
/// So many answers are enough.
const FEWEST_ANSWERS: u16 = 20;
/// After so many, all counts are halved, so that the latest weigh most.
const MOST_ANSWERS: u16 = 240;
/// Models that are told apart.
const MOST_MODELS: usize = 1024;
/// Pairs of a caller and a model that are told apart.
const MOST_CALLERS: usize = 16_384;
/// The unit of a ratio of bytes to tokens.
const ONE: u32 = 1024;

/// How careful an estimate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// What counts of such calls on average.
    Expected,
    /// Nearly the most that such calls have used for their length, and at least what plain text uses.
    Most,
}

/// What calls used. In bounded memory: where it is full, what was not asked for lately is learned anew.
#[derive(Debug, Default)]
pub struct Estimates {
    models: Bounded<Ratio>,
    outputs: Bounded<Outputs>,
}

/// Bytes of text for each token of input, in parts of [`ONE`].
#[derive(Debug)]
struct Ratio {
    /// For each that counts, on average.
    mean: AtomicU32,
    /// For each there is, at the least; never more than [`Ratio::LOWEST`].
    lowest: AtomicU32,
    was_used: AtomicBool,
}

/// How long answers were: a histogram of half octaves.
#[derive(Debug)]
struct Outputs {
    counts: Mutex<[u8; 44]>,
    was_used: AtomicBool,
}

impl Estimates {
    /// The most bytes that all of it takes.
    pub const BYTES: u64 = (MOST_MODELS as u64 + MOST_CALLERS as u64) * 160;

    /// How many tokens of input a text of so many bytes is. `now` is in nanoseconds, by a clock that never goes back.
    #[must_use]
    pub fn input(&self, model: Subject, bytes: u64, caution: Caution, now: u64) -> u64 {
        let ratio = self.ratio(model, now);
        let ratio = match (ratio.as_deref(), caution) {
            (Some(ratio), Caution::Expected) => ratio.mean.load(Ordering::Relaxed),
            (Some(ratio), Caution::Most) => ratio.lowest.load(Ordering::Relaxed),
            (None, Caution::Expected) => Ratio::START,
            (None, Caution::Most) => ONE,
        };
        bytes.saturating_mul(u64::from(ONE)).div_ceil(u64::from(ratio.max(1)))
    }

    /// How many tokens an answer to this caller will have: as many as nineteen of twenty had at most.
    #[must_use]
    pub fn output(&self, caller_and_model: Subject, now: u64) -> u64 {
        self.outputs(caller_and_model, now).and_then(|outputs| outputs.most_have()).unwrap_or(START_OUTPUT)
    }

    /// A call has ended: its text had so many bytes, and so many tokens of input, of which so many counted.
    pub fn learn_input(&self, model: Subject, bytes: u64, tokens: u64, counted: u64, now: u64) {
        if let Some(ratio) = self.ratio(model, now)
            && bytes > 0
            && tokens > 0
        {
            let seen = |tokens: u64| {
                let ratio = bytes.saturating_mul(u64::from(ONE)) / tokens.max(1);
                u32::try_from(ratio).unwrap_or(u32::MAX).clamp(ONE / 4, ONE * 256)
            };
            ratio.learn(seen(counted), seen(tokens));
        }
    }

    /// An answer has ended: it had so many tokens.
    pub fn learn_output(&self, caller_and_model: Subject, tokens: u64, now: u64) {
        if let Some(outputs) = self.outputs(caller_and_model, now) {
            outputs.learn(tokens);
        }
    }

    fn ratio(&self, model: Subject, now: u64) -> Option<Arc<Ratio>> {
        let is_idle = |ratio: &Ratio| !ratio.was_used.swap(false, Ordering::Relaxed);
        let ratio = self.models.get(model.0, MOST_MODELS, now, Ratio::default, is_idle)?;
        ratio.was_used.store(true, Ordering::Relaxed);
        Some(ratio)
    }

    fn outputs(&self, caller_and_model: Subject, now: u64) -> Option<Arc<Outputs>> {
        let is_idle = |outputs: &Outputs| !outputs.was_used.swap(false, Ordering::Relaxed);
        let outputs = self.outputs.get(caller_and_model.0, MOST_CALLERS, now, Outputs::default, is_idle)?;
        outputs.was_used.store(true, Ordering::Relaxed);
        Some(outputs)
    }
}

impl Ratio {
    /// Three bytes to a token are expected: little for English, much for Chinese.
    const START: u32 = 3 * ONE;
    /// The most that caution takes a token for: that of plain text. Images, which have far more bytes to each, teach it nothing.
    const LOWEST: u32 = 4 * ONE;

    fn learn(&self, counted: u32, all: u32) {
        // two threads at once: one of them is not learned from
        let mean = self.mean.load(Ordering::Relaxed);
        self.mean.store(mean - mean / 8 + counted / 8, Ordering::Relaxed);
        let (lowest, all) = (self.lowest.load(Ordering::Relaxed), all.min(Self::LOWEST));
        let lowest = if all < lowest { all } else { lowest + (all - lowest) / 64 };
        self.lowest.store(lowest, Ordering::Relaxed);
    }
}

impl Default for Ratio {
    fn default() -> Self {
        // no tokenizer makes more tokens of a text than it has bytes
        let (mean, lowest) = (AtomicU32::new(Self::START), AtomicU32::new(ONE));
        Self { mean, lowest, was_used: AtomicBool::new(true) }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self { counts: Mutex::new([0; 44]), was_used: AtomicBool::new(true) }
    }
}

impl Outputs {
    fn learn(&self, tokens: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let place = half_octave(tokens).min(counts.len() - 1);
        counts[place] += 1;
        if counts.iter().map(|count| u16::from(*count)).sum::<u16>() >= MOST_ANSWERS {
            counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// What nineteen of twenty had at most; `None` while too few are known.
    fn most_have(&self) -> Option<u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u16 = counts.iter().map(|count| u16::from(*count)).sum();
        let mut longer = 0;
        let place = counts.iter().rposition(|count| {
            longer += u16::from(*count);
            longer * 20 > all
        });
        place.filter(|_| all >= FEWEST_ANSWERS).map(longest_of)
    }
}

/// The place of a number among the half octaves 1, 2, 3, 4 and 5, 6 and 7, 8 to 11, …
fn half_octave(number: u64) -> usize {
    let octave = number.max(1).ilog2();
    let upper = octave > 0 && number >> (octave - 1) & 1 == 1;
    2 * octave as usize + usize::from(upper)
}

/// The largest number of a half octave.
fn longest_of(place: usize) -> u64 {
    let octave = 1_u64 << (place / 2);
    if place % 2 == 1 { 2 * octave - 1 } else { octave + octave.div_ceil(2) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_half_octave() {
        for number in 1..100_000 {
            let place = half_octave(number);
            assert!(number <= longest_of(place), "{number}");
            assert!(place < 2 || number > longest_of(place - 1) || place == 1, "{number}");
            assert!(longest_of(place) < number * 3 / 2 + 1, "{number}");
        }
    }

    #[test]
    fn answers_are_taken_for_long_until_twenty_are_known_and_then_for_what_most_of_them_are() {
        let estimates = Estimates::default();
        let (alice, bob) = (Subject::of(["alice", "m"]), Subject::of(["bob", "m"]));
        for _ in 0..19 {
            estimates.learn_output(alice, 200, 0);
        }
        assert_eq!(estimates.output(alice, 0), START_OUTPUT);
        estimates.learn_output(alice, 200, 0);
        assert_eq!(estimates.output(alice, 0), 255);
        // one in twenty-one is rare, a tenth is not
        estimates.learn_output(alice, 30_000, 0);
        assert_eq!(estimates.output(alice, 0), 255);
        (0..3).for_each(|_| estimates.learn_output(alice, 30_000, 0));
        assert_eq!(estimates.output(alice, 0), 32_767);
        assert_eq!(estimates.output(bob, 0), START_OUTPUT);
        // what is long ago is forgotten
        (0..2000).for_each(|_| estimates.learn_output(alice, 10, 0));
        assert_eq!(estimates.output(alice, 0), 11);
    }

    #[test]
    fn bytes_for_a_token_follow_the_model_and_caution_keeps_to_the_fewest() {
        let (estimates, model) = (Estimates::default(), Subject::of(["m"]));
        assert_eq!(estimates.input(model, 3000, Caution::Expected, 0), 1000);
        (0..200).for_each(|_| estimates.learn_input(model, 4000, 1000, 1000, 0));
        let expected = estimates.input(model, 4000, Caution::Expected, 0);
        assert!((1000..1010).contains(&expected), "{expected}");
        estimates.learn_input(model, 1000, 1000, 1000, 0);
        assert!(estimates.input(model, 1000, Caution::Most, 0) >= 1000);
        assert!(estimates.input(model, 1000, Caution::Expected, 0) < 400);
        // what is read from a cache counts little
        (0..200).for_each(|_| estimates.learn_input(model, 4000, 1000, 100, 0));
        let expected = estimates.input(model, 4000, Caution::Expected, 0);
        assert!((100..105).contains(&expected), "{expected}");
        // figures that make no sense make none here
        estimates.learn_input(model, 0, 5, 5, 0);
        estimates.learn_input(model, 5, 0, 0, 0);
        estimates.learn_input(model, u64::MAX, 1, 0, 0);
        assert!(estimates.input(model, u64::MAX, Caution::Most, 0) > 0);
    }

    #[test]
    fn images_do_not_teach_caution_to_take_text_for_little() {
        let (estimates, model) = (Estimates::default(), Subject::of(["m"]));
        (0..1000).for_each(|_| estimates.learn_input(model, 400_000, 1600, 1600, 0));
        assert!(estimates.input(model, 400_000, Caution::Most, 0) >= 100_000);
    }

    #[test]
    fn ten_thousand_made_up_models_take_no_more_memory_than_they_may() {
        let estimates = Estimates::default();
        for number in 0..100_000_u64 {
            estimates.learn_output(Subject::of([number.to_string()]), 5, number);
            estimates.learn_input(Subject::of([number.to_string()]), 5, 5, 5, number);
        }
        assert!(estimates.models.len() <= MOST_MODELS && estimates.outputs.len() <= MOST_CALLERS);
    }
}
