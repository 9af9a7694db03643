//! An attempt in flight on a server, from its selection to the last byte of the response.

use std::sync::Arc;

use super::Server;
use super::ejection::Role;

/// Counts as one request in flight on its server until it is dropped.
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

    /// The server's name in logs and metrics: the address in the YAML, with the IP address if the name has several.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Index of the server's entry in the upstream's `servers`.
    #[must_use]
    pub fn server_index(&self) -> usize {
        self.server_index
    }

    /// Takes the role for a report of the result. A probe is one only until its result is reported.
    pub(super) fn take_role(&mut self) -> Role {
        std::mem::replace(&mut self.role, Role::Ordinary)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.give_back(self.tokens, self.role);
    }
}
