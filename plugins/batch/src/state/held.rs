//! A call that is kept: how far it is, and who wants its answer.

use std::sync::Arc;

use bytes::Bytes;
use plugin_api::Uuid;

use crate::call::{Call, Millis};
use crate::entry::Outcome;

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

impl Held {
    pub(super) fn new(call: &Call, body: &Bytes) -> Self {
        Self {
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
        }
    }

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
