//! Warns of plugins that send requests without any caller's credential, on routes to an upstream that has none of its own.

use located_yaml::Report;

use super::Config;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    for route in &config.routes {
        let Some(target) = route.target.upstream() else { continue };
        let of_models = route.models().iter().filter_map(|entry| entry.upstream.as_ref());
        let mut bare: Vec<&str> = std::iter::once(&target.upstream)
            .chain(of_models)
            .map(|name| name.as_str())
            .filter(|name| config.upstreams.get(*name).is_some_and(|upstream| !upstream.headers.has_credential()))
            .collect();
        bare.sort_unstable();
        bare.dedup();
        for entry in config.plugins_of(route) {
            let Some(lacking) = entry.without_credential() else { continue };
            let Some(node) = report.node_at(entry.at) else { continue };
            let (name, line) = (entry.name(), report.line_of(route.at, entry.at));
            for upstream in &bare {
                let message = format!(
                    "`{name}` on the route of {line} leads to the upstream `{upstream}`, which has no credential of its own: {lacking}"
                );
                report.warn(node, node.mark, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    #[test]
    fn a_batch_without_a_credential_is_a_warning_with_its_place() {
        let warnings = |headers: &str, plugins: &str| {
            let yaml = format!(
                "listeners: [{{ address: \"127.0.0.1:1\" }}]\nupstreams: {{ a: {{ servers: [{{ address: \"127.0.0.1:1\" }}], headers: {headers} }} }}\n\
                 plugins: {plugins}\nroutes:\n  - {{ upstream: a }}\n"
            );
            let config = parse("a.yaml", &yaml, Path::new(""), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
            config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = warnings("{ x-api-key: off }", "[{ batch: {} }]");
        assert!(told.len() == 1 && told[0].starts_with("a.yaml:3:"), "{told:?}");
        assert!(told[0].contains("the upstream `a`, which has no credential of its own"), "{told:?}");
        assert_eq!(warnings("{ x-api-key: a-secret-key }", "[{ batch: {} }]"), Vec::<String>::new());
        assert_eq!(warnings("{}", "[]"), Vec::<String>::new());
    }
}
