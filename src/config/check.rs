//! Checks the parts of a configuration against each other and against the files that they name.

use std::net::SocketAddr;
use std::path::Path;

use glob::Glob;
use located_yaml::{Kind, Located, Location, Node, Report, redact};
use plugin_api::CheckContext;

use super::{Config, Dates, companions, credentials, fallbacks, quotas, reach, routes};
use crate::access_log::AccessLogPath;
use crate::plugins::PluginEntry;
use crate::tls::{self, Certificates};

/// Reports every contradiction. Values that are wrong by themselves are missing from the configuration and are in the report already;
/// errors that follow from them are not reported.
pub(super) fn check(config: &Config, base: &Path, dates: Dates, report: &mut Report<'_>) {
    listeners(config, base, dates, report);
    upstreams(config, base, report);
    routes::check(config, report);
    models(config, report);
    plugins(config, report);
    required(config, report);
    if dates == Dates::Checked {
        plugin_files(config, base, report);
    }
    conflicts(config, base, report);
    quotas::check(config, report);
    companions::check(config, report);
    credentials::check(config, report);
    telemetry(config, report);
    reach::check(config, report);
    logs(config, base, report);
}

fn listeners(config: &Config, base: &Path, dates: Dates, report: &mut Report<'_>) {
    let list = report.root().get("listeners");
    wants_one(list, "listener", report);
    for item in list.map_or(&[][..], Node::items) {
        wants_one(item.get("tls").and_then(|tls| tls.get("certificates")), "certificate", report);
    }
    let mut known: Vec<&Located<SocketAddr>> = Vec::new();
    let listeners = config.listeners.iter().map(|listener| &listener.address);
    for address in listeners.chain(config.admin.as_ref().map(|admin| &admin.address)) {
        let taken = known.iter().find(|other| other.value == address.value && address.port() != 0);
        if let Some(other) = taken {
            let line = report.line_of(other.at, address.at);
            let message = format!("`{}` is the address of the listener on {line}, too", address.value);
            report_at(address.at, message, report);
        }
        known.push(address);
    }
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        let faults = match dates {
            Dates::Checked => tls::check(tls, base),
            Dates::Ignored => Certificates::load(tls, base).err().unwrap_or_default(),
        };
        for (at, message) in faults {
            report_at(at, message, report);
        }
    }
}

fn upstreams(config: &Config, base: &Path, report: &mut Report<'_>) {
    for entry in report.root().get("upstreams").map_or(&[][..], Node::entries) {
        wants_one(entry.value.get("servers"), "server", report);
    }
    for authorities in config.upstreams.values().filter_map(|upstream| upstream.tls.ca.as_ref()) {
        if let Err(message) = tls::load_ca(&base.join(&authorities.value)) {
            report_at(authorities.at, message, report);
        }
    }
    for upstream in config.upstreams.values() {
        if let Some(first) = upstream.servers.first().filter(|_| upstream.servers.iter().all(|server| server.backup)) {
            report_at(
                first.at,
                "every server of this upstream is a backup; at least one must not be".to_owned(),
                report,
            );
        }
        for (at, message) in upstream.health_check.iter().flat_map(|check| check.faults(&upstream.servers)) {
            report_at(at, message, report);
        }
    }
    fallbacks::check(report);
}

fn wants_one(list: Option<&Node>, noun: &str, report: &mut Report<'_>) {
    let Some(list) = list else { return };
    let is_empty = list.is_nothing() || matches!(&list.kind, Kind::List(items) if items.is_empty());
    if is_empty {
        report.add_at(list, format!("the list is empty, wanted at least one {noun}"));
    }
}

