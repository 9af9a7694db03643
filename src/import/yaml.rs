//! Writes a value as YAML that people like to read: short values on one line, longer ones in blocks.

use serde_json::Value;

/// The longest line of a mapping or list in braces, in characters.
const LONGEST: usize = 110;

/// The YAML of a mapping.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// Writes the entries of a mapping or list, each on a line of its own.
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                // sections are blocks always
                let is_section = indent == 0 && value.as_object().is_some_and(|entries| !entries.is_empty());
                entry(&format!("{pad}{}:", scalar(key)), value, indent, is_section, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let line = format!("{pad}- {}", flow(item));
                match item {
                    Value::Object(entries) if line.len() > LONGEST => {
                        for (at, (key, value)) in entries.iter().enumerate() {
                            let lead = if at == 0 { format!("{pad}- ") } else { format!("{pad}  ") };
                            entry(&format!("{lead}{}:", scalar(key)), value, indent + 2, false, out);
                        }
                    }
                    _ => {
                        out.push_str(&line);
                        out.push('\n');
                    }
                }
            }
        }
        other => out.push_str(&flow(other)),
    }
}

fn entry(lead: &str, value: &Value, indent: usize, is_section: bool, out: &mut String) {
    let line = format!("{lead} {}", flow(value));
    let has_parts = matches!(value, Value::Object(_) | Value::Array(_));
    if has_parts && (is_section || line.len() > LONGEST) {
        out.push_str(lead);
        out.push('\n');
        block(value, indent + 2, out);
    } else {
        out.push_str(&line);
        out.push('\n');
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text, in quotes unless it is surely one without.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !["true", "false", "null", "yes", "no", "on", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let long: Vec<String> = (0..20).map(|number| format!("name-{number}")).collect();
        let value = json!({
            "a": { "b": { "c": "${X}", "d": ["1", "true", "a: b"] }, "e": [{ "names": long, "n": 1 }, { "m": 2 }] },
            "f": [{ "g": "x" }], "h": "off", "i": 1.5, "j": {}, "k": true,
        });
        let keep = |name: &str| Some(format!("${{{name}}}"));
        let text = write(&value);
        let read = located_yaml::Reader::new(&keep).read::<Value>("x", &text, |_, _| {});
        assert_eq!(read.unwrap_or_else(|errors| panic!("{errors}\n{text}")).value, value, "{text}");
    }
}
