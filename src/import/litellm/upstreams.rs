//! Groups of deployments under one name → upstreams with servers and fallbacks, and the rules of the route that lead to them.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::super::LeftOut;
use super::super::section::Section;
use super::deployment::Deployment;

/// The largest weight of a server, and the most attempts.
const HEAVIEST: u64 = 65_535;
const MOST_ATTEMPTS: u64 = 10;

/// Deployments that are alike but for their servers, and can be one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    provider: &'static str,
    servers: IndexMap<String, u64>,
    headers: Vec<(String, String)>,
    timeout: Option<u64>,
    model: String,
}

/// The groups by name, with what `LiteLLM` falls back to.
pub(super) struct Groups {
    stages: IndexMap<String, Vec<Stage>>,
    aliases: Vec<(String, String)>,
    fallbacks: IndexMap<String, Vec<String>>,
    default_fallbacks: Vec<String>,
}

/// An entry of the route's `models`.
pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) upstream: String,
    /// The model's name upstream.
    pub(super) model: String,
}

impl Rule {
    pub(super) fn entry(&self) -> Value {
        let is_renamed = self.model != self.pattern;
        match is_renamed {
            true => json!({ "match": self.pattern, "model": self.model, "upstream": self.upstream }),
            false => json!({ "match": self.pattern, "upstream": self.upstream }),
        }
    }
}

impl Groups {
    pub(super) fn new(
        deployments: &[Deployment],
        litellm: &mut Section,
        router: &mut Section,
        left_out: &mut LeftOut,
    ) -> Self {
        let mut stages: IndexMap<String, Vec<Stage>> = IndexMap::new();
        for one in deployments {
            let stages = stages.entry(one.group.clone()).or_default();
            let alike = stages
                .iter_mut()
                .find(|stage| stage.headers == one.headers && stage.model == one.model && stage.timeout == one.timeout);
            match alike {
                Some(stage) => *stage.servers.entry(one.address.clone()).or_default() += one.share(),
                None => stages.push(Stage {
                    provider: one.provider,
                    servers: IndexMap::from([(one.address.clone(), one.share())]),
                    headers: one.headers.clone(),
                    timeout: one.timeout,
                    model: one.model.clone(),
                }),
            }
        }
        for (name, stages) in stages.iter().filter(|(_, stages)| stages.len() > 1) {
            let why = format!(
                "{} deployments differ in more than their servers; they are not balanced, the later ones take over when the earlier ones fail",
                stages.len()
            );
            left_out.add(&format!("model_list (`{name}`)"), &why);
        }
        let mut fallbacks = IndexMap::new();
        for section in [&mut *litellm, &mut *router] {
            for entry in list(section.take("fallbacks")) {
                let Value::Object(entry) = entry else { continue };
                fallbacks.extend(entry.into_iter().map(|(name, to)| (name, texts(Some(to)))));
            }
        }
        let aliases = match router.take("model_group_alias") {
            Some(Value::Object(aliases)) => aliases.into_iter().filter_map(|(alias, to)| {
                let to = to.as_str().or_else(|| to["model"].as_str())?.to_owned();
                Some((alias, to))
            }),
            _ => {
                return Self {
                    stages,
                    aliases: Vec::new(),
                    fallbacks,
                    default_fallbacks: texts(litellm.take("default_fallbacks")),
                };
            }
        };
        let aliases = aliases.collect();
        Self { stages, aliases, fallbacks, default_fallbacks: texts(litellm.take("default_fallbacks")) }
    }

    /// Whether some names lead to the deployments of another one.
    pub(super) fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Whether a call may be answered by deployments of another name than the one asked for.
    pub(super) fn has_fallbacks(&self) -> bool {
        !self.fallbacks.is_empty() || !self.default_fallbacks.is_empty()
    }

    /// The rules, single names before patterns. Makes the upstreams that they need.
    pub(super) fn rules(&self, upstreams: &mut Upstreams, left_out: &mut LeftOut) -> Vec<Rule> {
        let mut rules = Vec::new();
        for name in self.stages.keys() {
            rules.extend(self.rule(name, name, upstreams, left_out));
        }
        for (alias, to) in &self.aliases {
            match self.rule(alias, to, upstreams, left_out) {
                Some(rule) => rules.push(rule),
                None => left_out.add(
                    &format!("router_settings.model_group_alias.{alias}"),
                    "it leads to no model that can be served",
                ),
            }
        }
        rules.sort_by_key(|rule| rule.pattern.contains('*'));
        rules
    }

