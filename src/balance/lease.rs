//! An attempt in flight on a server, from the choice to the last byte of its answer, whatever ends it.

use std::sync::Arc;

use super::Server;
use super::ejection::Role;

/// Counts as in flight on its server until it is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(super) server: Arc<Server>,
    pub(super) label: Arc<str>,
    pub(super) server_index: usize,
    pub(super) tokens: u64,
    pub(super) role: Role,
}

impl Lease {
    /// The server.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its name in logs and metrics: the address in the YAML, with the IP address where the name has several.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Its place among the servers in the YAML.
    #[must_use]
    pub fn server_index(&self) -> usize {
        self.server_index
    }

    /// Its server is about to be told how it went: as what it was chosen. A probe is one only until then.
    pub(super) fn take_role(&mut self) -> Role {
        std::mem::replace(&mut self.role, Role::Ordinary)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.give_back(self.tokens, self.role);
    }
}
