//! Answers which models a caller may ask for, in the caller's dialect, and asks no upstream. Decides about no call.

mod answer;
mod catalog;
mod page;
mod settings;
mod target;

use std::sync::OnceLock;

use plugin_api::http::{HeaderMap, Method, StatusCode};
use plugin_api::{
    Body, BuildContext, Bytes, ConfigProblem, ErrorKind, Flow, Outcome, Plugin, Principal, Protocol, Reply, Request,
};

use catalog::{Catalog, Names};
use page::Page;
use target::ModelsRequest;

pub use settings::Config;

/// The plugin.
#[derive(Debug)]
pub struct ModelList {
    catalog: Catalog,
    /// What callers of each protocol may be told of on the route. It is known with the first request of the route.
    names: [OnceLock<Names>; 2],
}

impl Plugin for ModelList {
    const NAME: &'static str = "model_list";
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = ();
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        match config.models.iter().flatten().any(|model| model.is_empty()) {
            true => Err("`models` has an empty name, which no model has".into()),
            false => Ok(()),
        }
    }

    fn model_names(config: &Config) -> Vec<&str> {
        config.models.iter().flatten().map(|model| &**model).collect()
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::check(config)?;
        Ok(Self { catalog: Catalog::new(config), names: Default::default() })
    }

    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        if ![Method::GET, Method::HEAD].contains(request.head.method) {
            return Some(Flow::Continue);
        }
        Some(match ModelsRequest::of(request.head.method, request.uri.path()) {
            None => Flow::Continue,
            Some(ModelsRequest::Hello) => answered(StatusCode::OK, Bytes::new()).into(),
            Some(ModelsRequest::All) => self.list(request).into(),
            Some(ModelsRequest::One(id)) => self.one(request, &id).into(),
        })
    }
}

impl ModelList {
    fn list(&self, request: &Request<'_>) -> Reply {
        let names = self.names(request);
        if request.protocol != Protocol::ANTHROPIC {
            return answered(StatusCode::OK, answer::openai_list(&names));
        }
        match Page::of(request.uri.query().unwrap_or_default()).and_then(|page| page.cut(&names)) {
            Ok(cut) => answered(StatusCode::OK, answer::anthropic_list(&cut)),
            Err(message) => failed(request, ErrorKind::InvalidRequest, &message),
        }
    }

    fn one(&self, request: &Request<'_>, id: &str) -> Reply {
        if !self.names(request).contains(&id) {
            let message = format!("The model `{id}` does not exist here, or this caller may not use it");
            return failed(request, ErrorKind::NotFound, &message);
        }
        let of_anthropic = request.protocol == Protocol::ANTHROPIC;
        answered(StatusCode::OK, if of_anthropic { answer::anthropic(id) } else { answer::openai(id) })
    }

    /// The names that this caller may ask for, in their order.
    fn names<'a>(&'a self, request: &'a Request<'_>) -> Vec<&'a str> {
        let Principal { grants, .. } = request.context.principal();
        let of_anthropic = request.protocol == Protocol::ANTHROPIC;
        let names = self.names[usize::from(of_anthropic)]
            .get_or_init(|| self.catalog.names(request.models, request.protocol.provider));
        names.for_caller(&self.catalog, request.models, grants.as_deref())
    }
}

/// An answer that is no refusal.
fn answered(status: StatusCode, json: Bytes) -> Reply {
    let mut reply = Reply { outcome: Outcome::Cached, ..Reply::json(status, json) };
    if matches!(&reply.body, Body::Whole(body) if body.is_empty()) {
        reply.headers = HeaderMap::new();
    }
    reply
}

/// An error as a provider would answer with it: nobody is refused anything.
fn failed(request: &Request<'_>, kind: ErrorKind, message: &str) -> Reply {
    Reply { outcome: Outcome::Cached, ..Reply::error(request.protocol, kind, message, request.context.id) }
}

#[cfg(test)]
mod tests;
