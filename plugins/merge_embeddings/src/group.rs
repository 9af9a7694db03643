//! A group: calls that wait to go together. Who may be in it is decided by `groups`.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::UpstreamRequest;
use tokio::sync::{Notify, oneshot};

use crate::inputs::Inputs;
use crate::merged::Outcome;
use crate::settings::Limits;
use crate::timer;

/// Calls that wait to go together.
#[derive(Debug)]
pub(crate) struct Group {
    members: Mutex<Vec<Member>>,
    /// The request of the first of them, without its body.
    pub request: UpstreamRequest,
    /// Told when no more calls can come, or none is expected.
    go: Notify,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Member {
    pub inputs: Inputs,
    pub came: Instant,
    /// Tells it what came of it; closed once it has left.
    pub outcome: oneshot::Sender<Outcome>,
}

impl Group {
    /// A group of one call, with its request.
    pub fn new(first: Member, request: UpstreamRequest) -> Self {
        Self { members: Mutex::new(vec![first]), request, go: Notify::new() }
    }

    /// Adds a call. How many there are now.
    ///
    /// # Errors
    /// The call, where the group has no room for it.
    pub fn add(&self, member: Member, limits: &Limits) -> Result<usize, Member> {
        let mut members = self.members();
        // those that have left take no room
        members.retain(|member| !member.outcome.is_closed());
        let inputs: usize = members.iter().map(|member| member.inputs.count).sum();
        let tokens: u64 = members.iter().map(|member| member.inputs.most_tokens).sum();
        if inputs + member.inputs.count > limits.inputs || tokens + member.inputs.most_tokens > limits.tokens {
            return Err(member);
        }
        members.push(member);
        Ok(members.len())
    }

    /// It is to go now.
    pub fn go(&self) {
        self.go.notify_one();
    }

    /// Waits until it is to go: for this time at most.
    pub async fn goes(&self, window: Duration) {
        tokio::select! {
            biased;
            () = self.go.notified() => {}
            () = timer::sleep(window) => {}
        }
    }

    /// Takes the calls out that are still there.
    pub fn take(&self) -> Vec<Member> {
        let mut members = mem::take(&mut *self.members());
        members.retain(|member| !member.outcome.is_closed());
        members
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
