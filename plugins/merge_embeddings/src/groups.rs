//! Calls that wait for others, by what they have in common. A call goes alone where no other of its key is under way. Sends nothing.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::UpstreamRequest;
use tokio::sync::{Notify, oneshot};

use crate::inputs::{Inputs, MOST_INPUTS, MOST_TOKENS};
use crate::key::Key;
use crate::merged::Outcome;

/// The most keys that rest at a time. Beyond it calls are merged that might not be.
const MOST_RESTING: usize = 1024;
/// How exactly the runtime keeps time.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// The calls of a process that wait, and those that are under way.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Keys whose calls are not merged until then.
    resting: HashMap<Key, Instant>,
}

/// The calls of one key.
#[derive(Debug, Default)]
struct Slot {
    /// Calls under way, and groups that wait or are.
    under_way: usize,
    /// The group that takes more.
    open: Option<Arc<Group>>,
}

/// Calls that wait to go together.
#[derive(Debug)]
pub(crate) struct Group {
    members: Mutex<Vec<Member>>,
    /// The request of the first of them, without its body.
    request: UpstreamRequest,
    /// Told when there are as many as may be.
    full: Notify,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Member {
    pub inputs: Inputs,
    pub came: Instant,
    /// Tells it what came of it; closed once it has left.
    pub outcome: oneshot::Sender<Outcome>,
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
    /// A call comes that may go together with up to `max` in all, each with a request like this one.
    pub fn join(
        self: &Arc<Self>,
        key: Key,
        inputs: Inputs,
        max: usize,
        request: impl FnOnce() -> UpstreamRequest,
    ) -> Joined {
        let mut state = self.state();
        let state = &mut *state;
        if !state.resting.is_empty() && state.is_resting(&key) {
            return Joined::Alone(None);
        }
        let slot = state.slots.entry(key).or_default();
        if slot.under_way == 0 {
            slot.under_way = 1;
            return Joined::Alone(Some(UnderWay { groups: self.clone(), key }));
        }
        let (outcome, told) = oneshot::channel();
        let mut member = Member { inputs, came: Instant::now(), outcome };
        if let Some(open) = slot.open.take() {
            match open.add(member, max) {
                Ok(false) => {
                    slot.open = Some(open);
                    return Joined::Waits(told, None);
                }
                Ok(true) => {
                    open.full.notify_one();
                    return Joined::Waits(told, None);
                }
                Err(other) => {
                    open.full.notify_one();
                    member = other;
                }
            }
        }
        slot.under_way += 1;
        let group = Arc::new(Group { members: Mutex::new(vec![member]), request: request(), full: Notify::new() });
        slot.open = Some(group.clone());
        let under_way = Some(UnderWay { groups: self.clone(), key });
        Joined::Waits(told, Some(Window { group, groups: self.clone(), key, under_way }))
    }

    /// No calls of this key are merged for so long.
    pub fn rest(&self, key: Key, time: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        if state.resting.len() >= MOST_RESTING {
            state.resting.retain(|_, until| *until > now);
        }
        if state.resting.len() < MOST_RESTING {
            state.resting.insert(key, now + time);
        }
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

impl State {
    fn is_resting(&mut self, key: &Key) -> bool {
        let Some(until) = self.resting.get(key) else { return false };
        let rests = *until > Instant::now();
        if !rests {
            self.resting.remove(key);
        }
        rests
    }
}

impl Group {
    /// Adds a call. `true` if there can be no more.
    ///
    /// # Errors
    /// The call, where the group has no room for it.
    fn add(&self, member: Member, max: usize) -> Result<bool, Member> {
        let mut members = self.members();
        // those that have left take no room
        members.retain(|member| !member.outcome.is_closed());
        let inputs: usize = members.iter().map(|member| member.inputs.count).sum();
        let tokens: u64 = members.iter().map(|member| member.inputs.most_tokens).sum();
        if inputs + member.inputs.count > MOST_INPUTS || tokens + member.inputs.most_tokens > MOST_TOKENS {
            return Err(member);
        }
        members.push(member);
        Ok(members.len() >= max)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Waits until the group is to go: for no longer than this, or until it is full.
    pub async fn passes(&self, window: Duration) {
        // a timer of the runtime rings up to a millisecond late
        let time = window.saturating_sub(TIMER_STEP).max(window / 2);
        // it passes early or late, and nothing else comes of it
        let _ = tokio::time::timeout(time, self.group.full.notified()).await;
    }

    /// What its calls have in common.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Lets no more calls in. Those that are still there, the request of the first, and what counts them as under way.
    pub fn close(mut self) -> (Vec<Member>, UpstreamRequest, Option<UnderWay>) {
        let mut members = self.take();
        members.retain(|member| !member.outcome.is_closed());
        (members, self.group.request.clone(), self.under_way.take())
    }

    /// Takes the group out of its slot, and the calls out of the group.
    fn take(&self) -> Vec<Member> {
        let mut state = self.groups.state();
        if let Some(slot) = state.slots.get_mut(&self.key)
            && slot.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &self.group))
        {
            slot.open = None;
        }
        drop(state);
        mem::take(&mut *self.group.members())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.groups.state();
        let Some(slot) = state.slots.get_mut(&self.key) else { return };
        slot.under_way -= 1;
        if slot.under_way == 0 {
            state.slots.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::http::{HeaderMap, Method};
    use plugin_api::testing::{TestCall, context};
    use plugin_api::{Bytes, Endpoint, OutgoingCall, SendLimits};

    use super::*;
    use crate::key::caller;

    fn request() -> UpstreamRequest {
        UpstreamRequest {
            upstream: "a".into(),
            method: Method::POST,
            target: "/v1/embeddings".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            limits: SendLimits::default(),
            once: false,
        }
    }

    fn inputs(input: &str) -> Inputs {
        Inputs::of(&Bytes::from(format!("{{\"input\":{input}}}"))).unwrap()
    }

    fn key(model: &str) -> Key {
        let (mut context, call) =
            (context(), TestCall::new().model(model).with("input", "\"a\"").to(Endpoint::EMBEDDINGS));
        let inputs = Inputs::of(call.text()).unwrap();
        let call = OutgoingCall {
            context: &mut context,
            call: &call,
            upstream: &"a".into(),
            upstream_has_credential: false,
            method: &Method::POST,
            target: "/v1/embeddings",
            headers: HeaderMap::new(),
            limits: SendLimits::default(),
        };
        Key::of(&call, &inputs, &caller(&HeaderMap::new())).unwrap()
    }

    fn join(groups: &Arc<Groups>, input: &str, max: usize) -> Joined {
        groups.join(key("m"), inputs(input), max, request)
    }

    fn waits(joined: Joined) -> (oneshot::Receiver<Outcome>, Option<Window>) {
        match joined {
            Joined::Waits(told, window) => (told, window),
            Joined::Alone(_) => panic!("it goes alone"),
        }
    }

    fn alone(joined: Joined) -> Option<UnderWay> {
        match joined {
            Joined::Alone(under_way) => under_way,
            Joined::Waits(..) => panic!("it waits"),
        }
    }

    #[test]
    fn the_first_goes_alone_and_those_behind_it_wait_together() {
        let groups = Arc::new(Groups::default());
        let first = alone(join(&groups, "\"a\"", 64)).unwrap();
        let other = alone(groups.join(key("other"), inputs("\"a\""), 64, request));
        let (_b, window) = waits(join(&groups, "\"b\"", 64));
        let (_c, none) = waits(join(&groups, "\"c\"", 64));
        assert!(none.is_none());
        drop((first, other));
        // the group itself is under way
        let (_d, none) = waits(join(&groups, "\"d\"", 64));
        assert!(none.is_none());
        let (members, _, under_way) = window.unwrap().close();
        assert_eq!(members.len(), 3);
        let (_e, window) = waits(join(&groups, "\"e\"", 64));
        drop((window.unwrap().close(), under_way));
        assert_eq!(groups.keys(), 0);
        alone(join(&groups, "\"f\"", 64)).unwrap();
        assert_eq!(groups.keys(), 0);
    }

    #[tokio::test]
    async fn a_group_goes_once_it_is_full_by_calls_inputs_or_tokens() {
        let long = format!("\"{}\"", "a".repeat(200_000));
        let many = format!("[{}\"b\"]", "\"a\",".repeat(MOST_INPUTS - 1));
        for (second, third, in_first) in [("\"b\"", "\"c\"", 2), (&*long, &*long, 1), (&*many, &*many, 1)] {
            let groups = Arc::new(Groups::default());
            let _first = alone(join(&groups, "\"a\"", 2)).unwrap();
            let (_second, window) = waits(join(&groups, second, 2));
            let (_third, other) = waits(join(&groups, third, 2));
            let window = window.unwrap();
            // it does not wait for its time
            window.passes(Duration::from_secs(3600)).await;
            assert_eq!(window.close().0.len(), in_first);
            assert_eq!(other.is_some(), in_first == 1);
        }
    }

    #[test]
    fn calls_that_have_left_go_nowhere_and_take_no_room() {
        let groups = Arc::new(Groups::default());
        let _first = alone(join(&groups, "\"a\"", 3)).unwrap();
        let (second, window) = waits(join(&groups, "\"b\"", 3));
        drop(second);
        let (_c, _) = waits(join(&groups, "\"c\"", 3));
        let (_d, _) = waits(join(&groups, "\"d\"", 3));
        let (_e, none) = waits(join(&groups, "\"e\"", 3));
        assert!(none.is_none());
        assert_eq!(window.unwrap().close().0.len(), 3);
    }

    #[test]
    fn a_window_that_is_dropped_lets_its_calls_go() {
        let groups = Arc::new(Groups::default());
        let first = alone(join(&groups, "\"a\"", 3));
        let (mut second, window) = waits(join(&groups, "\"b\"", 3));
        drop(window);
        assert!(second.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        drop(first);
        assert_eq!(groups.keys(), 0);
    }

    #[test]
    fn the_calls_of_a_key_that_rests_are_not_merged() {
        let groups = Arc::new(Groups::default());
        let _first = alone(join(&groups, "\"a\"", 3)).unwrap();
        groups.rest(key("m"), Duration::from_secs(3600));
        assert!(alone(join(&groups, "\"b\"", 3)).is_none());
        groups.rest(key("m"), Duration::ZERO);
        waits(join(&groups, "\"c\"", 3));
        for model in 0..2 * MOST_RESTING {
            groups.rest(key(&model.to_string()), Duration::from_secs(3600));
        }
        assert_eq!(groups.state().resting.len(), MOST_RESTING);
    }
}
