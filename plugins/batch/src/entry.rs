//! What is written to the log: everything that must be known again after a kill, in the order in which it happened.

use bytes::Bytes;
use plugin_api::Uuid;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Millis};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fact {
    /// A call is accepted. The body of the entry is the call's.
    Call(Box<Call>),
    /// Its client was told to come back: it stays without clients.
    Deferred(Uuid),
    /// These calls are about to be submitted. Written before a byte of the submission leaves.
    Submitting { submission: Uuid, calls: Vec<Uuid>, at: Millis },
    /// The provider does not have that submission: its calls are collected again.
    Absent(Uuid),
    /// The provider has it, under this name.
    Made { submission: Uuid, batch: String, upstream: String },
    /// The provider was asked to cancel it.
    Cancelled(Uuid),
    /// What came of a call. The body of the entry is the answer's.
    Answer { call: Uuid, batch: String, outcome: Outcome, at: Millis },
    /// A submission is over: each of its calls has its answer.
    Ended(Uuid),
    /// The usage of a call's answer is in the ledger.
    Booked(Uuid),
    /// A call is done with.
    Gone(Uuid),
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The answer, with this status: 200, or that of an error that the call itself is to blame for.
    Given(u16),
    /// There is none.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// It waited as long as its client wants.
    Late,
    /// The provider did not get to it in time.
    Expired,
    /// Its batch was cancelled.
    Canceled,
    /// The provider failed at it.
    Errored,
    /// The provider did not take its batch.
    Rejected,
    /// The results of its batch say nothing of it.
    Missing,
    /// It cannot be in a batch, or its upstream has no credential of its own.
    Unsuitable,
    /// The store is full, or its disk.
    NotStored,
}

impl Failure {
    /// The word for it in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Errored => "errored",
            Self::Rejected => "rejected",
            Self::Missing => "missing",
            Self::Unsuitable => "unsuitable",
            Self::NotStored => "not_stored",
        }
    }
}

/// A fact with the bytes that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) fact: Fact,
    pub(crate) body: Bytes,
}

impl From<Fact> for Entry {
    fn from(fact: Fact) -> Self {
        Self { fact, body: Bytes::new() }
    }
}
