//! All calls and submissions, and how each fact of the log changes them. Pure: it opens nothing, sends nothing, and has no clock.

mod held;
mod submission;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use plugin_api::Uuid;

use crate::call::{Call, Key, Millis, now};
use crate::entry::{Entry, Fact, Outcome};

pub(crate) use held::{Answer, Held, Stage};
pub(crate) use submission::{Phase, Submission};

/// All that is known of calls and submissions.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) calls: HashMap<Uuid, Held>,
    /// Calls that the same request joins.
    by_request: HashMap<(Key, Key), Uuid>,
    pub(crate) submissions: BTreeMap<Uuid, Submission>,
    /// Bytes of calls, bodies and answers.
    bytes: u64,
}

impl State {
    /// The state after all of these, as a process begins with it: what was being sent is unclear now.
    pub(crate) fn replay(entries: Vec<Entry>) -> Self {
        let mut state = Self::default();
        for entry in entries {
            state.apply(&entry);
        }
        for submission in state.submissions.values_mut() {
            if submission.phase == Phase::Sending {
                submission.phase = Phase::Unclear { since: now() };
            }
        }
        state
    }

    /// Something happened.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match &entry.fact {
            Fact::Call(call) => self.add(call, &entry.body),
            Fact::Deferred(id) => self.change(*id, |held| held.is_deferred = true),
            Fact::Booked(id) => self.change(*id, |held| held.is_booked = true),
            Fact::Submitting { submission, calls, at } => self.submit(*submission, calls, *at),
            Fact::Absent(id) => {
                for call in self.submissions.remove(id).map(|submission| submission.calls).unwrap_or_default() {
                    self.change(call, |held| {
                        if held.stage == Stage::In(*id) {
                            held.stage = Stage::Collecting;
                        }
                    });
                }
            }
            Fact::Made { submission, batch, upstream } => {
                let Some(submission) = self.submissions.get_mut(submission) else { return };
                submission.phase = Phase::Made { batch: batch.clone(), upstream: upstream.clone() };
                for call in submission.calls.clone() {
                    self.drop_body(call);
                }
            }
            Fact::Cancelled(id) => {
                if let Some(submission) = self.submissions.get_mut(id) {
                    submission.is_cancelled = true;
                }
            }
            Fact::Answer { call, batch, outcome, at } => {
                let answer = Answer { outcome: *outcome, body: entry.body.clone(), batch: batch.clone(), at: *at };
                self.answer(*call, answer);
            }
            Fact::Ended(id) => {
                self.submissions.remove(id);
            }
            Fact::Gone(id) => self.remove(*id),
        }
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it has answers, which make room once they are fetched or forgotten.
    pub(crate) fn has_answers(&self) -> bool {
        self.calls.values().any(|held| matches!(held.stage, Stage::Answered(_)))
    }

    /// The call that this request of this owner joins.
    pub(crate) fn same(&self, owner: Key, digest: Key) -> Option<Uuid> {
        self.by_request.get(&(owner, digest)).copied()
    }

    /// A call of this owner; that of another is none.
    pub(crate) fn owned(&self, id: Uuid, owner: Key) -> Option<&Held> {
        self.calls.get(&id).filter(|held| held.call.owner == owner)
    }

    /// Whether the provider's batch of this name is that of a submission.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.submissions
            .values()
            .any(|submission| matches!(&submission.phase, Phase::Made { batch, .. } if batch == name))
    }

    /// Entries that make the same state.
    pub(crate) fn snapshot(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // the same request joins the last of its calls
        let mut calls: Vec<&Held> = self.calls.values().collect();
        calls.sort_unstable_by_key(|held| (held.call.accepted, held.call.id));
        for held in &calls {
            entries.push(Entry { fact: Fact::Call(Box::new((*held.call).clone())), body: held.body.clone() });
            let id = held.call.id;
            if held.is_deferred {
                entries.push(Fact::Deferred(id).into());
            }
        }
        for submission in self.submissions.values() {
            let (id, calls, at) = (submission.id, submission.calls.clone(), submission.at);
            entries.push(Fact::Submitting { submission: id, calls, at }.into());
            if let Phase::Made { batch, upstream } = &submission.phase {
                let (batch, upstream) = (batch.clone(), upstream.clone());
                entries.push(Fact::Made { submission: id, batch, upstream }.into());
            }
            if submission.is_cancelled {
                entries.push(Fact::Cancelled(id).into());
            }
        }
        for held in calls {
            let call = held.call.id;
            if let Stage::Answered(answer) = &held.stage {
                let (batch, outcome, at) = (answer.batch.clone(), answer.outcome, answer.at);
                entries.push(Entry { fact: Fact::Answer { call, batch, outcome, at }, body: answer.body.clone() });
            }
            if held.is_booked {
                entries.push(Fact::Booked(call).into());
            }
        }
        entries
    }

    /// Changes a call, where it is there.
    pub(crate) fn change(&mut self, id: Uuid, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.calls.get_mut(&id) {
            change(held);
        }
    }

    /// A client has the whole answer of a call that nobody else comes for: the same request begins anew. Whether the call is done
    /// with; its usage may have to be booked first.
    pub(crate) fn deliver(&mut self, id: Uuid) -> bool {
        let held = self.calls.get_mut(&id).filter(|held| held.clients == 0 && !held.is_deferred);
        let Some(held) = held else { return false };
        held.is_unwanted = true;
        let (is_booked, key) = (held.is_booked, (held.call.owner, held.call.digest));
        self.forget_request(key, id);
        is_booked
    }

    fn add(&mut self, call: &Call, body: &Bytes) {
        self.bytes += call.room() + body.len() as u64;
        self.by_request.insert((call.owner, call.digest), call.id);
        self.calls.insert(call.id, Held::new(call, body));
    }

    fn submit(&mut self, id: Uuid, calls: &[Uuid], at: Millis) {
        let Some(first) = calls.iter().find_map(|call| self.calls.get(call)) else { return };
        let group = first.call.group.clone();
        for call in calls {
            self.change(*call, |held| held.stage = Stage::In(id));
        }
        self.submissions.insert(id, Submission::new(id, group, calls, at));
    }

    fn answer(&mut self, id: Uuid, answer: Answer) {
        self.drop_body(id);
        let Some(held) = self.calls.get_mut(&id) else { return };
        if matches!(held.stage, Stage::Answered(_)) {
            return;
        }
        self.bytes += answer.body.len() as u64;
        let failed = matches!(answer.outcome, Outcome::Failed(_));
        held.stage = Stage::Answered(Arc::new(answer));
        if failed {
            // the same request begins anew
            let key = (held.call.owner, held.call.digest);
            self.forget_request(key, id);
        }
    }

    fn drop_body(&mut self, id: Uuid) {
        if let Some(held) = self.calls.get_mut(&id) {
            self.bytes -= std::mem::take(&mut held.body).len() as u64;
        }
    }

    fn remove(&mut self, id: Uuid) {
        self.drop_body(id);
        let Some(held) = self.calls.remove(&id) else { return };
        self.bytes -= held.call.room();
        if let Stage::Answered(answer) = &held.stage {
            self.bytes -= answer.body.len() as u64;
        }
        self.forget_request((held.call.owner, held.call.digest), id);
    }

    fn forget_request(&mut self, key: (Key, Key), id: Uuid) {
        if self.by_request.get(&key) == Some(&id) {
            self.by_request.remove(&key);
        }
    }
}
