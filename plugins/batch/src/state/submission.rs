//! Calls that are submitted together, and what is known of that.

use plugin_api::Uuid;

use crate::call::{Group, Millis};

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

impl Submission {
    pub(super) fn new(id: Uuid, group: Group, calls: &[Uuid], at: Millis) -> Self {
        Self {
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
        }
    }
}
