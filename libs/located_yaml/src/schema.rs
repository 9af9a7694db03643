//! JSON Schema of a type as this reader reads it, for editors that complete and explain settings.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The schema, with the doc comments of the settings as descriptions. Numbers and booleans may also be variables.
#[must_use]
pub fn schema_for<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    RecursiveTransform(allow_variable).transform(&mut schema);
    RecursiveTransform(explain_name).transform(&mut schema);
    schema.insert("title".into(), title.into());
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

/// The description of an enum's variant is also that of its key, where editors look for it.
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
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is made")]
    struct Sample {
        weight: u8,
        on: Option<bool>,
        name: String,
    }

    #[test]
    fn a_variable_may_stand_for_a_number_or_a_boolean_and_text_is_left_alone() {
        let schema = schema_for::<Sample>("A sample");
        assert_eq!(schema["title"], "A sample");
        assert_eq!(schema["properties"]["weight"]["type"], json!(["integer", "string"]));
        assert_eq!(schema["properties"]["weight"]["pattern"], r"\$\{.+\}");
        assert_eq!(schema["properties"]["on"]["type"], json!(["boolean", "null", "string"]));
        assert_eq!(schema["properties"]["name"], json!({ "type": "string" }));
    }
}
