//! The context of a request, the same for every hook: its id, route, client and principal, its connection, and the tags that plugins
//! set.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::{AssumedCost, Batched, CallMeter, ConnectionInfo, KeyDigest, Principal, Tags, Trace, Usage};

/// The context of one request. Every hook sees the same one, so a plugin needs no copy of it in its state.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request's id, a `UUIDv7`: the key of its row in every log.
    pub id: Uuid,
    /// The name of the route that took the request. `None` where no route did, or the route has no plugins.
    pub route: Option<Arc<str>>,
    /// The client's address: as a trusted proxy says it, else that of its connection. `None` where that has none (a Unix socket).
    pub client: Option<IpAddr>,
    /// Whether the connection comes from a trusted proxy, so that what its forwarding headers say is believed.
    pub peer_is_trusted: bool,
    /// Words for later plugins, the ledger and the logs.
    pub tags: Tags,
    /// The trace that it belongs to, where its client says so, or the gateway makes spans.
    pub trace: Option<Box<Trace>>,
    /// How limits count the call, where some do.
    pub meter: Option<Arc<dyn CallMeter>>,
    /// What budgets count for the call if its cost does not become known, where some hold it.
    pub assumed_cost: Option<AssumedCost>,
    /// Which batch answers the call, where one may.
    pub batched: Option<Arc<Batched>>,
    /// What an upstream's answer used that a plugin had to discard, or the call's share of it. It is paid for, so the record adds it to
    /// what the call's own answer used.
    pub discarded_usage: Option<Box<Usage>>,
    connection: Option<Arc<ConnectionInfo>>,
    principal: Option<Box<Principal>>,
    /// The digest of the API key, once a plugin has asked for it.
    pub(crate) api_key_digest: Option<KeyDigest>,
}

impl Context {
    /// The context of a request of which only its id is known.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            route: None,
            client: None,
            peer_is_trusted: false,
            tags: Tags::default(),
            trace: None,
            meter: None,
            assumed_cost: None,
            batched: None,
            discarded_usage: None,
            connection: None,
            principal: None,
            api_key_digest: None,
        }
    }

    /// The client's connection; [`ConnectionInfo::UNKNOWN`] where nothing is known of it.
    #[must_use]
    pub fn connection(&self) -> &ConnectionInfo {
        self.connection.as_deref().unwrap_or(&ConnectionInfo::UNKNOWN)
    }

    /// Sets the client's connection. A certificate in it names the caller, until a plugin that identifies callers says who it is.
    pub fn set_connection(&mut self, connection: Arc<ConnectionInfo>) {
        if let Some(certificate) = connection.tls.as_ref().and_then(|tls| tls.client.as_ref()) {
            self.principal_mut().key_name.clone_from(&certificate.common_name);
        }
        self.connection = Some(connection);
    }

    /// Who calls. All of its fields are `None` until a plugin identifies the caller.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.principal.as_deref().unwrap_or(&Principal::UNKNOWN)
    }

    /// The principal, to be filled in by the plugin that identifies the caller. Allocates it on first use.
    pub fn principal_mut(&mut self) -> &mut Principal {
        self.principal.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_calls_until_a_plugin_says_who() {
        let mut context = Context::new(Uuid::nil());
        assert_eq!(context.principal(), &Principal::UNKNOWN);
        context.principal_mut().tenant = Some("team-a".into());
        context.principal_mut().user = Some("u1".into());
        let principal = context.principal();
        assert_eq!((principal.tenant.as_deref(), principal.user.as_deref()), (Some("team-a"), Some("u1")));
        assert_eq!(principal.key_name, None);
    }
}
