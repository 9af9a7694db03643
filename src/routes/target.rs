//! Where the requests of a route go: to an upstream, or to an answer that is made here.

use located_yaml::Located;

use super::answer::AnswerSettings;
use super::models::ModelEntry;
use super::path_change::PathChange;
use super::redirect::{LocationTemplate, RedirectStatus};
use super::settings::{OnClientDisconnect, WebSockets};
use super::template::{Group, RouteTemplate};
use super::timeouts::RouteTimeouts;

/// Where the requests of a route go.
#[derive(Clone, Debug)]
pub enum Target {
    /// To an upstream.
    Upstream(Box<UpstreamTarget>),
    /// To another address: the client is sent there.
    Redirect(Redirect),
    /// Nowhere: they are answered here.
    Answer(Box<AnswerSettings>),
}

/// An upstream, and how requests go there.
#[derive(Clone, Debug)]
pub struct UpstreamTarget {
    /// Its name.
    pub upstream: Located<String>,
    /// Other upstreams and names for some models.
    pub models: Vec<Located<ModelEntry>>,
    /// The path that it gets in place of the client's.
    pub path_change: Option<PathChange>,
    /// Limits in place of the upstream's own.
    pub timeouts: RouteTimeouts,
    /// What happens to a call whose client disconnects.
    pub on_client_disconnect: OnClientDisconnect,
    /// Whether a WebSocket passes.
    pub websocket: WebSockets,
}

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The address that the client is sent to.
    pub location: Located<LocationTemplate>,
    /// With this status.
    pub status: RedirectStatus,
}

impl Target {
    /// The upstream, where it is one.
    #[must_use]
    pub fn upstream(&self) -> Option<&UpstreamTarget> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Redirect(_) | Self::Answer(_) => None,
        }
    }

    /// The groups of the route's expressions that it uses.
    #[must_use]
    pub fn groups(&self) -> Vec<&Group> {
        let templates: Vec<&RouteTemplate> = match self {
            Self::Upstream(target) => match &target.path_change {
                Some(PathChange::Rewrite(rewrite)) => vec![rewrite.template()],
                Some(PathChange::Strip(_)) | None => Vec::new(),
            },
            Self::Redirect(redirect) => vec![redirect.location.template()],
            Self::Answer(answer) => answer.body.iter().chain(answer.headers.iter().map(|(_, value)| value)).collect(),
        };
        templates.into_iter().flat_map(RouteTemplate::groups).collect()
    }
}
