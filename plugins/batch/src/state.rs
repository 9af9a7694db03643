//! All calls and submissions, and how each fact of the log changes them. Pure: it opens nothing, sends nothing, and has no clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use plugin_api::Uuid;

use crate::call::{Call, Group, Key, Millis, now};
use crate::entry::{Entry, Fact, Outcome};

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

/// A call that is kept.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) call: Arc<Call>,
    /// What is submitted; empty once the provider has it.
    pub(crate) body: Bytes,
    pub(crate) stage: Stage,
    /// Whether its client was told to come back.
    pub(crate) is_deferred: bool,
    /// Whether its usage is in the ledger.
    pub(crate) is_booked: bool,
    /// When the last of its clients has waited as long as it wants. One that joins it is not in the log: no client survives the process.
    pub(crate) wait_until: Millis,
    /// With how many calls at most it is submitted, once a provider has refused it with more. Not in the log.
    pub(crate) together: usize,
    /// Clients that wait for it now. Not in the log: no client survives the process.
    pub(crate) clients: u32,
    /// Whether the client that brought it left before there was an answer, so that limits have counted it. Not in the log.
    pub(crate) is_left: bool,
    /// Whether a client has its answer, whose row has its usage unless the client leaves. Not in the log.
    pub(crate) is_claimed: bool,
    /// Whether nobody will come for it. Not in the log: after a restart anybody may come.
    pub(crate) is_unwanted: bool,
}

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    Collecting,
    /// In this submission.
    In(Uuid),
    Answered(Arc<Answer>),
}

/// What came of a call.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// The JSON of an answer that was given, or the provider's words for why it was not.
    pub(crate) body: Bytes,
    /// The provider's name for its batch; empty where it came to none.
    pub(crate) batch: String,
    pub(crate) at: Millis,
}

/// Calls that are submitted together.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) id: Uuid,
    pub(crate) group: Group,
    pub(crate) calls: Vec<Uuid>,
    pub(crate) at: Millis,
    pub(crate) phase: Phase,
    pub(crate) is_cancelled: bool,
    /// Whether something is being asked of the provider for it. Not in the log.
    pub(crate) is_busy: bool,
    /// When the provider is asked next, and how long it was waited last. Not in the log.
    pub(crate) next_at: Millis,
    pub(crate) pause: Millis,
    /// Since when the provider does not know it, though it had it. Not in the log.
    pub(crate) unknown_since: Option<Millis>,
    /// Since when results of it cannot be read. Not in the log.
    pub(crate) unreadable_since: Option<Millis>,
}

/// What is known of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being sent.
    Sending,
    /// Whether the provider has it is not known: the process died, or no answer came. Since when, which is not in the log.
    Unclear { since: Millis },
    /// The provider has it.
    Made { batch: String, upstream: String },
}

impl Held {
    /// Whether it will cost something that no row of a client has, if all goes as it is.
    pub(crate) fn is_to_be_billed(&self) -> bool {
        let may_cost = match &self.stage {
            Stage::Collecting => !self.is_unwanted,
            Stage::In(_) => true,
            Stage::Answered(answer) => matches!(answer.outcome, Outcome::Given(_)) && !self.is_claimed,
        };
        may_cost && !self.is_booked && self.clients == 0
    }
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
        for held in self.calls.values() {
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
        for held in self.calls.values() {
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
        let held = Held {
            call: Arc::new(call.clone()),
            body: body.clone(),
            stage: Stage::Collecting,
            is_deferred: false,
            is_booked: false,
            wait_until: call.wait_until,
            together: usize::MAX,
            clients: 0,
            is_left: false,
            is_claimed: false,
            is_unwanted: false,
        };
        self.calls.insert(call.id, held);
    }

    fn submit(&mut self, id: Uuid, calls: &[Uuid], at: Millis) {
        let Some(first) = calls.iter().find_map(|call| self.calls.get(call)) else { return };
        let group = first.call.group.clone();
        for call in calls {
            self.change(*call, |held| held.stage = Stage::In(id));
        }
        let submission = Submission {
            id,
            group,
            calls: calls.to_vec(),
            at,
            phase: Phase::Sending,
            is_cancelled: false,
            is_busy: false,
            next_at: 0,
            pause: 0,
            unknown_since: None,
            unreadable_since: None,
        };
        self.submissions.insert(id, submission);
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
