//! What is too old, by the settings. Deletes nothing.

use super::partition::{Parent, Partition};
use crate::{StoreSettings, Timestamp};

/// What is older than this is too old, where anything is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoffs {
    rows: Option<Timestamp>,
    bodies: Option<Timestamp>,
    /// The newest row: what came with it stays, however old it is.
    newest: Option<Timestamp>,
}

impl Cutoffs {
    /// By the settings, as of a time. No body outlives its row.
    pub(super) fn at(time: Timestamp, newest: Option<Timestamp>, settings: &StoreSettings) -> Self {
        let ago = |period: plugin_api::Period| {
            let micros = i64::try_from(period.get().as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(time.micros().saturating_sub(micros))
        };
        let rows = settings.retention.rows.map(ago);
        Self { rows, bodies: settings.retention.bodies.map(ago).max(rows), newest }
    }

    /// What is too old in a table.
    pub(super) fn of(self, parent: Parent) -> Option<Timestamp> {
        let cut = match parent {
            Parent::Requests | Parent::Batches => self.rows,
            Parent::Bodies | Parent::Chunks => self.bodies,
        };
        let newest = self.newest.map(|newest| Partition::of(parent, newest).start());
        cut.map(|cut| newest.map_or(cut, |newest| cut.min(newest)))
    }

    /// Whether a span is too old.
    pub(super) fn has(self, partition: Partition) -> bool {
        self.of(partition.parent).is_some_and(|cut| partition.end() <= cut)
    }
}
