//! What a conversation with a provider changes: which calls have an answer, which are submitted again, and when the provider is asked
//! next.

use std::time::Duration;

use plugin_api::{LogLimit, Uuid};

use crate::call::{Group, Millis, now};
use crate::entry::{Entry, Fact, Failure};
use crate::figures::Figures;
use crate::provider::{Handed, Line, Progress, Results, Search, Submitted};
use crate::state::{Phase, Stage, Submission};
use crate::store::{Inner, failed};
use crate::turn::Turn;

/// The longest pause between two looks at a batch, in first pauses.
const LONGEST_PAUSE: Millis = 24;
/// The longest that a provider may ask for.
const MOST_PATIENCE: Duration = Duration::from_secs(300);
/// How long calls rest whose provider takes no batch just now and does not say for how long, in first pauses.
const REST: Millis = 2;
/// For how long a provider says that it does not know a batch before it is believed: one of its servers may not.
const UNKNOWN: Millis = if cfg!(test) { 200 } else { 10 * 60_000 };
/// The most batches of a group in a row that are halved after a refusal; of a thousand calls with one that is wrong, ten are.
const MOST_REFUSALS: u32 = 12;
/// The most groups whose refusals are counted: callers make groups by their headers.
const MOST_GROUPS: usize = 1024;

static LOG: LogLimit<&'static str> = LogLimit::new();

impl Inner {
    pub(super) fn submitted(&mut self, figures: &Figures, handed: &Handed, submitted: Submitted) {
        let upstream = &handed.group.upstream;
        match submitted {
            Submitted::Made { batch, upstream } => {
                figures.submission("made");
                self.refusals.remove(&handed.group);
                log::info!(batch:% = batch, upstream:% = upstream, calls = handed.calls.len(); "a batch is submitted");
                self.note(Fact::Made { submission: handed.id, batch, upstream });
                self.again(handed.id, None);
            }
            Submitted::Invalid(why) if self.is_halved(handed) => {
                figures.submission("refused");
                if let Some(suppressed) = LOG.pass("halved") {
                    log::warn!(error:% = why, upstream:% = upstream, calls = handed.calls.len(), suppressed;
                        "the provider takes no batch with one of these calls; halves of it are submitted");
                }
                self.note(Fact::Absent(handed.id));
            }
            Submitted::Refused(why) | Submitted::Invalid(why) => {
                figures.submission("refused");
                if let Some(suppressed) = LOG.pass("refused") {
                    log::warn!(error:% = why, upstream:% = upstream, calls = handed.calls.len(), suppressed;
                        "the provider takes no batch; its calls go by `otherwise`. See whether the upstream has a credential in its `headers`, and a batch API");
                }
                self.fail(handed, Failure::Rejected, &why, "");
            }
            Submitted::Wait(patience, why) => {
                figures.submission("put_off");
                if let Some(suppressed) = LOG.pass("put_off") {
                    log::warn!(error:% = why, upstream:% = upstream, suppressed; "the provider takes no batch just now; it is tried again");
                }
                self.put_off(&handed.group, patience);
                self.note(Fact::Absent(handed.id));
            }
            Submitted::NotSent(why) => {
                figures.submission("not_sent");
                if let Some(suppressed) = LOG.pass("not_sent") {
                    log::warn!(error:% = why, upstream:% = upstream, suppressed; "a batch cannot be sent; it is tried again");
                }
                self.put_off(&handed.group, None);
                self.note(Fact::Absent(handed.id));
            }
            Submitted::Unclear(why) => {
                figures.submission("unclear");
                if let Some(suppressed) = LOG.pass("unclear") {
                    log::warn!(error:% = why, upstream:% = upstream, suppressed;
                        "whether the provider has a batch is not known; its list is asked before anything is submitted again");
                }
                if let Some(of) = self.state.submissions.get_mut(&handed.id) {
                    of.phase = Phase::Unclear { since: now() };
                }
                self.again(handed.id, None);
            }
        }
    }

