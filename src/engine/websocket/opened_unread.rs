//! A connection to an endpoint of calls whose messages nobody needed when it was opened. They cannot be read from within, so it is closed
//! once a reload has given its route something that needs them.

use super::call_config::{CallConfig, ConfigInForce};
use super::needs_messages;

/// Such a connection.
pub struct OpenedUnread {
    in_force: ConfigInForce,
    config: CallConfig,
}

impl OpenedUnread {
    /// One whose handshake has been accepted under this configuration.
    #[must_use]
    pub fn new(in_force: ConfigInForce, config: CallConfig) -> Self {
        Self { in_force, config }
    }

    /// Whether its messages have to be read by now.
    pub fn must_be_read(&mut self) -> bool {
        self.in_force.refresh(&mut self.config).is_ok() && needs_messages(&self.config.snapshot, &self.config.route)
    }
}
