//! The JSON Schema of the YAML file: editors complete and explain the settings by it.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use super::Config;

/// The schema, with the doc comments of the settings as descriptions.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    RecursiveTransform(allow_variable).transform(&mut schema);
    RecursiveTransform(explain_name).transform(&mut schema);
    schema.insert("title".into(), "The configuration of a Tollgate".into());
    schema.to_value()
}

/// A variable may fill a number or a boolean.
fn allow_variable(schema: &mut Schema) {
    const FILLED: [&str; 3] = ["integer", "number", "boolean"];
    let Some(kind) = schema.get_mut("type") else { return };
    let mut kinds = match kind.take() {
        Value::Array(kinds) => kinds,
        one => vec![one],
    };
    let is_filled =
        kinds.iter().any(|kind| FILLED.iter().any(|filled| kind == filled)) && !kinds.contains(&json!("string"));
    if is_filled {
        kinds.push("string".into());
    }
    *kind = if kinds.len() == 1 { kinds.swap_remove(0) } else { kinds.into() };
    if is_filled {
        schema.insert("pattern".into(), r"\$\{.+\}".into());
    }
}

/// What explains a plugin explains its key, which is where editors look.
fn explain_name(schema: &mut Schema) {
    let Some(description) = schema.get("description").cloned() else { return };
    let is_choice = schema.get("additionalProperties") == Some(&false.into());
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    if is_choice && properties.len() == 1 {
        for name in properties.values_mut().filter_map(Value::as_object_mut) {
            name.entry("description").or_insert_with(|| description.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::node::Node;
    use crate::config::{environment, parse, recover, report::Report, yaml};

    const REFERENCE: &str = include_str!("../../conf/tollgate.yaml");

    /// The file as it is written, without the defaults of what it leaves out.
    fn as_written(text: &str) -> Value {
        let root: Node = yaml::read(text).unwrap().root;
        let mut report = Report::new(crate::config::error::Source::new("tollgate.yaml", text), &root);
        recover::decode(&mut report, Vec::new()).unwrap_or_else(|| panic!("{}", report.finish()))
    }

    /// The file with the settings that are commented out: those behind a `#` without a space.
    fn with_absent_settings(text: &str) -> String {
        let uncommented = |line: &str| {
            let indent = line.len() - line.trim_start().len();
            match line.trim_start().strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => {
                    format!("{}{setting}\n", &line[..indent])
                }
                _ => format!("{line}\n"),
            }
        };
        text.lines().map(uncommented).collect()
    }

    /// Calls `visit` with every setting of the schema that a value has: its name, its schema, its value.
    fn walk(root: &Value, schema: &Value, value: &Value, visit: &mut dyn FnMut(&str, &Value, &Value)) {
        if let Some(name) = schema["$ref"].as_str() {
            walk(root, &root["$defs"][name.trim_start_matches("#/$defs/")], value, visit);
        }
        for either in ["anyOf", "oneOf", "allOf"] {
            schema[either].as_array().into_iter().flatten().for_each(|schema| walk(root, schema, value, visit));
        }
        for item in value.as_array().into_iter().flatten() {
            walk(root, &schema["items"], item, visit);
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let property = &schema["properties"][key];
            if !property.is_null() {
                visit(key, property, value);
                walk(root, property, value, visit);
            }
            walk(root, &schema["additionalProperties"], value, visit);
        }
    }

    /// Every setting of the schema, by its description, which no two share.
    fn settings(schema: &Value, settings: &mut BTreeSet<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let description = property["description"].as_str();
            settings.insert(format!("{key}: {}", description.unwrap_or_else(|| panic!("{key} has no description"))));
        }
        match schema {
            Value::Object(members) => members.values().for_each(|member| self::settings(member, settings)),
            Value::Array(items) => items.iter().for_each(|item| self::settings(item, settings)),
            _ => {}
        }
    }

    #[test]
    fn the_reference_lists_every_setting_that_there_is() {
        let schema = schema();
        let mut unlisted = BTreeSet::new();
        settings(&schema, &mut unlisted);
        assert!(unlisted.len() > 40, "{unlisted:#?}");
        walk(&schema, &schema, &as_written(&with_absent_settings(REFERENCE)), &mut |key, property, _| {
            unlisted.remove(&format!("{key}: {}", property["description"].as_str().unwrap()));
        });
        assert!(unlisted.is_empty(), "not in conf/tollgate.yaml: {unlisted:#?}");
    }

    #[test]
    fn the_reference_has_every_setting_at_its_default() {
        let schema = schema();
        let config =
            parse("tollgate.yaml", REFERENCE, Path::new("conf"), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        let config = serde_json::to_value(config).unwrap();
        let mut compared = 0;
        walk(&schema, &schema, &config, &mut |key, property, value| {
            // the plugins of every route are an example; there are none by default
            if let Some(default) = property.get("default").filter(|_| !(key == "plugins" && value != &json!([]))) {
                assert_eq!(value, default, "{key}");
                compared += 1;
            }
        });
        assert!(compared > 30, "{compared}");
        // what is listed as absent is absent
        for absent in ["threads", "ca", "server_name", "host", "admin", "default", "models"] {
            walk(&schema, &schema, &config, &mut |key, _, _| assert_ne!(key, absent));
        }
    }

    #[test]
    fn a_number_may_be_filled_by_a_variable_and_a_text_is_left_alone() {
        let schema = schema();
        let weight = &schema["$defs"]["Weight"];
        assert_eq!(weight["type"], json!(["integer", "string"]));
        assert_eq!(weight["pattern"], r"\$\{.+\}");
        assert!(!schema["properties"]["listeners"].as_object().unwrap().contains_key("pattern"));
        assert_eq!(environment::hide("${A}").chars().count(), 4);
    }
}
