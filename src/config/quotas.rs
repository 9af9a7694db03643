//! Warns of callers with limits of their own on routes where no plugin counts them.

use located_yaml::Report;

use super::Config;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for route in &config.routes {
        let entries = config.plugins_of(route);
        if entries.iter().any(|entry| entry.counts_quotas()) {
            continue;
        }
        for entry in entries.iter().filter(|entry| !entry.grants_quotas().is_empty()) {
            let Some(node) = report.node_at(entry.at) else { continue };
            let (name, line) = (entry.name(), report.line_of(route.at, entry.at));
            let message = format!(
                "keys of `{name}` have `limits`, which nothing counts on the route of {line}; name `rate_limit: {{}}` below `{name}`"
            );
            report.warn(node, node.mark, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    /// The warnings of a file with these plugins for all routes, and these for its one route.
    fn warnings(plugins: &str, of_route: &str) -> Vec<String> {
        let yaml = format!(
            "listeners: [{{ address: \"127.0.0.1:1\" }}]\nupstreams: {{ a: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
             plugins: {plugins}\nroutes:\n  - {{ upstream: a, plugins: {of_route} }}\n"
        );
        let config = parse("a.yaml", &yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        config.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_of_keys_that_nothing_counts_are_a_warning_with_its_place() {
        let keys =
            |more: &str| format!("{{ api_keys: {{ keys: [{{ name: a, sha256: {}{more} }}] }} }}", "a".repeat(64));
        let (limited, free) = (keys(", limits: { requests: 1/s }"), keys(""));
        for (plugins, of_route) in [
            (format!("[{limited}]"), "[]".to_owned()),
            (format!("[{limited}, {{ rate_limit: {{}} }}]"), "[{ rate_limit: off }]".to_owned()),
            ("[]".to_owned(), format!("[{limited}]")),
        ] {
            let told = warnings(&plugins, &of_route);
            let [warning] = &told[..] else { panic!("{plugins} {of_route}: {told:?}") };
            assert!(warning.contains("which nothing counts on the route of line 5"), "{warning}");
            assert!(warning.starts_with(if plugins == "[]" { "a.yaml:5:" } else { "a.yaml:3:" }), "{warning}");
        }
        for (plugins, of_route) in [
            (format!("[{free}]"), "[]".to_owned()),
            (format!("[{limited}, {{ rate_limit: {{}} }}]"), "[]".to_owned()),
            (format!("[{limited}]"), "[{ rate_limit: {} }]".to_owned()),
            (format!("[{limited}]"), "[{ api_keys: off }]".to_owned()),
        ] {
            assert_eq!(warnings(&plugins, &of_route), Vec::<String>::new(), "{plugins} {of_route}");
        }
    }
}
