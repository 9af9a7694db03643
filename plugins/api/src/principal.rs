//! Who calls, as far as a plugin found out.

use std::sync::Arc;

use crate::Grants;

/// The caller of a request. The plugin that identifies callers fills it in; limits, caches, the ledger, metrics and logs
/// read it. Texts that come from clients must be [`shortened`](crate::shortened).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The name of the API key, never the key itself.
    pub key_name: Option<Arc<str>>,
    /// The tenant: a team, a customer.
    pub tenant: Option<Arc<str>>,
    /// The session that the call belongs to.
    pub session: Option<Arc<str>>,
    /// Whether the name of the session may be that of several, such as the key of a prompt cache.
    pub session_is_shared: bool,
    /// The user within the tenant.
    pub user: Option<Arc<str>>,
    /// What the caller may do. `None`: nobody said anything of it.
    pub grants: Option<Arc<Grants>>,
}

impl Principal {
    /// A caller of whom nothing is known.
    pub const UNKNOWN: Self =
        Self { key_name: None, tenant: None, session: None, session_is_shared: false, user: None, grants: None };
}
