//! The JSON Schema of the YAML file: editors complete and explain the settings by it.

use serde_json::Value;

use super::Config;

/// The schema, with the doc comments of the settings as descriptions.
#[must_use]
pub fn schema() -> Value {
    located_yaml::schema_for::<Config>("The configuration of a Tollgate")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use located_yaml::Reader;
    use serde_json::json;

    use super::*;
    use crate::config::parse;

    const REFERENCE: &str = include_str!("../../conf/tollgate.yaml");

    /// The file as it is written, without the defaults of what it leaves out.
    fn as_written(text: &str) -> Value {
        let unchanged = |name: &str| Some(format!("${{{name}}}"));
        let unread = |path: &str| Ok(format!("${{file:{path}}}"));
        let reader = Reader::new(&unchanged).files(&unread);
        reader.read("tollgate.yaml", text, |_, _| {}).unwrap_or_else(|errors| panic!("{errors}")).value
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
            // the plugins of every route and their limits are examples; there are none by default
            let is_example = ["plugins", "limits"].contains(&key) && value != &json!([]);
            if let Some(default) = property.get("default").filter(|_| !is_example) {
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
}
