//! One request and its response: everything remembered between Pingora's hooks. Its end is in `recording`.

use std::borrow::Cow;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use plugin_api::{
    Charge, DetachUntil, Endpoint, HeaderEdits, LONGEST_HOST, LONGEST_PATH, Protocol, Record, Transport, Uuid,
    shortened,
};
use protocols::{FormModel, StreamUsageFilter};
use tokio::time::Instant;

use crate::access_log::Captured;
use crate::chain::Instances;
use crate::exchange::attempts::Attempts;
use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::delivery::Delivery;
use crate::exchange::ending::Ending;
use crate::exchange::failure::Failure;
use crate::exchange::forwarded::{Proxies, believed_client, client_in, is_in};
use crate::exchange::header_flags::HeaderFlags;
use crate::exchange::presence::Presence;
use crate::exchange::response_observer::ResponseObserver;
use crate::exchange::upstream::{Timeouts, Upstream};
use crate::memory::HEADS;
use crate::metrics::InFlight;
use crate::routes::{InvalidPath, host_of, normalize};
use crate::settings::AddressHeader;

use super::clock;
use super::connection::connection_facts;
use super::plugin_request::PluginRequest;
use super::route::Route;
use super::sending::Outgoing;
use super::sent_target::SentTarget;
use super::snapshot::Snapshot;
use super::timer::Timer;
use super::transform::TransformedResponse;
use super::upstream::ConnectionUse;
use super::upstream_socket::Connector;
use super::view::path_of;
use super::websocket::{RealtimeModel, Socket};

/// One exchange. Whatever ends it, dropping it gives back what it took and records it exactly once.
// in this order, so that the fields which each event of a stream uses share cache lines: with thousands of streams most of them are cold
#[repr(C)]
pub struct Exchange {
    /// Its deadlines.
    pub timer: Arc<Timer>,
    /// The WebSocket that it has become.
    pub websocket: Option<Arc<Socket>>,
    /// The filter that takes usage out of the answer for which the client did not ask.
    pub stream_usage: Option<Box<StreamUsageFilter>>,
    /// The response, if plugins change it.
    pub transform: Option<Box<TransformedResponse>>,
    /// The reader of the answer as it passes.
    pub observer: ResponseObserver,
    /// Whether the client is still there, if the exchange goes on without it on the client's own task.
    pub presence: Option<Arc<Presence>>,
    /// The delivery to the client by the request that relays the answer, if this exchange is a detached call.
    pub delivery: Option<Arc<Delivery>>,
    /// The state of its end.
    pub ending: Ending,
    /// When its head had been read.
    pub began: Instant,
    /// Its plugins.
    pub plugins: Instances,
    /// The configuration it began with.
    pub snapshot: Arc<Snapshot>,
    /// Its record.
    pub record: Record,
    /// What the access log needs of its heads.
    pub captured: Option<Box<Captured>>,
    /// Its host as metrics name it.
    pub domain: Arc<str>,
    /// The headers of the request that matter here.
    pub flags: HeaderFlags,
    /// The address that its connection came from, as text.
    pub peer_text: Option<HeaderValue>,
    // the path in its normal form, where it came in another or is too long for the record; see `path()`
    pub(super) normal_path: Option<Box<str>>,
    /// The target that goes upstream, where its route changes it.
    pub sent_target: Option<Box<SentTarget>>,
    /// The target to send upstream where its bytes are not UTF-8.
    pub raw_target: Option<Box<[u8]>>,
    /// Its route, once one was found.
    pub route: Option<Arc<Route>>,
    /// Changes that plugins want made to the request's headers.
    pub request_edits: HeaderEdits,
    /// The body to send, if it was read here.
    pub body: Option<BufferedBody>,
    /// The charge for the part of a streaming body that Pingora may keep.
    pub stream_charge: Option<Charge>,
    /// The charge for its head.
    pub head_charge: Charge,
    /// The attempts upstream, once its route was found.
    pub attempts: Option<Attempts>,
    /// How its body was encoded, where that may matter for a fallback.
    pub sent_headers: Option<Box<HeaderMap>>,
    /// The connection of the present attempt.
    pub connection: RawFd,
    /// Where its socket is from, if it is a plain one.
    pub connector: Option<Arc<Connector>>,
    /// Whether Pingora took it from its pool. Only TLS connections are in that.
    pub is_reused: bool,
    /// The bytes that its server had acknowledged before the attempt, if it is a reused one in HTTP/1.1.
    pub acknowledged: Option<u64>,
    /// How the present attempt uses it.
    pub connection_use: ConnectionUse,
    /// Whether the certificate of the next connection is to be one that `tls.ca` names itself, where that of the last one was of the other
    /// kind than was looked for.
    pub named_certificate: Option<bool>,
    /// Whether the gateway asked for usage that the client does not get.
    pub adds_stream_usage: bool,
    /// The reader that finds the model in a form as it passes.
    pub form: Option<Box<FormModel>>,
    /// How long the call goes on if its own client leaves.
    pub detach_until: Option<DetachUntil>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// Whether the client has a whole answer that says so.
    pub is_answered: bool,
    /// Why the last connection could not be established.
    pub cause: Option<String>,
    /// The endpoint whose messages are read on the WebSocket that it asks for; none where it asks for none, or they pass unread.
    pub websocket_endpoint: Option<Endpoint>,
    /// The model of the session that it asks for, where its messages are read.
    pub realtime_model: Option<RealtimeModel>,
    /// The head of its request, while the exchange moves to the task of a detached call.
    pub handed_over: Option<Box<RequestHeader>>,
    /// The call as plugins see it that may send it themselves, where the route has some.
    pub outgoing: Option<Box<Outgoing>>,
    /// What there is in the place of a client, where it carries a plugin's own request.
    pub plugin_request: Option<Box<PluginRequest>>,
    in_flight: Option<InFlight>,
}

