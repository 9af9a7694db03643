//! A connection to an endpoint of calls whose messages nobody needed when it was opened. They cannot be read from within, so it is closed
//! once a reload has given its route something that needs them.

use super::call_config::CallConfig;
use super::handshake::Handshake;
use super::needs_messages;

/// Such a connection.
pub struct OpenedUnread {
    handshake: Handshake,
    config: CallConfig,
}

impl OpenedUnread {
    /// One with this handshake, which has been accepted under this configuration.
    #[must_use]
    pub fn new(handshake: Handshake, config: CallConfig) -> Self {
        Self { handshake, config }
    }

    /// Whether its messages have to be read by now.
    pub fn must_be_read(&mut self) -> bool {
        self.handshake.refresh(&mut self.config).is_ok() && needs_messages(&self.config.snapshot, &self.config.route)
    }
}