/// Warns of patterns for models that can never apply, in the `models` of routes and of fallbacks.
fn models(config: &Config, report: &mut Report<'_>) {
    for route in &config.routes {
        let patterns: Vec<_> = route.models().iter().map(|entry| &entry.pattern).collect();
        let found = patterns.iter().map(|pattern| (pattern.glob().clone(), pattern.at)).collect::<Vec<_>>();
        for (at, message) in unreachable(&found) {
            if let Some(node) = report.node_at(at) {
                report.warn(node, node.mark, message);
            }
        }
    }
    let upstreams = report.root().get("upstreams").map_or(&[][..], Node::entries);
    for models in upstreams.iter().filter_map(|entry| entry.value.get("fallback")?.get("models")) {
        let keys = models.entries().iter().map(|entry| (Glob::new(&entry.key.text), entry));
        let found: Vec<_> = keys.map(|(pattern, entry)| (pattern, entry.key.mark.at)).collect();
        for (at, message) in unreachable(&found) {
            if let Some(entry) = models.entries().iter().find(|entry| entry.key.mark.at == at) {
                report.warn(&entry.value, entry.key.mark, message);
            }
        }
    }
}

/// The patterns of a list that another one above covers, with their places.
fn unreachable(patterns: &[(Glob, Location)]) -> Vec<(Location, String)> {
    let covered = |(index, (pattern, at)): (usize, &(Glob, Location))| {
        let (by, line) = patterns[..index].iter().find(|(above, _)| above.covers(pattern))?;
        let (pattern, by, line) = (pattern.as_str(), by.as_str(), line.line);
        Some((*at, format!("`{pattern}` never applies: `{by}` on line {line} takes all its names")))
    };
    patterns.iter().enumerate().filter_map(covered).collect()
}

fn plugins(config: &Config, report: &mut Report<'_>) {
    let named =
        report.root().get("plugins").map_or(&[][..], Node::items).iter().filter_map(|item| item.entries().first());
    let global: Vec<&str> = named.map(|entry| entry.key.text.as_str()).collect();
    list(&config.plugins, report);
    for entry in config.plugins.iter().filter(|entry| entry.is_off()) {
        let message = format!("`{}` is off for every route; leave it out, or turn it off on a route", entry.name());
        report_at(entry.at, message, report);
    }
    for route in &config.routes {
        list(&route.plugins, report);
        for entry in route.plugins.iter().filter(|entry| entry.is_off() && !global.contains(&entry.name())) {
            let message =
                format!("`{}` is not among the plugins of every route, so it cannot be turned off", entry.name());
            report_at(entry.at, message, report);
        }
    }
}

/// Plugins that need another one on every route that has them.
fn required(config: &Config, report: &mut Report<'_>) {
    let mut reported = Vec::new();
    for route in &config.routes {
        let own = |name: &str| route.plugins.iter().find(|entry| entry.name() == name);
        let global = |name: &str| config.plugins.iter().find(|entry| entry.name() == name);
        let has = |name: &str| own(name).or_else(|| global(name)).is_some_and(|entry| !entry.is_off());
        for entry in config.plugins.iter().chain(&route.plugins).filter(|entry| has(entry.name()) && !entry.is_off()) {
            let missing = entry.requires().iter().find(|name| !has(name));
            if let Some(missing) = missing.filter(|_| !reported.contains(&entry.at)) {
                reported.push(entry.at);
                let line = report.line_of(route.at, entry.at);
                let message = format!(
                    "`{}` needs `{missing}` on each of its routes, which the one on {line} does not have",
                    entry.name()
                );
                report_at(entry.at, message, report);
            }
        }
    }
}

/// Spans are made of rows, which a plugin must keep.
fn telemetry(config: &Config, report: &mut Report<'_>) {
    let has_rows = |route| config.plugins_of(route).iter().any(|entry| entry.makes_spans());
    if config.telemetry.otlp.is_some()
        && !config.routes.iter().any(|route| has_rows(route))
        && let Some(node) = report.root().get("telemetry").and_then(|telemetry| telemetry.get("otlp"))
        && !report.is_wrong(report.root())
    {
        report.add_at(
            node,
            "spans are made of the ledger's rows, and no route has `usage_log` among its plugins".to_owned(),
        );
    }
}

/// One list of plugins by itself.
fn list(entries: &[Located<PluginEntry>], report: &mut Report<'_>) {
    for (at, entry) in entries.iter().enumerate() {
        if let Err(problem) = entry.check()
            && report.node_at(entry.at).is_some_and(|node| !report.is_wrong(node))
        {
            report_at(entry.at, problem.into(), report);
        }
        if let Some(first) = entries[..at].iter().find(|other| other.name() == entry.name()) {
            let line = report.line_of(first.at, entry.at);
            let message = format!("`{}` stands in this list a second time; the first is on {line}", entry.name());
            report_at(entry.at, message, report);
        }
    }
}

