//! The clients of a store's calls: who waits, who has an answer, and what budgets hold for calls that nobody waits for.

use std::sync::Arc;

use plugin_api::Uuid;
use tokio::sync::oneshot;

use super::{Inner, Store};
use crate::entry::Fact;
use crate::state::{Answer, Stage};
use crate::waiting::Waiting;

impl Inner {
    /// The calls for which clients wait.
    pub(crate) fn awaited(&self) -> Vec<Uuid> {
        self.clients.keys().copied().collect()
    }

    /// Tells the clients of a call what another process found out.
    pub(crate) fn tell_from(&mut self, id: Uuid, found: &Arc<Answer>) {
        for (_, client) in self.clients.remove(&id).unwrap_or_default() {
            let _gone = client.send(found.clone());
        }
    }

    /// Nobody will know what becomes of a call: its clients wait no more.
    pub(crate) fn forsake(&mut self, id: Uuid) {
        self.clients.remove(&id);
    }

    pub(super) fn wait_for(&mut self, store: &Arc<Store>, id: Uuid, is_first: bool) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let number = self.next_client;
        self.next_client += 1;
        self.clients.entry(id).or_default().push((number, sender));
        self.state.change(id, |held| {
            held.clients += 1;
            held.is_unwanted = false;
        });
        self.tell(id);
        Waiting::new(store.clone(), id, number, answer, is_first)
    }

    /// A client has gone, or waits no more.
    pub(crate) fn leave(&mut self, id: Uuid, client: u64, is_first: bool, wants_nothing: bool) {
        if let Some(clients) = self.clients.get_mut(&id) {
            clients.retain(|(number, _)| *number != client);
            if clients.is_empty() {
                self.clients.remove(&id);
            }
        }
        self.state.change(id, |held| {
            held.clients = held.clients.saturating_sub(1);
            held.is_left |= is_first && !matches!(held.stage, Stage::Answered(_));
            held.is_unwanted |= wants_nothing && held.clients == 0 && !held.is_deferred;
        });
        self.hold(id);
    }

    /// A client that was to have the usage of an answer in its row has it not.
    pub(crate) fn unclaim(&mut self, id: Uuid) {
        self.state.change(id, |held| held.is_claimed = false);
        if self.state.calls.get(&id).is_some_and(|held| held.is_booked) {
            // the log went to another process with the promise that it would
            self.unbooked.push(id);
        }
        self.hold(id);
    }

    /// What is on its way to clients is booked, for the process that has the log next.
    pub(super) fn promise(&mut self) {
        let claimed = self.state.calls.values().filter(|held| held.is_claimed && !held.is_booked);
        for id in claimed.map(|held| held.call.id).collect::<Vec<_>>() {
            self.note(Fact::Booked(id));
        }
    }

    /// Has budgets hold what a call may cost that goes on without a client, whose request no longer does.
    pub(super) fn hold(&mut self, id: Uuid) {
        let held = self.state.calls.get(&id).filter(|held| held.is_to_be_billed() && !self.holds.contains_key(&id));
        let cost = held.and_then(|held| held.call.cost.as_ref());
        if let Some(hold) = cost.and_then(|cost| self.common.budget_use.hold(cost)) {
            self.holds.insert(id, hold);
        }
    }

    /// Tells the clients of a call what came of it, where that is known.
    pub(super) fn tell(&mut self, id: Uuid) {
        let Some(held) = self.state.calls.get(&id) else { return };
        let Stage::Answered(answer) = &held.stage else { return };
        let answer = answer.clone();
        self.tell_from(id, &answer);
    }
}
