//! What is to be done now, and when to look again. Pure: it says what, and does nothing.

use std::collections::BTreeMap;

use plugin_api::Uuid;

use crate::call::{Group, Millis};
use crate::entry::Outcome;
use crate::state::{Phase, Stage, State};

/// Something to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// These calls are full, or their window is over: submit them.
    Submit(Vec<Uuid>),
    /// Ask whether the provider has this submission.
    Find(Uuid),
    /// Ask how far it is.
    Poll(Uuid),
    /// Nobody wants any of its answers: have it cancelled.
    Cancel(Uuid),
    /// Nobody can be told in time what came of this call, which no batch has yet.
    Late(Uuid),
    /// The usage of its answer is in no row: book it.
    Book(Uuid),
    /// It was kept for as long as it is, or nobody wants it.
    Forget(Uuid),
}

/// For how long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// How long answers wait for their clients.
    pub(crate) keep: Millis,
}

/// What is to be done at this moment, and when there is more if nothing happens before. Groups that must wait, after a provider said
/// so, are submitted from then on.
pub(crate) fn due(
    state: &State,
    now: Millis,
    times: Times,
    paused: &BTreeMap<Group, Millis>,
) -> (Vec<Work>, Option<Millis>) {
    let (mut work, mut next) = (Vec::new(), None::<Millis>);
    let mut later = |at: Millis| next = Some(next.map_or(at, |next| next.min(at)));
    let mut groups: BTreeMap<&Group, Vec<Uuid>> = BTreeMap::new();
    for (id, held) in &state.calls {
        match &held.stage {
            Stage::Collecting if held.is_unwanted => work.push(Work::Forget(*id)),
            Stage::Collecting if held.wait_until <= now => work.push(Work::Late(*id)),
            Stage::Collecting => {
                later(held.wait_until);
                groups.entry(&held.call.group).or_default().push(*id);
            }
            Stage::In(_) => {}
            Stage::Answered(answer) => {
                let is_to_be_booked = matches!(answer.outcome, Outcome::Given(_)) && !held.is_booked;
                // a claim that ends says so
                if held.clients > 0 || (is_to_be_booked && held.is_claimed) {
                } else if is_to_be_booked {
                    work.push(Work::Book(*id));
                } else if answer.at + times.keep <= now || held.is_unwanted {
                    work.push(Work::Forget(*id));
                } else {
                    later(answer.at + times.keep);
                }
            }
        }
    }
    for (group, mut calls) in groups {
        if let Some(until) = paused.get(group).filter(|until| **until > now) {
            later(*until);
            continue;
        }
        calls.sort_unstable(); // by their ids, which is by their age
        for batch in full_ones(state, calls, now, &mut later) {
            work.push(Work::Submit(batch));
        }
    }
    for submission in state.submissions.values().filter(|submission| !submission.is_busy) {
        let unwanted = || submission.calls.iter().all(|call| state.calls.get(call).is_none_or(|held| held.is_unwanted));
        match &submission.phase {
            Phase::Sending => {}
            Phase::Made { .. } if !submission.is_cancelled && unwanted() => work.push(Work::Cancel(submission.id)),
            _ if submission.next_at > now => later(submission.next_at),
            Phase::Unclear { .. } => work.push(Work::Find(submission.id)),
            Phase::Made { .. } => work.push(Work::Poll(submission.id)),
        }
    }
    (work, next)
}

/// The calls of a group that are to be submitted, each list as one batch: as many as their bounds allow, once that is reached or the
/// first window is over.
fn full_ones(state: &State, calls: Vec<Uuid>, now: Millis, later: &mut impl FnMut(Millis)) -> Vec<Vec<Uuid>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes, mut close_at, mut most) = (Vec::new(), 0, Millis::MAX, usize::MAX);
    for id in calls {
        let Some(held) = state.calls.get(&id) else { continue };
        let with_it = most.min(held.call.max_calls).min(held.together);
        if !batch.is_empty() && (batch.len() >= with_it || bytes + held.body.len() > held.call.max_bytes) {
            batches.push(std::mem::take(&mut batch));
            (bytes, close_at, most) = (0, Millis::MAX, usize::MAX);
        }
        bytes += held.body.len();
        // what was refused with others waits for no more of them
        close_at = if held.together == usize::MAX { close_at.min(held.call.close_at) } else { 0 };
        most = most.min(held.call.max_calls).min(held.together);
        batch.push(id);
        if batch.len() >= most || bytes >= held.call.max_bytes {
            batches.push(std::mem::take(&mut batch));
            (bytes, close_at, most) = (0, Millis::MAX, usize::MAX);
        }
    }
    if !batch.is_empty() && close_at <= now {
        batches.push(batch);
    } else if !batch.is_empty() {
        later(close_at);
    }
    batches
}
