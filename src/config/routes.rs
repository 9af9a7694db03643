//! Checks that what routes name is there: upstreams, listeners, and the groups of their expressions.

use std::net::SocketAddr;

use located_yaml::{Kind, Located, Node, Report, nearest, unknown};
use plugin_api::Variable;

use super::Config;
use super::check::report_at;
use crate::routes::{Group, PathPattern, RouteSettings};

/// Reports every name that stands for nothing.
pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    upstreams(config, report);
    listeners(config, report);
    config.routes.iter().for_each(|route| groups(route, report));
}

fn upstreams(config: &Config, report: &mut Report<'_>) {
    // by the tree's names: an upstream with errors of its own is known nevertheless
    let Some(upstreams) = report.root().get("upstreams").filter(|node| is_mapping(node)) else { return };
    let known: Vec<&str> = upstreams.entries().iter().map(|entry| entry.key.text.as_str()).collect();
    let of_models = config.routes.iter().flat_map(|route| route.models()).filter_map(|entry| entry.upstream.as_ref());
    let of_routes = config.routes.iter().filter_map(|route| Some(&route.target.upstream()?.upstream));
    for upstream in of_routes.chain(of_models) {
        if known.contains(&upstream.as_str()) {
            continue;
        }
        let Some(node) = report.node_at(upstream.at) else { continue };
        let written = node.scalar().and_then(|scalar| scalar.written.as_deref()).unwrap_or(upstream);
        report.add_at(node, unknown("upstream", upstream, written, &known));
    }
}

fn is_mapping(node: &Node) -> bool {
    matches!(node.kind, Kind::Mapping(_)) || node.is_nothing()
}

fn listeners(config: &Config, report: &mut Report<'_>) {
    let list = report.root().get("listeners");
    if list.is_none_or(|list| report.is_wrong(list)) {
        // one that is left out for an error may be the one that is meant
        return;
    }
    let known: Vec<SocketAddr> = config.listeners.iter().map(|listener| listener.address.value).collect();
    for listener in config.routes.iter().flat_map(|route| &route.conditions.listeners) {
        if !known.contains(&listener.value) {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let name = listener.value.to_string();
            report_at(listener.at, unknown("listener", &name, &name, &known), report);
        }
    }
}

/// The groups that the target of a route uses, against those of its expressions. Every path must have them: in one without, they would
/// stand for nothing.
fn groups(route: &Located<RouteSettings>, report: &mut Report<'_>) {
    for group in route.target.groups() {
        let has_group = |path: &PathPattern| path.regex().is_some_and(|regex| group.is_of(regex));
        let lacking = route.paths.iter().find(|path| !has_group(path));
        if lacking.is_none() && !route.paths.is_empty() {
            continue;
        }
        let message = match (lacking.filter(|_| route.paths.iter().any(|path| has_group(path))), group) {
            (Some(lacking), _) => format!(
                "`{group}` is what a group of an expression in `paths` matched, and `{}` has none; give it a route of its own",
                String::from(lacking.value.clone())
            ),
            (None, Group::Number(_)) => {
                format!("`{group}` is what a group of an expression in `paths` matched, and none has so many groups")
            }
            (None, Group::Name(name)) => format!(
                "`{group}` is neither a variable nor a group of an expression in `paths`{}",
                nearest(name, Variable::NAMES).map(|near| format!("; did you mean `${near}`?")).unwrap_or_default()
            ),
        };
        let Some(node) = report.node_at(route.at) else { continue };
        let targets = ["rewrite", "redirect", "answer"].into_iter().filter_map(|key| node.get(key));
        let name = group.to_string();
        let place =
            targets.flat_map(scalars).find(|value| value.scalar().is_some_and(|scalar| scalar.text.contains(&name)));
        report.add_at(place.unwrap_or(node), message);
    }
}

/// The single values in a target: itself, or those of an answer.
fn scalars(node: &Node) -> Vec<&Node> {
    match &node.kind {
        Kind::Scalar(_) => vec![node],
        Kind::List(_) => Vec::new(),
        Kind::Mapping(entries) => entries.iter().flat_map(|entry| scalars(&entry.value)).collect(),
    }
}
