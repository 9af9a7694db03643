//! What is too old, by the settings. Deletes nothing.

use std::time::SystemTime;

use super::leaf::Parent;
use crate::{StoreSettings, Timestamp};

/// What is older than this is too old, where anything is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cuts {
    rows: Option<Timestamp>,
    bodies: Option<Timestamp>,
}

impl Cuts {
    /// By the settings, as of now. No body outlives its row.
    pub(super) fn now(settings: &StoreSettings) -> Self {
        let ago = |period: plugin_api::Period| {
            SystemTime::now().checked_sub(period.get()).map_or(Timestamp::from_micros(0), Timestamp::from)
        };
        let rows = settings.retention.rows.map(ago);
        Self { rows, bodies: settings.retention.bodies.map(ago).max(rows) }
    }

    /// What is too old in a table.
    pub(super) fn of(self, parent: Parent) -> Option<Timestamp> {
        match parent {
            Parent::Requests | Parent::Batches => self.rows,
            Parent::Bodies | Parent::Chunks => self.bodies,
        }
    }
}
