//! What Grafana asks and what alerts look at: by itself here, and in a real Prometheus in `scraped`.

mod scraped;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use located_yaml::Reader;
use serde_json::{Value, json};

/// A dashboard, as Grafana reads it.
fn dashboard(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(format!("deploy/grafana/{name}.json")).unwrap()).unwrap()
}

/// The panels of a dashboard that ask for something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// The queries of a dashboard, each with the title of its panel.
fn queries(dashboard: &Value) -> impl Iterator<Item = (&str, &str)> {
    panels(dashboard).flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(|target| (panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()))
    })
}

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(file).unwrap();
    Reader::new(&|_| None).read::<Value>(file, &text, |_, _| {}).unwrap_or_else(|errors| panic!("{errors}")).value
}

/// The alerts of the rules, with all that each says.
fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/prometheus/rules.yaml");
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[track_caller]
fn promtool(arguments: &[&str]) {
    let run = Command::new("promtool").args(arguments).current_dir("deploy/prometheus").output();
    let run = run.expect("promtool is installed");
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn the_panels_that_dashboards_began_with_are_as_they_were() {
    let target = |expr: &str| json!([{ "expr": expr }]);
    let panels = json!([
        { "title": "Request Latency", "targets": target("histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))") },
        { "title": "Database Query Time", "targets": target("rate(pg_stat_statements_total_time[5m])") },
        { "title": "Token Usage Rate", "targets": target("rate(claude_tokens_total[5m])") },
    ]);
    assert_eq!(dashboard("performance"), json!({ "panels": panels }));
    let whole = dashboard("tollgate");
    let queries: Vec<_> = queries(&whole).collect();
    for panel in panels.as_array().unwrap() {
        let query = (panel["title"].as_str().unwrap(), panel["targets"][0]["expr"].as_str().unwrap());
        assert!(queries.contains(&query), "{query:?}");
    }
}

#[test]
fn every_panel_reads_the_source_that_is_chosen_and_knows_its_variables() {
    let dashboard = dashboard("tollgate");
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource");
    let mut known: BTreeSet<&str> = ["__rate_interval", "__range", "__all"].into();
    for variable in variables {
        known.insert(variable["name"].as_str().unwrap());
        assert!(variable["type"] == "datasource" || variable["datasource"] == source, "{variable}");
    }
    for panel in panels(&dashboard) {
        assert_eq!(panel["datasource"], source, "{}", panel["title"]);
        assert!(panel["targets"].as_array().unwrap().iter().all(|target| target["datasource"] == source), "{panel}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
    }
    for (title, query) in queries(&dashboard) {
        for used in query.split('$').skip(1) {
            let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(known.contains(&*name), "{title}: ${name} is no variable");
        }
    }
}

#[test]
fn no_panel_lies_on_another() {
    let dashboard = dashboard("tollgate");
    let all = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = all.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), all.len(), "an id twice");
    let mut cells = BTreeSet::new();
    for panel in all {
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for y in at("y")..at("y") + at("h") {
            for x in at("x")..at("x") + at("w") {
                assert!(cells.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
    }
}

#[test]
fn promtool_finds_the_configuration_and_the_rules_right() {
    promtool(&["check", "config", "prometheus.yaml"]);
    promtool(&["test", "rules", "rules_test.yaml"]);
}

#[test]
fn every_alert_is_shown_to_fire_and_not_to_fire() {
    let shown = yaml("deploy/prometheus/rules_test.yaml");
    let shown = shown["tests"].as_array().unwrap();
    let names: BTreeSet<&str> = shown.iter().map(|test| test["name"].as_str().unwrap()).collect();
    let alerts = alerts();
    assert_eq!(names, alerts.iter().map(name).collect());
    for test in shown {
        let (test, cases) = (test["name"].as_str().unwrap(), test["promql_expr_test"].as_array().unwrap());
        let asks = |case: &Value| case["expr"].as_str().unwrap().contains(&format!("alertname=\"{test}\""));
        assert!(cases.iter().all(asks), "{test} asks for another");
        let (fires, quiet): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case["exp_samples"].is_array());
        assert!(!fires.is_empty() && !quiet.is_empty(), "{test}");
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do_and_is_in_the_documents() {
    let page = fs::read_to_string("docs/operations.md").unwrap();
    let (_, section) = page.split_once("\n## Alerts\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented: BTreeSet<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    let alerts = alerts();
    assert_eq!(documented, alerts.iter().map(name).collect());
    for alert in &alerts {
        for word in ["summary", "description"] {
            assert!(alert["annotations"][word].as_str().is_some_and(|text| text.len() > 20), "{alert}");
        }
        assert!(["critical", "warning"].map(Value::from).contains(&alert["labels"]["severity"]), "{alert}");
    }
}

#[test]
fn what_the_compose_file_mounts_is_there() {
    // it has variables that are no YAML of ours
    let compose = fs::read_to_string("deploy/compose.yaml").unwrap();
    let mounts = compose.split(['"', ' ']).filter_map(|word| word.strip_prefix("./")?.split(':').next());
    let mounted: BTreeSet<&str> = mounts.collect();
    assert!(mounted.len() >= 6, "{mounted:?}");
    for file in mounted {
        assert!(fs::metadata(format!("deploy/{file}")).unwrap().is_file(), "{file}");
    }
}
