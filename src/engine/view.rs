//! What plugins and nginx's variables see of an exchange.

use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{HeaderEdits, RequestHead, Response, Variables};

use crate::chain::Instances;

use super::ctx::Exchange;
use super::route::server_name;
use super::sent_target::SentTarget;

impl Exchange {
    /// What nginx's variables are read from before there is a response.
    #[must_use]
    pub fn variables<'a>(&'a self, session: &'a Session) -> Variables<'a> {
        let head = session.req_header();
        let request = RequestHead {
            method: &head.method,
            target: head.raw_path(),
            path: self.path(),
            version: head.version,
            host: &self.record.host,
            server_name: server_name(self.route.as_deref()),
            headers: &head.headers,
        };
        Variables {
            context: &self.record.context,
            request,
            response: None,
            upstream_addrs: &self.record.upstream_addrs,
        }
    }

    /// The head of a response to it as the plugins see it, and beside it the plugins.
    pub fn response<'a>(
        &'a mut self,
        session: &'a Session,
        head: &'a ResponseHeader,
    ) -> (Response<'a>, &'a mut Instances) {
        let asked = session.req_header();
        let request = RequestHead {
            method: &asked.method,
            target: asked.raw_path(),
            path: path_of(self.sent_target.as_deref(), self.normal_path.as_deref(), &self.record.path),
            version: asked.version,
            host: &self.record.host,
            server_name: server_name(self.route.as_deref()),
            headers: &asked.headers,
        };
        let response = Response {
            context: &mut self.record.context,
            request,
            upstream_addrs: &self.record.upstream_addrs,
            status: head.status,
            headers: &head.headers,
            edits: HeaderEdits::default(),
        };
        (response, &mut self.plugins)
    }
}

/// The path by which a request is understood, in the normal form; see [`Exchange::path`].
#[must_use]
pub fn path_of<'a>(sent: Option<&'a SentTarget>, normal: Option<&'a str>, recorded: &'a str) -> &'a str {
    sent.map(SentTarget::path).or(normal).unwrap_or(recorded)
}
