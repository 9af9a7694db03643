//! The sections of a report, made of what the engine found, what the plugins said, and what the file says.

use http::HeaderMap;
use plugin_api::{Body, CallFacts, ModelCall, ParsedBody, RouteModels, is_credential};

use crate::balance::UpstreamSettings;
use crate::chain::{Ended, ExplainedPlugin};
use crate::config::Config;
use crate::engine::{End, Prepared, SentRequest};

use super::redact::MASK;
use super::report::{CallReport, Outcome, PluginReport, RouteAnswer, SentReport, ServerReport};

/// A longer body of an answer is not repeated, in bytes.
const LONGEST_BODY: usize = 2000;

/// The routes that were asked.
pub(super) fn routes(config: &Config, prepared: &Prepared) -> Vec<RouteAnswer> {
    let answer = |route: usize, mismatch: Option<String>| {
        let settings = config.routes.get(route)?;
        Some(RouteAnswer { name: settings.label().to_string(), at: config.place(settings.at), mismatch })
    };
    let passed = prepared.mismatches.iter().map(|(route, why)| answer(*route, Some(why.clone())));
    passed.chain(prepared.route.map(|route| answer(route, None))).flatten().collect()
}

/// The call.
pub(super) fn call(prepared: &Prepared, call: &ModelCall) -> CallReport {
    let endpoint = call.endpoint();
    let principal = prepared.record.context.principal();
    let report = CallReport {
        endpoint: endpoint.as_str().to_owned(),
        dialect: endpoint.protocol.name.to_owned(),
        unread: match call.parsed() {
            ParsedBody::Calls(_) => None,
            ParsedBody::NotACall => Some("it is no JSON object".to_owned()),
            ParsedBody::Unreadable(why) => Some(why.clone()),
        },
        calls: call.calls().len(),
        session: principal.session.as_deref().map(str::to_owned),
        user: principal.user.as_deref().map(str::to_owned),
        ..CallReport::default()
    };
    let Some(facts) = call.call() else { return report };
    let text = std::str::from_utf8(call.text()).unwrap_or_default();
    let content = call_content::Content::read(endpoint, text);
    CallReport {
        model: facts.model.clone(),
        stream: facts.stream,
        tools: facts.tools,
        thinking: content.thinking,
        messages: facts.messages,
        turns: content.turns,
        images: content.images,
        documents: content.documents,
        input_tokens: content.input_tokens(),
        max_tokens: facts.most_tokens(),
        ..report
    }
}

/// The plugins, and how each ended the request.
pub(super) fn plugins<'a>(
    config: &Config,
    prepared: &Prepared,
    explained: &'a [ExplainedPlugin],
) -> Vec<(PluginReport, &'a ExplainedPlugin)> {
    let route = prepared.route.and_then(|route| config.routes.get(route));
    let entries = route.map(|route| config.plugins_of(route)).unwrap_or_default();
    let report = |plugin: &ExplainedPlugin| PluginReport {
        name: plugin.name.to_owned(),
        at: entries
            .iter()
            .find(|entry| entry.name() == plugin.name)
            .map(|entry| config.place(entry.at))
            .unwrap_or_default(),
        reached: plugin.is_reached,
        known: !plugin.explanation.is_silent(),
        says: plugin.explanation.said().to_vec(),
        changes: plugin.changes.clone(),
        ends: plugin.ended.as_ref().map(|ended| match ended {
            Ended::Answers(status) => format!("answers with {status}"),
            Ended::Refuses { status, reason, message } => format!("refuses with {status} (`{reason}`): {message}"),
        }),
        depends_on: plugin.explanation.dependencies().to_vec(),
    };
    explained.iter().map(|plugin| (report(plugin), plugin)).collect()
}

/// What the plugins' answers depend on.
pub(super) fn dependencies(plugins: &[(PluginReport, &ExplainedPlugin)]) -> Vec<String> {
    let reached = plugins.iter().map(|(plugin, _)| plugin).filter(|plugin| plugin.reached);
    let all = reached.flat_map(|plugin| {
        let silent = (!plugin.known).then(|| format!("{}: what it does, which it does not say", plugin.name));
        plugin.depends_on.iter().map(|what| format!("{}: {what}", plugin.name)).chain(silent)
    });
    all.collect()
}