    pub(super) fn searched(&mut self, figures: &Figures, handed: &Handed, search: Search) {
        // what was still on its way when it came into doubt may reach the list later
        let settled = handed.in_doubt_since.max(handed.at) + self.terms.settle;
        match search {
            Search::Found { batch, upstream } => {
                figures.submission("found");
                log::info!(batch:% = batch, upstream:% = upstream, calls = handed.calls.len(); "the provider has the batch that was in doubt");
                self.note(Fact::Made { submission: handed.id, batch, upstream });
                self.now(handed.id);
            }
            Search::Nothing if settled <= now() => {
                figures.submission("absent");
                log::info!(upstream:% = handed.group.upstream, calls = handed.calls.len();
                    "the provider does not have the batch that was in doubt; its calls are submitted again");
                self.note(Fact::Absent(handed.id));
            }
            Search::Nothing => {
                self.free(handed.id, |of| of.next_at = settled);
            }
            Search::Perhaps | Search::Failed(_) if handed.is_given_up() => self.give_up(handed, ""),
            Search::Perhaps => self.again(handed.id, None),
            Search::Failed(why) => {
                if let Some(suppressed) = LOG.pass("list") {
                    log::warn!(error:% = why, upstream:% = handed.group.upstream, suppressed;
                        "the provider's list of batches cannot be read; it is asked again");
                }
                self.again(handed.id, None);
            }
        }
    }

    pub(super) fn polled(&mut self, figures: &Figures, handed: &Handed, batch: &str, progress: Progress) {
        match self.believed(handed.id, progress) {
            Progress::Running(_) | Progress::Unclear(..) if handed.is_given_up() => self.give_up(handed, batch),
            Progress::Running(patience) => self.again(handed.id, patience),
            Progress::Unclear(patience, why) => {
                if let Some(suppressed) = LOG.pass("poll") {
                    log::warn!(error:% = why, batch:% = batch, upstream:% = handed.group.upstream, suppressed;
                        "a batch cannot be looked at; it is asked for again");
                }
                self.again(handed.id, patience);
            }
            Progress::Failed(why) | Progress::Unknown(why) => {
                figures.submission("failed");
                log::warn!(error:% = why, batch:% = batch, upstream:% = handed.group.upstream, calls = handed.calls.len();
                    "a batch failed as a whole; its calls go by `otherwise`");
                self.fail(handed, Failure::Rejected, &why, batch);
            }
            Progress::Over(_) => self.again(handed.id, None),
            Progress::Ended(results) => self.ended(figures, handed, batch, results),
        }
    }

    /// What is made of a look at a batch: one that the provider does not know is unclear until it has said so for long.
    fn believed(&mut self, submission: Uuid, progress: Progress) -> Progress {
        let Some(of) = self.state.submissions.get_mut(&submission) else { return progress };
        let Progress::Unknown(why) = progress else {
            of.unknown_since = None;
            return progress;
        };
        let since = *of.unknown_since.get_or_insert_with(now);
        if since + UNKNOWN <= now() { Progress::Unknown(why) } else { Progress::Unclear(None, why) }
    }

    /// Nothing more will be known of a submission.
    fn give_up(&mut self, handed: &Handed, batch: &str) {
        log::error!(batch:%, upstream:% = handed.group.upstream, calls = handed.calls.len();
            "a batch is not over after days and is given up; look at it with the provider, since what it used is not in the ledger");
        self.fail(handed, Failure::Missing, "the batch is not over after days", batch);
    }

    /// Records what came of calls of a batch that is over, for as long as the turn allows. Returns what nobody waits for and has no room
    /// now.
    pub(super) fn answered(
        &mut self,
        handed: &Handed,
        batch: &str,
        lines: &mut impl Iterator<Item = Line>,
        turn: Turn,
    ) -> Vec<Line> {
        let (at, mut left) = (now(), Vec::new());
        for line in lines {
            let held = self.state.calls.get(&line.call).filter(|held| held.stage == Stage::In(handed.id));
            let fits = self.state.bytes() + line.body.len() as u64 <= self.terms.max_stored;
            match held {
                Some(held) if held.clients == 0 && !fits && self.state.has_answers() => left.push(line),
                Some(_) => {
                    let fact = Fact::Answer { call: line.call, batch: batch.to_owned(), outcome: line.outcome, at };
                    self.note(Entry { fact, body: line.body });
                }
                None => {}
            }
            if turn.is_over() {
                break;
            }
        }
        left
    }

