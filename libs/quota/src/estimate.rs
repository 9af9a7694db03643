//! What a call to a model will use, learned from the calls that ended: bytes of a body for each token, and how long answers are.

use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;

use crate::bounded::Bounded;

/// What an answer is taken to be, in tokens, until enough answers of its kind have been seen.
pub const START_OUTPUT: u64 = 4096;
/// So many answers are enough.
const FEWEST_ANSWERS: u16 = 20;
/// After so many, all counts are halved, so that the latest weigh most.
const MOST_ANSWERS: u16 = 240;
/// Pairs of a caller and a model that are told apart, and models.
const MOST_PAIRS: usize = 16_384;
/// The unit of a ratio of bytes to tokens.
const ONE: u32 = 1024;

/// How careful an estimate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// What counts of such calls on average, whoever makes them.
    Expected,
    /// Nearly the most that this caller's calls have used for their length, and at least what plain text uses. A bound that must hold
    /// goes by the caller's own calls: no other's raise it.
    Most,
}

/// What calls used. In bounded memory: where it is full, what was not asked for lately is learned anew.
#[derive(Debug, Default)]
pub struct Estimates {
    models: Bounded<Ratio>,
    pairs: Bounded<Pair>,
    hasher: RandomState,
}

/// What is known of a caller's calls to a model. Those that end teach it. Found by [`Estimates::of`].
#[derive(Clone, Debug)]
pub struct Estimate {
    pair: Arc<Pair>,
    caution: Caution,
}

/// What calls of one caller to one model used.
#[derive(Debug, Default)]
struct Pair {
    own: Ratio,
    /// Of whoever calls this model.
    of_model: Arc<Ratio>,
    outputs: Outputs,
    was_used: AtomicBool,
}

/// Bytes of text for each token of input, in parts of [`ONE`].
#[derive(Debug)]
struct Ratio {
    /// For each that counts, on average.
    mean: AtomicU32,
    /// For each there is, at the least; never more than [`Ratio::LOWEST`].
    lowest: AtomicU32,
}

/// How long answers were.
#[derive(Debug)]
struct Outputs {
    counts: Mutex<Histogram>,
    /// What nineteen of twenty had at most; 0 while too few are known.
    usual: AtomicU64,
}

/// How many answers there were of each half octave of lengths, and in all.
#[derive(Debug)]
struct Histogram {
    of: [u8; 44],
    all: u16,
    /// The half octave that nineteen of twenty had at most, and how many were longer.
    usual: usize,
    longer: u16,
}

impl Estimates {
    /// The most bytes that all of it takes.
    pub const BYTES: u64 = 2 * MOST_PAIRS as u64 * 160;

    /// What is known of a caller's calls to a model. `now` is in nanoseconds, by a clock that never goes back.
    ///
    /// ```
    /// # use quota::{Caution, Estimates, START_OUTPUT};
    /// let estimates = Estimates::default();
    /// let alice = estimates.of("claude-opus-5", Some("alice"), Caution::Expected, 0);
    /// assert_eq!(alice.output(), START_OUTPUT);
    /// (0..20).for_each(|_| alice.learn_output(200));
    /// assert_eq!(alice.output(), 255);
    /// ```
    #[must_use]
    pub fn of(&self, model: &str, caller: Option<&str>, caution: Caution, now: u64) -> Estimate {
        let make = || {
            // those that are in a pair are in use
            let of_model = self.models.get(self.key(model), MOST_PAIRS, now, Ratio::default, |_| true);
            Pair { of_model: of_model.unwrap_or_default(), ..Pair::default() }
        };
        // whether it was not used since it was asked this last
        let is_idle = |pair: &Pair| !pair.was_used.swap(false, Ordering::Relaxed);
        let known = self.pairs.get(self.key((model, caller)), MOST_PAIRS, now, make, is_idle);
        // without room for the pair, what is known of the model still counts
        let pair = known.unwrap_or_else(|| Arc::new(make()));
        // those of other threads keep their copy of it, as long as it is as it was
        if !pair.was_used.load(Ordering::Relaxed) {
            pair.was_used.store(true, Ordering::Relaxed);
        }
        Estimate { pair, caution }
    }

    /// A key of this process: its seed is random, and two texts with the same would share no more than an estimate.
    fn key(&self, of: impl Hash) -> u128 {
        let hash = self.hasher.hash_one(of);
        u128::from(hash) << 64 | u128::from(hash.rotate_left(32))
    }
}

impl Estimate {
    /// How many tokens of input a text of so many bytes is.
    #[must_use]
    pub fn input(&self, bytes: u64) -> u64 {
        let ratio = match self.caution {
            Caution::Expected => self.ratio().mean.load(Ordering::Relaxed),
            Caution::Most => self.ratio().lowest.load(Ordering::Relaxed),
        };
        bytes.saturating_mul(u64::from(ONE)).div_ceil(u64::from(ratio.max(1)))
    }

    /// How many tokens an answer will have: as many as nineteen of twenty had at most.
    #[must_use]
    pub fn output(&self) -> u64 {
        let usual = self.pair.outputs.usual.load(Ordering::Relaxed);
        if usual == 0 { START_OUTPUT } else { usual }
    }

    /// A call has ended: its text had so many bytes, and so many tokens of input, of which so many counted.
    pub fn learn_input(&self, bytes: u64, tokens: u64, counted: u64) {
        if bytes > 0 && tokens > 0 {
            let seen = |tokens: u64| {
                let ratio = bytes.saturating_mul(u64::from(ONE)) / tokens.max(1);
                u32::try_from(ratio).unwrap_or(u32::MAX).clamp(ONE / 4, ONE * 256)
            };
            self.ratio().learn(seen(counted), seen(tokens));
        }
    }

    /// An answer has ended: it had so many tokens.
    pub fn learn_output(&self, tokens: u64) {
        self.pair.outputs.learn(tokens);
    }

    fn ratio(&self) -> &Ratio {
        match self.caution {
            Caution::Expected => &self.pair.of_model,
            Caution::Most => &self.pair.own,
        }
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
        Self { mean: AtomicU32::new(Self::START), lowest: AtomicU32::new(ONE) }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        let none = Histogram { of: [0; 44], all: 0, usual: 0, longer: 0 };
        Self { counts: Mutex::new(none), usual: AtomicU64::new(0) }
    }
}

impl Outputs {
    fn learn(&self, tokens: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.add(tokens);
        if counts.all >= FEWEST_ANSWERS {
            self.usual.store(longest_of(counts.usual), Ordering::Relaxed);
        }
    }
}

impl Histogram {
    fn add(&mut self, tokens: u64) {
        if self.all >= MOST_ANSWERS {
            self.of.iter_mut().for_each(|count| *count /= 2);
            self.all = self.of.iter().map(|count| u16::from(*count)).sum();
            self.longer = self.of[self.usual + 1..].iter().map(|count| u16::from(*count)).sum();
        }
        let place = half_octave(tokens).min(self.of.len() - 1);
        self.of[place] += 1;
        self.all += 1;
        self.longer += u16::from(place > self.usual);
        // it moves by few places at a time
        while self.longer * 20 > self.all {
            self.usual += 1;
            self.longer -= u16::from(self.of[self.usual]);
        }
        while self.usual > 0 && (self.longer + u16::from(self.of[self.usual])) * 20 <= self.all {
            self.longer += u16::from(self.of[self.usual]);
            self.usual -= 1;
        }
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
mod tests;