    fn rule(&self, pattern: &str, name: &str, upstreams: &mut Upstreams, left_out: &mut LeftOut) -> Option<Rule> {
        let own = self.stages.get(name)?;
        let mut chain: Vec<Stage> = own.clone();
        for next in self.fallbacks.get(name).unwrap_or(&self.default_fallbacks).iter().filter(|next| *next != name) {
            match self.stages.get(next).filter(|stages| stages.iter().all(|stage| !stage.model.contains('*'))) {
                Some(stages) => chain.extend(stages.iter().cloned()),
                None => {
                    left_out.add(&format!("fallbacks (`{name}`)"), &format!("`{next}` is no model that can be served"));
                }
            }
        }
        Some(Rule {
            pattern: pattern.to_owned(),
            upstream: upstreams.name_of(&chain)?,
            model: chain.first()?.model.clone(),
        })
    }
}

/// The upstreams made so far.
pub(super) struct Upstreams {
    made: Vec<(String, Made)>,
    common: Map<String, Value>,
    server: Map<String, Value>,
    timeout: Option<u64>,
}

/// What tells one upstream from another.
#[derive(PartialEq, Eq)]
struct Made {
    servers: IndexMap<String, u64>,
    headers: Vec<(String, String)>,
    timeout: Option<u64>,
    fallback: Option<(String, String)>,
}

impl Upstreams {
    /// None yet, with the settings that all will have.
    pub(super) fn new(litellm: &mut Section, router: &mut Section) -> Self {
        let (mut common, mut server) = (Map::new(), Map::new());
        let balance = match router.text("routing_strategy").as_deref() {
            Some("latency-based-routing") => Some("peak_ewma"),
            Some("usage-based-routing" | "usage-based-routing-v2") => Some("least_tokens"),
            _ => None,
        };
        common.extend(balance.map(|balance| ("balance".to_owned(), balance.into())));
        let retries = [router.number("num_retries"), litellm.number("num_retries")].into_iter().flatten().next();
        common.extend(
            retries.map(|retries| {
                ("retry".to_owned(), json!({ "attempts": retries.saturating_add(1).min(MOST_ATTEMPTS) }))
            }),
        );
        let fails = [router.number("allowed_fails"), litellm.number("allowed_fails")].into_iter().flatten().next();
        let cooldown = [router.number("cooldown_time"), litellm.number("cooldown_time")].into_iter().flatten().next();
        // LiteLLM allows so many failures, and leaves out at the next
        server.extend(fails.map(|fails| ("max_fails".to_owned(), fails.saturating_add(1).min(1000).into())));
        server.extend(
            cooldown.filter(|time| *time > 0).map(|time| ("fail_timeout".to_owned(), format!("{time}s").into())),
        );
        let timeout = [router.number("timeout"), litellm.number("request_timeout")].into_iter().flatten().next();
        Self { made: Vec::new(), common, server, timeout }
    }

    /// The upstream that begins this chain, made where there is none like it.
    fn name_of(&mut self, chain: &[Stage]) -> Option<String> {
        let (stage, rest) = chain.split_first()?;
        let fallback = match rest.first() {
            Some(next) => Some((self.name_of(rest)?, next.model.clone())),
            None => None,
        };
        let made = Made {
            servers: stage.servers.clone(),
            headers: stage.headers.clone(),
            timeout: stage.timeout.or(self.timeout).filter(|time| *time > 0),
            fallback,
        };
        if let Some((name, _)) = self.made.iter().find(|(_, known)| *known == made) {
            return Some(name.clone());
        }
        let is_taken = |name: &String| self.made.iter().any(|(known, _)| known == name);
        let numbered = (2..).map(|number| format!("{}-{number}", stage.provider));
        let name = std::iter::once(stage.provider.to_owned()).chain(numbered).find(|name| !is_taken(name))?;
        self.made.push((name.clone(), made));
        Some(name)
    }

    pub(super) fn into_yaml(self) -> Value {
        let Self { made, common, server, .. } = self;
        let upstreams = made.into_iter().map(|(name, made)| {
            let heaviest = made.servers.values().copied().max().unwrap_or(1);
            let scale = heaviest.div_ceil(HEAVIEST).max(1);
            let is_even = made.servers.values().all(|weight| *weight == heaviest);
            let servers: Vec<Value> = made
                .servers
                .iter()
                .map(|(address, weight)| {
                    let mut entry = Map::from_iter([("address".to_owned(), address.as_str().into())]);
                    if !is_even {
                        entry.insert("weight".to_owned(), (weight / scale).max(1).into());
                    }
                    entry.extend(server.clone());
                    entry.into()
                })
                .collect();
            let mut upstream = Map::from_iter([("servers".to_owned(), servers.into())]);
            if !made.headers.is_empty() {
                let headers: Map<String, Value> =
                    made.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
                upstream.insert("headers".to_owned(), headers.into());
            }
            upstream.extend(common.clone());
            upstream.extend(made.timeout.map(|time| ("timeouts".to_owned(), json!({ "total": format!("{time}s") }))));
            upstream.extend(
                made.fallback.map(|(to, model)| ("fallback".to_owned(), json!({ "upstream": to, "model": model }))),
            );
            (name, Value::from(upstream))
        });
        upstreams.collect::<Map<_, _>>().into()
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn texts(value: Option<Value>) -> Vec<String> {
    list(value).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