/// What becomes of it.
pub(super) fn outcome(
    config: &Config,
    prepared: &Prepared,
    plugins: &[(PluginReport, &ExplainedPlugin)],
    depends_on: &mut Vec<String>,
) -> Outcome {
    match &prepared.end {
        End::Failed(reason) => Outcome::Failed { reason: (*reason).to_owned() },
        End::Answered(reply) => {
            let ending = plugins.iter().find(|(_, plugin)| plugin.ended.is_some());
            let reason = prepared.record.reason.or(prepared.record.error).map(str::to_owned);
            let body = match &reply.body {
                Body::Whole(body) if !body.is_empty() && body.len() <= LONGEST_BODY => {
                    Some(String::from_utf8_lossy(body).into_owned())
                }
                Body::Whole(_) | Body::Stream(_) => None,
            };
            let plugin = ending.map(|(plugin, _)| plugin.name.clone());
            Outcome::Answered { status: reply.status.as_u16(), plugin, reason, body }
        }
        End::Sent(sent) => {
            let model_after = plugins.iter().rev().find_map(|(_, plugin)| plugin.model.clone());
            let asked = model_after.or_else(|| prepared.record.model.clone());
            Outcome::Sent(Box::new(sent_report(config, prepared, sent, asked, depends_on)))
        }
    }
}

fn sent_report(
    config: &Config,
    prepared: &Prepared,
    sent: &SentRequest,
    asked: Option<String>,
    depends_on: &mut Vec<String>,
) -> SentReport {
    let upstream = config.upstreams.get_index(sent.upstream);
    let servers: Vec<_> = upstream.iter().flat_map(|(_, settings)| servers(settings)).collect();
    let eligible = servers.iter().filter(|server| !server.down).count();
    if eligible > 1 && sent.hashed_to.is_none() {
        depends_on
            .push("what is in flight on the servers, and which of them are ejected or fail their checks".to_owned());
    } else {
        depends_on.push("which servers are ejected or fail their checks".to_owned());
    }
    let model = prepared.record.upstream_model.clone().or_else(|| asked.clone());
    let models_entry = prepared.route.and_then(|route| models_entry(config, route, asked));
    SentReport {
        upstream: upstream.map(|(name, _)| name.clone()).unwrap_or_default(),
        at: upstream.map(|(_, settings)| config.place(settings.at)).unwrap_or_default(),
        model,
        models_entry,
        balance: upstream.map(|(_, settings)| balance(settings)).unwrap_or_default(),
        hashed_to: sent.hashed_to.as_deref().map(str::to_owned),
        servers,
        fallbacks: fallbacks(config, sent.upstream),
        method: prepared.record.method.to_string(),
        target: sent.target.clone(),
        websocket: sent.is_websocket,
        headers_set: headers_set(sent),
        headers_removed: removed(&sent.client_headers, &sent.headers),
        body_bytes: sent.body.as_ref().map(bytes::Bytes::len),
    }
}

fn servers(settings: &UpstreamSettings) -> impl Iterator<Item = ServerReport> {
    settings.servers.iter().map(|server| {
        let own = || server.address.is_url().then(|| server.address.authority());
        ServerReport {
            address: String::from(server.address.clone()),
            weight: server.weight.get(),
            backup: server.backup,
            down: server.down,
            host: settings.host.as_ref().map(|host| host.as_str().to_owned()).or_else(own),
        }
    })
}

/// The rule by which a server is chosen, as the YAML has it.
fn balance(settings: &UpstreamSettings) -> String {
    match serde_json::to_value(&settings.balance) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// The upstreams that take over, in turn.
fn fallbacks(config: &Config, first: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = config.upstreams.get_index(first).and_then(|(_, settings)| settings.fallback.as_ref());
    while let Some(fallback) = next.filter(|_| names.len() < config.upstreams.len()) {
        let name: &str = &fallback.upstream;
        names.push(name.to_owned());
        next = config.upstreams.get(name).and_then(|settings| settings.fallback.as_ref());
    }
    names
}

/// The place of the entry of a route's `models` that takes a call for this model.
fn models_entry(config: &Config, route: usize, model: Option<String>) -> Option<String> {
    let call = CallFacts { model, ..CallFacts::default() };
    let takes = |rule| matches!(RouteModels::new(vec![rule]).rule_of(&call), Ok(Some(_)));
    let entry = config.routes.get(route)?.models().iter().find(|entry| takes(entry.rule()))?;
    Some(config.place(entry.at))
}

/// Headers that are sent and did not come so.
fn headers_set(sent: &SentRequest) -> Vec<(String, String)> {
    let values = |headers: &HeaderMap, name: &http::HeaderName| -> Vec<Vec<u8>> {
        headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    };
    let changed = sent.headers.keys().filter(|name| values(&sent.headers, name) != values(&sent.client_headers, name));
    let shown = |name: &http::HeaderName| {
        let values = sent.headers.get_all(name).iter().map(|value| match value.is_sensitive() {
            true => MASK.to_owned(),
            false if is_credential(name.as_str()) => MASK.to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        (name.to_string(), values.collect::<Vec<_>>().join(", "))
    };
    changed.map(shown).collect()
}

/// Headers that came and are not sent.
fn removed(client: &HeaderMap, sent: &HeaderMap) -> Vec<String> {
    client.keys().filter(|name| !sent.contains_key(*name)).map(ToString::to_string).collect()
}
