//! Warns of plugins that lack something without another one on the same route.

use located_yaml::Report;

use super::Config;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for route in &config.routes {
        let entries = config.plugins_of(route);
        let granted: Vec<_> = entries.iter().flat_map(|entry| entry.grants_quotas()).collect();
        for entry in &entries {
            let Some((companion, lacking)) = entry.companion(&granted) else { continue };
            if entries.iter().any(|other| other.name() == companion) {
                continue;
            }
            let Some(node) = report.node_at(entry.at) else { continue };
            let (name, line) = (entry.name(), report.line_of(route.at, entry.at));
            let message = format!("`{name}` without `{companion}` on the route of {line}: {lacking}");
            report.warn(node, node.mark, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    #[test]
    fn counts_that_a_restart_forgets_are_a_warning_with_its_place() {
        let warnings = |plugins: &str| {
            let yaml = format!(
                "listeners: [{{ address: \"127.0.0.1:1\" }}]\nupstreams: {{ a: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
                 plugins: [{plugins}]\nroutes:\n  - {{ upstream: a }}\n"
            );
            let config = parse("a.yaml", &yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
            config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let limits = |limit: &str| format!("{{ rate_limit: {{ limits: [{{ by: key, {limit} }}] }} }}");
        let told = warnings(&limits("tokens: 100/d"));
        assert!(told.len() == 1 && told[0].starts_with("a.yaml:3:"), "{told:?}");
        assert!(told[0].contains("a restart forgets what was counted"), "{told:?}");
        let keys = |limit: &str| {
            let sha256 = "a".repeat(64);
            format!(
                "{{ api_keys: {{ keys: [{{ name: a, sha256: {sha256}, limits: {{ {limit} }} }}] }} }}, {{ rate_limit: {{}} }}"
            )
        };
        let told = warnings(&keys("requests: 5/month"));
        assert!(told.len() == 1 && told[0].contains("`rate_limit` without `usage_log`"), "{told:?}");
        let shared =
            "{ rate_limit: { limits: [{ by: key, tokens: 100/d }], redis: { url: \"redis://127.0.0.1:1\" } } }";
        for fine in [
            limits("tokens: 100/m"),
            keys("requests: 5/s"),
            keys("tokens: 5/d") + ", { usage_log: {} }",
            limits("tokens: 100/d") + ", { usage_log: {} }",
            shared.to_owned(),
        ] {
            assert_eq!(warnings(&fine), Vec::<String>::new(), "{fine}");
        }
    }
}
