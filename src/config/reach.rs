//! Warns of what no request reaches: routes behind others that take all of theirs, hosts that nobody asks for, upstreams that no route
//! leads to. Of values that are taken literally where a variable was meant, too.

use std::collections::HashSet;

use located_yaml::{Location, Node, Report};

use super::Config;
use crate::routes::{HostPattern, RoutePart, Scheme, shadowed};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    routes(config, report);
    schemes(config, report);
    hosts(config, report);
    unused(config, report);
    literal_hosts(config, report);
}

fn warn(at: Location, message: String, report: &mut Report<'_>) {
    if let Some(node) = report.node_at(at) {
        report.warn(node, node.mark, message);
    }
}

fn routes(config: &Config, report: &mut Report<'_>) {
    let routes: Vec<_> = config.routes.iter().map(|route| &route.value).collect();
    for found in shadowed(&routes) {
        let route = &config.routes[found.route];
        let by = report.line_of(config.routes[found.by].at, route.at);
        let (at, what) = match found.part {
            RoutePart::Whole => (route.at, "no request reaches this route".to_owned()),
            RoutePart::Host(host) => {
                let host = &route.hosts[host];
                (host.at, format!("no request for `{}` reaches this route", String::from(host.value.clone())))
            }
            RoutePart::Path(path) => {
                let path = &route.paths[path];
                (path.at, format!("no request for `{}` reaches this route", String::from(path.value.clone())))
            }
        };
        warn(at, format!("{what}: an earlier one takes them all, the last of them the one on {by}"), report);
    }
}

/// Routes for connections that no listener accepts.
fn schemes(config: &Config, report: &mut Report<'_>) {
    let (with_tls, plain): (Vec<_>, Vec<_>) = config.listeners.iter().partition(|listener| listener.tls.is_some());
    for route in &config.routes {
        let missing = match route.conditions.scheme {
            Some(Scheme::Https) if with_tls.is_empty() => "`scheme: https` takes no request: no listener has `tls`",
            Some(Scheme::Http) if plain.is_empty() => "`scheme: http` takes no request: every listener has `tls`",
            _ => continue,
        };
        warn(route.at, missing.to_owned(), report);
    }
}

/// nginx's way to write that any host is meant.
fn hosts(config: &Config, report: &mut Report<'_>) {
    for host in config.routes.iter().flat_map(|route| &route.hosts) {
        if host.value == HostPattern::Exact("_".to_owned()) {
            let message = "`_` takes only requests for a host of this name; for any host, leave `hosts` out";
            warn(host.at, message.to_owned(), report);
        }
    }
}

/// Upstreams that no request can go to.
fn unused(config: &Config, report: &mut Report<'_>) {
    let of_routes = config.routes.iter().filter_map(|route| Some(&route.target.upstream()?.upstream));
    let of_models = config.routes.iter().flat_map(|route| route.models()).filter_map(|entry| entry.upstream.as_ref());
    let mut next: Vec<&str> = of_routes.chain(of_models).map(|name| name.as_str()).collect();
    let mut used = HashSet::new();
    while let Some(name) = next.pop() {
        if used.insert(name) {
            let fallback = config.upstreams.get(name).and_then(|upstream| upstream.fallback.as_ref());
            next.extend(fallback.map(|fallback| &*fallback.upstream));
        }
    }
    for entry in report.root().get("upstreams").map_or(&[][..], Node::entries) {
        if !used.contains(entry.key.text.as_str()) {
            let message = format!("no route leads to `{}`, and no fallback", entry.key.text);
            report.warn(&entry.value, entry.key.mark, message);
        }
    }
}

/// A variable of nginx in the place of a host.
fn literal_hosts(config: &Config, report: &mut Report<'_>) {
    for (name, upstream) in &config.upstreams {
        if !upstream.host.as_ref().is_some_and(|host| host.as_str().starts_with('$')) {
            continue;
        }
        let upstreams = report.root().get("upstreams").and_then(|upstreams| upstreams.get(name));
        if let Some(node) = upstreams.and_then(|upstream| upstream.get("host")) {
            let message = "this is sent as it stands; the client's own host is sent where `host` is left out and servers are \
                           written as `host:port`";
            report.warn(node, node.mark, message.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    fn warnings(routes: &str) -> Vec<String> {
        let yaml = format!(
            "listeners: [{{ address: \"127.0.0.1:1\" }}]\nupstreams:\n  a: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }}\n\
             routes:\n{routes}"
        );
        let config = parse("a.yaml", &yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        config.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_no_request_reaches_is_a_warning_with_its_place() {
        let told = warnings(
            "  - { hosts: [a.test], upstream: a }\n  - { paths: [/v1/, /health], upstream: a }\n  \
             - { paths: [/v1/messages], answer: {} }\n  - { hosts: [a.test, b.test], upstream: a }\n  \
             - { hosts: [c.test], paths: [/x, /health], upstream: a }\n  - { hosts: [_], scheme: https, upstream: a }\n",
        );
        let wanted = [
            (
                "a.yaml:7:5:",
                "no request reaches this route: an earlier one takes them all, the last of them the one on line 6",
            ),
            ("a.yaml:8:15:", "no request for `a.test` reaches this route"),
            ("a.yaml:9:36:", "no request for `/health` reaches this route"),
            ("a.yaml:10:5:", "no listener has `tls`"),
            ("a.yaml:10:15:", "leave `hosts` out"),
        ];
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
        for (told, (place, message)) in told.iter().zip(wanted) {
            assert!(told.starts_with(place) && told.contains(message), "{told}");
        }
        assert_eq!(warnings("  - { paths: [/v1/], upstream: a }\n  - { upstream: a }\n"), Vec::<String>::new());
    }

    #[test]
    fn an_upstream_that_nothing_leads_to_is_a_warning() {
        let yaml = "listeners: [{ address: \"127.0.0.1:1\" }]\nupstreams:\n  \
                    a: { servers: [{ address: \"127.0.0.1:1\" }], fallback: b }\n  b: { servers: [{ address: \"127.0.0.1:1\" }] }\n  \
                    c: { servers: [{ address: \"127.0.0.1:1\" }] }\n  d: { host: $host, servers: [{ address: \"127.0.0.1:1\" }] }\n\
                    routes: [{ upstream: a, models: [{ match: x, upstream: d }] }]\n";
        let config = parse("a.yaml", yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].starts_with("a.yaml:5:3:") && told[0].contains("no route leads to `c`"), "{}", told[0]);
        assert!(told[1].starts_with("a.yaml:6:14:") && told[1].contains("sent as it stands"), "{}", told[1]);
    }
}