/// The files that plugins name. Where the gateway starts or reloads, it reads them itself, and knows better which it has.
fn plugin_files(config: &Config, base: &Path, report: &mut Report<'_>) {
    for entry in config.plugins.iter().chain(config.routes.iter().flat_map(|route| &route.plugins)) {
        if let Err(problem) = entry.check_files(base)
            && report.node_at(entry.at).is_some_and(|node| !report.is_wrong(node))
        {
            report_at(entry.at, problem.into(), report);
        }
    }
}

/// Entries of one plugin, in the whole file, that exclude each other.
fn conflicts(config: &Config, base: &Path, report: &mut Report<'_>) {
    let entries = config.plugins.iter().chain(config.routes.iter().flat_map(|route| &route.plugins));
    let is_sound = |entry: &&Located<PluginEntry>| report.node_at(entry.at).is_some_and(|node| !report.is_wrong(node));
    let entries: Vec<_> = entries.filter(is_sound).collect();
    for (number, entry) in entries.iter().enumerate() {
        let conflict = entries[..number].iter().find_map(|earlier| {
            let other = format!("the `{}` on {}", earlier.name(), report.line_of(earlier.at, entry.at));
            entry.conflict(earlier, &CheckContext { base, other: &other })
        });
        if let Some(problem) = conflict {
            report_at(entry.at, problem.into(), report);
        }
    }
}

/// The folders of logs, which nothing makes.
fn logs(config: &Config, base: &Path, report: &mut Report<'_>) {
    let AccessLogPath::File(path) = &config.access_log.path else { return };
    let path = base.join(path);
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) else {
        return;
    };
    let node = report.root().get("access_log").and_then(|settings| settings.get("path"));
    if let Some(node) = node {
        report.add_at(node, redact(format!("there is no folder `{}`; make it first", folder.display()), node));
    }
}

/// Reports an error of the value at a place.
pub(super) fn report_at(at: Location, message: String, report: &mut Report<'_>) {
    let Some(node) = report.node_at(at) else { return };
    report.add_at(node, redact(message, node));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    #[test]
    fn a_pattern_that_can_never_apply_is_a_warning_with_its_place() {
        let yaml = "listeners: [{ address: \"127.0.0.1:1\" }]\nupstreams:\n  a:\n    servers: [{ address: \"127.0.0.1:1\" }]\n    \
                    fallback: { upstream: b, models: { \"gpt-*\": x, gpt-5: y } }\n  b: { servers: [{ address: \"127.0.0.1:2\" }] }\n\
                    routes:\n  - upstream: a\n    models:\n      - { match: \"claude-*\", upstream: b }\n      \
                    - { match: fast, model: x }\n      - { match: Claude-Opus-5, model: y }\n";
        let config = parse("a.yaml", yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        let [fallback, route] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(
            fallback.starts_with("a.yaml:5:52:") && fallback.contains("`gpt-5` never applies: `gpt-*` on line 5"),
            "{fallback}"
        );
        assert!(
            route.starts_with("a.yaml:12:18:")
                && route.contains("`Claude-Opus-5` never applies: `claude-*` on line 10"),
            "{route}"
        );
    }

    #[test]
    fn a_log_in_a_folder_that_is_not_there_is_an_error_with_its_place() {
        let yaml = |path: &str| {
            format!(
                "listeners: [{{ address: \"127.0.0.1:1\" }}]\nupstreams: {{ a: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
                 access_log: {{ path: {path} }}\nroutes: [{{ upstream: a }}]\n"
            )
        };
        let read = |path: &str| parse("a.yaml", &yaml(path), Path::new("/nowhere"), &|_| None);
        let error = read("logs/access.log").unwrap_err().to_string();
        assert!(error.starts_with("a.yaml:3:21: access_log.path: there is no folder `/nowhere/logs`"), "{error}");
        for path in ["/tmp/access.log", "/dev/stdout", "off", "stdout"] {
            assert!(read(path).is_ok(), "{path}");
        }
    }
}