    /// A batch is over, and of its results these have no room. They, and what cannot be read, are asked for again: the provider keeps it.
    fn ended(&mut self, figures: &Figures, handed: &Handed, batch: &str, results: Results) {
        let left = results.lines.len();
        if left > 0 || (results.unreadable > 0 && self.may_be_read(handed.id)) {
            if let Some(suppressed) = LOG.pass("results") {
                log::warn!(batch:%, upstream:% = handed.group.upstream, no_room = left, unreadable = results.unreadable, suppressed;
                    "results of a batch cannot be read, or there is no room for them in `max_stored`; they are asked for again");
            }
            return self.again(handed.id, None);
        }
        figures.submission("ended");
        self.fail(handed, Failure::Missing, "the results say nothing of it that can be read", batch);
    }

    /// Whether results that cannot be read may still be, the next time.
    fn may_be_read(&mut self, submission: Uuid) -> bool {
        let of = self.state.submissions.get_mut(&submission);
        of.is_some_and(|of| *of.unreadable_since.get_or_insert_with(now) + UNKNOWN > now())
    }

    /// Whether a batch that the provider does not take for what it holds is submitted by halves, so that the calls beside a wrong one do
    /// not fail with it. Where no batch of its group is taken, it is not the calls.
    fn is_halved(&mut self, handed: &Handed) -> bool {
        if self.refusals.len() >= MOST_GROUPS {
            self.refusals.clear();
        }
        let refusals = self.refusals.entry(handed.group.clone()).or_default();
        *refusals += 1;
        if handed.calls.len() < 2 || *refusals > MOST_REFUSALS {
            return false;
        }
        for call in &handed.calls {
            self.state.change(*call, |held| held.together = handed.calls.len().div_ceil(2));
        }
        true
    }

    /// The calls of a submission that have no answer get none, and it is over.
    fn fail(&mut self, handed: &Handed, why: Failure, words: &str, batch: &str) {
        for call in &handed.calls {
            if matches!(self.state.calls.get(call), Some(held) if held.stage == Stage::In(handed.id)) {
                self.note(failed(*call, why, words, batch, now()));
            }
        }
        self.note(Fact::Ended(handed.id));
    }

    /// A group is left alone for as long as its provider asks for.
    fn put_off(&mut self, group: &Group, patience: Option<Duration>) {
        let rest = Duration::from_millis(self.terms.poll * REST);
        let patience = patience.unwrap_or(rest).clamp(Duration::from_millis(1), MOST_PATIENCE);
        let now = now();
        self.paused.retain(|_, until| *until > now);
        self.paused.insert(group.clone(), now + patience.as_millis() as Millis);
    }

    /// A submission is looked at again, after a pause that grows, and no sooner than its provider asks for.
    pub(super) fn again(&mut self, submission: Uuid, patience: Option<Duration>) {
        let first = self.terms.poll.max(1);
        let patience = patience.unwrap_or_default().min(MOST_PATIENCE).as_millis() as Millis;
        self.free(submission, |of| {
            of.pause = (of.pause + of.pause / 2).clamp(first, first * LONGEST_PAUSE);
            of.next_at = now() + of.pause.max(patience);
        });
    }

    /// Nobody is asking about a submission any more. What came of the last question is not known, unless it was said.
    pub(super) fn forsaken(&mut self, submission: Uuid) {
        let Some(of) = self.state.submissions.get_mut(&submission).filter(|of| of.is_busy) else { return };
        if of.phase == Phase::Sending {
            of.phase = Phase::Unclear { since: now() };
        }
        self.again(submission, None);
    }

    fn now(&mut self, submission: Uuid) {
        self.free(submission, |of| of.next_at = 0);
    }

    fn free(&mut self, submission: Uuid, change: impl FnOnce(&mut Submission)) {
        if let Some(of) = self.state.submissions.get_mut(&submission) {
            of.is_busy = false;
            change(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Api;
    use crate::tests::{call, opened, terms};

    #[test]
    fn however_many_kinds_of_calls_are_refused_few_are_remembered() {
        let (store, _folder) = opened(terms());
        let (call, _) = call(Api::Messages, 1);
        for number in 0..2 * MOST_GROUPS {
            let group = Group { model: number.to_string(), ..call.group.clone() };
            let handed = Handed { id: Uuid::now_v7(), group, calls: vec![call.id], at: 0, in_doubt_since: 0 };
            store.lock().submitted(&Figures::new(), &handed, Submitted::Invalid("no".to_owned()));
        }
        assert!((1..=MOST_GROUPS).contains(&store.lock().refusals.len()));
    }
}
