//! Calls that wait for others, by what they have in common. A call goes alone where no other of its key is under way. Sends nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::UpstreamRequest;
use tokio::sync::oneshot;

use crate::expiring::Expiring;
use crate::group::{Group, Member};
use crate::inputs::Inputs;
use crate::key::Key;
use crate::merged::Outcome;
use crate::settings::Limits;

#[cfg(test)]
mod tests;

/// For how long it is remembered how many callers a key had, once none of its calls is under way.
const REMEMBERED: Duration = Duration::from_secs(1);

/// The calls of a process that wait, and those that are under way.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Keys whose calls are not merged.
    resting: Expiring<()>,
    /// How many calls are expected of keys that have no slot.
    expected: Expiring<usize>,
}

/// The calls of one key.
#[derive(Debug, Default)]
struct Slot {
    /// What holds the slot: calls that went alone, and groups that wait or are under way.
    holders: usize,
    /// Calls under way, alone or in groups.
    under_way: usize,
    /// The calls that were under way when the last group went: so many callers there are, for all that is known.
    expected: usize,
    /// The group that takes more.
    open: Option<Arc<Group>>,
}

/// What a call does that comes to its group.
pub(crate) enum Joined {
    /// It goes at once. While it holds this, others of its key wait for each other.
    Alone(Option<UnderWay>),
    /// It waits. The first of a group has to see to its window.
    Waits(oneshot::Receiver<Outcome>, Option<Window>),
}

/// A call or a group of a key that is under way, until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    groups: Arc<Groups>,
    key: Key,
    calls: usize,
}

/// The window of a group. Where it is dropped without being closed, the calls of the group are told so, by the end of their channels.
#[derive(Debug)]
pub(crate) struct Window {
    group: Arc<Group>,
    groups: Arc<Groups>,
    key: Key,
    under_way: Option<UnderWay>,
}

impl Groups {
    /// A call comes that may go together with others within these limits, each with a request like this one.
    pub fn join(
        self: &Arc<Self>,
        key: Key,
        inputs: Inputs,
        limits: &Limits,
        request: impl FnOnce() -> UpstreamRequest,
    ) -> Joined {
        let mut state = self.state();
        let state = &mut *state;
        if state.resting.get(&key).is_some() {
            return Joined::Alone(None);
        }
        let expected = &mut state.expected;
        let slot = state
            .slots
            .entry(key)
            .or_insert_with(|| Slot { expected: expected.get(&key).unwrap_or(0), ..Slot::default() });
        if slot.holders == 0 || slot.open.is_none() && slot.is_complete(1, limits.calls) {
            slot.holders += 1;
            slot.under_way += 1;
            return Joined::Alone(Some(UnderWay { groups: self.clone(), key, calls: 1 }));
        }
        let (outcome, told) = oneshot::channel();
        let mut member = Member { inputs, came: Instant::now(), outcome };
        if let Some(open) = slot.open.take() {
            match open.add(member, limits) {
                Ok(members) => {
                    if members >= limits.calls || slot.is_complete(members, limits.calls) {
                        open.go();
                    } else {
                        slot.open = Some(open);
                    }
                    return Joined::Waits(told, None);
                }
                Err(other) => {
                    open.go();
                    member = other;
                }
            }
        }
        slot.holders += 1;
        let group = Arc::new(Group::new(member, request()));
        slot.open = Some(group.clone());
        let under_way = Some(UnderWay { groups: self.clone(), key, calls: 0 });
        Joined::Waits(told, Some(Window { group, groups: self.clone(), key, under_way }))
    }

    /// No calls of this key are merged for so long.
    pub fn rest(&self, key: Key, time: Duration) {
        self.state().resting.insert(key, (), time);
    }

    /// How many keys have calls under way.
    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.state().slots.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether a group of so many calls has no reason to wait: all callers that are known have asked, so that the next call comes only once
    /// one of them has its answer. A small group waits all the same. Otherwise each of many callers that are out of step would go alone for
    /// good.
    fn is_complete(&self, members: usize, max: usize) -> bool {
        let all = self.under_way + members;
        all == self.expected && 2 * members >= all.min(max)
    }
}

impl Window {
    /// Waits until the group is to go: for no longer than this, or until no more calls can come, or none is expected.
    pub async fn passes(&self, window: Duration) {
        self.group.goes(window).await;
    }

    /// What its calls have in common.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Lets no more calls in. Those that are still there, the request of the first, and what counts them as under way.
    pub fn close(mut self) -> (Vec<Member>, UpstreamRequest, Option<UnderWay>) {
        let mut under_way = self.under_way.take();
        let mut state = self.groups.state();
        let members = self.take(&mut state);
        if let (Some(under_way), Some(slot)) = (&mut under_way, state.slots.get_mut(&self.key)) {
            under_way.calls = members.len();
            slot.under_way += members.len();
            slot.expected = slot.under_way;
        }
        drop(state);
        (members, self.group.request.clone(), under_way)
    }

    /// Takes the group out of its slot, and the calls out of the group.
    fn take(&self, state: &mut State) -> Vec<Member> {
        if let Some(slot) = state.slots.get_mut(&self.key)
            && slot.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &self.group))
        {
            slot.open = None;
        }
        self.group.take()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut state = self.groups.state();
        let members = self.take(&mut state);
        drop(state);
        drop(members);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.groups.state();
        let state = &mut *state;
        let Some(slot) = state.slots.get_mut(&self.key) else { return };
        slot.holders -= 1;
        slot.under_way -= self.calls;
        if slot.holders == 0 {
            let expected = slot.expected;
            state.slots.remove(&self.key);
            if expected > 1 {
                state.expected.insert(self.key, expected, REMEMBERED);
            }
        }
    }
}
