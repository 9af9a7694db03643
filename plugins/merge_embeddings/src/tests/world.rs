//! The plugin before that upstream, with callers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use plugin_api::http::{HeaderName, Method};
use plugin_api::testing::{TestRequest, context};
use plugin_api::{
    Body, BuildContext, CallFacts, Common, Context, Endpoint, Flow, ModelCall, Outcome, OutgoingCall, ParsedBody,
    Plugin, SendLimits, Shared, UpstreamRequest, UpstreamSender,
};
use serde_json::json;

use super::upstream::{At, Upstream};
use crate::inputs::Inputs;
use crate::settings::Limits;
use crate::{Config, MergeEmbeddings, State};

/// A gateway's part of the plugin's world.
pub struct World {
    pub upstream: Arc<Upstream>,
    pub plugin: MergeEmbeddings,
    /// The tokens of answers that nobody got, as the rows of calls have them.
    pub discarded: Mutex<u64>,
}

pub fn world() -> World {
    with(Config::default())
}

pub fn with(config: Config) -> World {
    let upstream = Arc::new(Upstream::default());
    let common = Arc::new(Common::default());
    common.upstreams.connect(Arc::new(At(upstream.clone())));
    let (shared, secrets) = (Arc::default(), Arc::default());
    let build = BuildContext { base: Path::new(""), shared: &shared, secrets: &secrets, common: &common };
    World { upstream, plugin: MergeEmbeddings::build(&config, &build).unwrap(), discarded: Mutex::default() }
}

/// A call, and what its caller sends beside the body.
#[derive(Clone, Debug)]
pub struct Asks {
    pub body: String,
    pub headers: Vec<(HeaderName, &'static str)>,
    pub tenant: Option<&'static str>,
    pub target: &'static str,
}

pub fn asks(body: impl ToString) -> Asks {
    Asks { body: body.to_string(), headers: Vec::new(), tenant: Some("t"), target: "/v1/embeddings" }
}

pub fn text(input: &str) -> Asks {
    asks(json!({ "model": "m", "input": input }))
}

/// What a caller got: of the plugin, or, with `false`, of the upstream, alone.
#[derive(Debug, PartialEq)]
pub struct Got {
    pub status: u16,
    pub body: String,
    pub of_plugin: bool,
}

impl World {
    /// A call on its way upstream, which goes there alone if the plugin lets it go.
    pub async fn call(&self, asks: Asks) -> Got {
        let mut state = State::default();
        let (flow, request) = self.send(&mut state, &asks).await;
        if let Flow::Answer(reply) = flow {
            let Body::Whole(body) = reply.body else { panic!() };
            assert!(reply.outcome == Outcome::Completed || reply.outcome == Outcome::UpstreamFailed);
            let body = String::from_utf8(body.to_vec()).unwrap();
            return Got { status: reply.status.as_u16(), body, of_plugin: true };
        }
        assert!(matches!(flow, Flow::Continue), "{flow:?}");
        let sent = At(self.upstream.clone()).send(request).await;
        let response = sent.unwrap();
        let body = response.body.whole(1 << 20).await.unwrap();
        Got { status: response.status.as_u16(), body: String::from_utf8(body.to_vec()).unwrap(), of_plugin: false }
    }

    async fn send(&self, state: &mut State, asks: &Asks) -> (Flow, UpstreamRequest) {
        let mut context: Context = context();
        let mut request = TestRequest::to(Endpoint::EMBEDDINGS);
        for (name, value) in &asks.headers {
            request = request.header(name.as_str().to_owned().leak(), value);
        }
        context.principal_mut().tenant = asks.tenant.map(Into::into);
        assert!(self.plugin.try_on_request(state, &mut request.request(&mut context)).is_some());
        let facts = ParsedBody::Calls(vec![CallFacts::default()]);
        let body = ModelCall::new(Endpoint::EMBEDDINGS, asks.body.clone().into(), None, facts);
        let mut call = OutgoingCall {
            context: &mut context,
            call: &body,
            upstream: &"a".into(),
            upstream_has_credential: false,
            method: &Method::POST,
            target: asks.target,
            headers: request.headers().clone(),
            limits: SendLimits::default(),
        };
        assert!(self.plugin.sends(state, &body));
        let flow = self.plugin.on_send(state, &mut call).await;
        let discarded = call.context.discarded_usage.as_ref().and_then(|usage| usage.tokens.input);
        *self.discarded.lock().unwrap() += discarded.unwrap_or(0);
        (flow, call.request(body.body().clone()))
    }

    /// Calls that come at once, behind one that is under way, which is left out.
    pub async fn burst(&self, calls: Vec<Asks>) -> Vec<Got> {
        let first = Asks { body: calls[0].body.clone(), ..calls[0].clone() };
        let mut all = vec![first];
        all.extend(calls);
        let mut got = join_all(all.into_iter().map(|asks| self.call(asks))).await;
        assert!(!got.remove(0).of_plugin, "the first goes at once");
        got
    }

    /// How many inputs each request upstream had.
    pub fn inputs(&self) -> Vec<usize> {
        let asked = self.upstream.asked.lock().unwrap();
        let any = Limits { calls: 0, inputs: usize::MAX, tokens: u64::MAX };
        let count = |request: &UpstreamRequest| Inputs::of(&request.body, &any).map_or(0, |inputs| inputs.count);
        asked.iter().map(count).collect()
    }

    pub fn figure(&self, name: &str, label: &str) -> f64 {
        let mut families = self.plugin.merging.collectors().into_iter().flat_map(|collector| collector.collect());
        let family = families.find(|family| family.name() == name).unwrap();
        let of = |metric: &plugin_api::prometheus::proto::Metric| {
            metric.get_label().iter().any(|pair| pair.value() == label) || label.is_empty()
        };
        let metric = family.get_metric().iter().find(|metric| of(metric)).unwrap();
        metric.get_counter().get_value()
    }
}