impl Exchange {
    /// An exchange whose request has not been looked at yet.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Box<Self> {
        let began = clock::now();
        let timer = Timer::current().unwrap_or_else(|| Timer::new(Duration::ZERO, Duration::ZERO));
        timer.request_came();
        Box::new(Self {
            timer,
            began,
            record: Record::begun(Uuid::now_v7(), SystemTime::now()),
            captured: None,
            domain: snapshot.router.other().clone(),
            flags: HeaderFlags::default(),
            peer_text: None,
            normal_path: None,
            sent_target: None,
            raw_target: None,
            route: None,
            plugins: Instances::default(),
            request_edits: HeaderEdits::default(),
            body: None,
            stream_charge: None,
            head_charge: HEADS.charge(),
            attempts: None,
            sent_headers: None,
            connection: -1,
            connector: None,
            is_reused: false,
            acknowledged: None,
            connection_use: ConnectionUse::default(),
            named_certificate: None,
            adds_stream_usage: false,
            stream_usage: None,
            transform: None,
            form: None,
            observer: ResponseObserver::Nothing,
            detach_until: None,
            failure: None,
            is_answered: false,
            cause: None,
            delivery: None,
            presence: None,
            websocket_endpoint: None,
            realtime_model: None,
            websocket: None,
            ending: Ending::default(),
            handed_over: None,
            outgoing: None,
            plugin_request: None,
            in_flight: Some(snapshot.metrics.request_in_flight()),
            snapshot,
        })
    }

    /// The exchange that stays with the client's task when a detached call carries the real one on. It makes no record, and is
    /// not in flight.
    #[must_use]
    pub fn stand_in(snapshot: Arc<Snapshot>) -> Box<Self> {
        let mut exchange = Self::new(snapshot);
        exchange.ending.hand_off();
        exchange.in_flight = None;
        exchange
    }

    /// An exchange that carries a plugin's own request. It makes no record; the plugin is told how it ends.
    #[must_use]
    pub fn of_plugin(snapshot: Arc<Snapshot>, request: PluginRequest) -> Box<Self> {
        let mut exchange = Self::new(snapshot);
        exchange.in_flight = Some(exchange.snapshot.metrics.plugin_request_in_flight());
        exchange.plugin_request = Some(Box::new(request));
        exchange
    }

    /// Counts a plugin's panic that ends the exchange, and names the plugin in the record.
    pub fn plugin_panicked(&mut self, plugin: &'static str) {
        self.snapshot.metrics.plugin_panicked(plugin);
        self.record.plugin = Some(plugin);
    }

    /// Copies the facts of the request's head into the record.
    pub fn read_request_head(&mut self, session: &Session) {
        let head = session.req_header();
        let path = head.uri.path();
        self.flags = HeaderFlags::of(&head.headers);
        self.record.transport = Transport::of(head.version);
        self.record.method = head.method.clone();
        self.record.path = shortened(path, LONGEST_PATH).into_owned();
        // the path that routes match is never cut
        self.normal_path = (path.len() > LONGEST_PATH).then(|| path.into());
        let authority = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = authority.or_else(|| head.uri.authority().map(Authority::as_str));
        self.record.host = shortened(host_of(authority.unwrap_or_default()), LONGEST_HOST).into_owned();
        self.read_client(session);
        self.read_trace(&head.headers);
        if self.snapshot.access_log.captures() {
            self.captured = self.snapshot.access_log.capture(&self.variables(session));
        }
    }

    /// Finds out for whom the request came: for its peer, or for whom a trusted proxy says.
    fn read_client(&mut self, session: &Session) {
        let Some(facts) = connection_facts(session) else { return };
        let context = &mut self.record.context;
        context.set_connection(facts.info.clone());
        self.peer_text.clone_from(&facts.client_text);
        let Some(peer) = facts.info.client().map(|address| address.ip()) else { return };
        context.client = Some(peer);
        let trusted = &self.snapshot.trusted_proxies;
        if !trusted.is_empty() && is_in(peer, trusted) {
            context.peer_is_trusted = true;
            let source = &self.snapshot.client_address;
            let proxies = Proxies { trusted, recursive: source.recursive };
            let headers = &session.req_header().headers;
            context.client = Some(match &source.header {
                None => believed_client(peer, headers, proxies),
                Some(AddressHeader::Named(name)) => client_in(name, peer, headers, proxies),
                Some(AddressHeader::ProxyProtocol) => peer,
            });
        }
    }

    /// Brings the path into the form in which everything here looks at it.
    ///
    /// # Errors
    /// That it has none.
    pub fn normalize_path(&mut self) -> Result<(), InvalidPath> {
        if let Cow::Owned(normal) = normalize(self.client_path())? {
            self.normal_path = Some(normal.into());
        }
        Ok(())
    }

    /// The path by which its route is found, whatever its spelling. [`Record::path`] stays as it came, but bounded.
    #[must_use]
    pub fn client_path(&self) -> &str {
        self.normal_path.as_deref().unwrap_or(&self.record.path)
    }

    /// The path by which it is understood, in the normal form: the one that goes upstream.
    #[must_use]
    pub fn path(&self) -> &str {
        path_of(self.sent_target.as_deref(), self.normal_path.as_deref(), &self.record.path)
    }

    /// The target that goes upstream, parsed. `head` is the client's.
    #[must_use]
    pub fn uri<'a>(&'a self, head: &'a RequestHeader) -> &'a Uri {
        self.sent_target.as_ref().map_or(&head.uri, |target| target.uri())
    }

    /// The limits of an attempt at this upstream, as its route changes them.
    #[must_use]
    pub fn timeouts_of(&self, upstream: &Upstream) -> Timeouts {
        if let Some(target) = self.route.as_ref().and_then(|route| route.upstream()) {
            return upstream.timeouts.overridden(&target.timeouts);
        }
        match &self.plugin_request {
            Some(request) => upstream.timeouts.overridden(&request.timeouts),
            None => upstream.timeouts,
        }
    }

    /// The limits of the present attempt.
    #[must_use]
    pub fn timeouts(&self) -> Option<Timeouts> {
        self.attempts.as_ref().map(|attempts| self.timeouts_of(attempts.upstream()))
    }

    /// The largest body that its route lets pass, in bytes; `None` where there is no limit.
    #[must_use]
    pub fn max_body(&self) -> Option<u64> {
        self.route.as_ref()?.max_body
    }

    /// The largest body that is read here, in bytes.
    #[must_use]
    pub fn max_read(&self) -> usize {
        self.route.as_ref().map_or(self.snapshot.limits.max_body, |route| route.max_read)
    }

    /// Sets the endpoint, if it is a call to a model.
    pub fn find_endpoint(&mut self) {
        if self.record.endpoint.is_none() && self.record.method == Method::POST {
            self.record.endpoint = Endpoint::of(self.path());
        }
    }

    /// Looks for the model of a form in bytes of the request's body that pass.
    pub fn read_form(&mut self, bytes: &[u8]) {
        let Some(form) = &mut self.form else { return };
        form.feed(bytes);
        if let Some(model) = form.model() {
            self.record.model = Some(model.to_owned());
            self.form = None;
        }
    }

    /// The protocol in which the caller expects an error.
    #[must_use]
    pub fn protocol(&self) -> &'static Protocol {
        let endpoint = self.record.endpoint.or_else(|| Endpoint::of(self.path()));
        endpoint.map(|endpoint| endpoint.protocol).or(self.flags.protocol).unwrap_or(Protocol::DEFAULT)
    }

    /// Whether the access log or a plugin needs the contents of the answer.
    #[must_use]
    pub fn needs_answer(&self) -> bool {
        self.route.as_ref().is_some_and(|route| self.snapshot.reads_answers(route))
    }

    /// Whether the request can be sent once more: its body was read here, or Pingora has kept all that was sent of it.
    #[must_use]
    pub fn replayable(&self, session: &Session) -> bool {
        self.body.is_some() || !session.retry_buffer_truncated()
    }
}
