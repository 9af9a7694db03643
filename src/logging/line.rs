//! One record as one line: JSON for machines, text for eyes. Does not know where it goes.

use std::fmt::Write as _;
use std::time::SystemTime;

use log::Record;
use log::kv::{self, Key, Value, VisitSource, VisitValue};

use super::field;

/// Appends the record as a JSON object: `time`, `level`, `target`, `message`, then its own fields.
pub(super) fn json(out: &mut Vec<u8>, record: &Record<'_>, time: SystemTime) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&field::rfc3339(time));
    out.extend_from_slice(b"\",\"level\":");
    field::string(out, word(record.level()));
    out.extend_from_slice(b",\"target\":");
    field::string(out, record.target());
    out.extend_from_slice(b",\"message\":");
    field::displayed(out, record.args());
    // what is visited here never fails, so that no field keeps another out
    let _ = record.key_values().visit(&mut JsonFields(out));
    out.extend_from_slice(b"}\n");
}

/// Appends the record as `TIME LEVEL message key=value`.
pub(super) fn text(out: &mut Vec<u8>, record: &Record<'_>, time: SystemTime) {
    out.extend_from_slice(&field::rfc3339(time));
    out.push(b' ');
    out.extend_from_slice(record.level().as_str().as_bytes());
    out.push(b' ');
    visible(out, &cut(record.args()));
    let _ = record.key_values().visit(&mut TextFields(out));
    out.push(b'\n');
}

/// A level as the YAML writes it.
fn word(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "error",
        log::Level::Warn => "warn",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    }
}

struct JsonFields<'a>(&'a mut Vec<u8>);

impl<'kvs> VisitSource<'kvs> for JsonFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(b',');
        match key.as_str() {
            // an object with a key twice is read differently by everyone
            taken @ ("time" | "level" | "target" | "message") => field::displayed(self.0, format_args!("{taken}_")),
            key => field::string(self.0, key),
        }
        self.0.push(b':');
        value.visit(JsonValue(self.0))
    }
}

struct JsonValue<'a>(&'a mut Vec<u8>);

impl JsonValue<'_> {
    fn bare(&mut self, value: impl std::fmt::Display) -> Result<(), kv::Error> {
        self.0.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }
}

impl<'v> VisitValue<'v> for JsonValue<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        field::displayed(self.0, value);
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.bare("null")
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.bare(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.bare(value)
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.bare(value)
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.bare(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        // JSON has no other numbers
        if value.is_finite() { self.bare(value) } else { self.visit_null() }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.bare(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        field::displayed(self.0, value);
        Ok(())
    }
}

struct TextFields<'a>(&'a mut Vec<u8>);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push(b' ');
        visible(self.0, key.as_str());
        self.0.push(b'=');
        let value = cut(value);
        let quoted = |found: char| found.is_whitespace() || found.is_control() || matches!(found, '"' | '\\' | '=');
        if value.is_empty() || value.contains(quoted) {
            self.0.push(b'"');
            visible(self.0, &value.replace('\\', "\\\\").replace('"', "\\\""));
            self.0.push(b'"');
        } else {
            self.0.extend_from_slice(value.as_bytes());
        }
        Ok(())
    }
}

/// What something displays, cut where it is too long.
fn cut(value: impl std::fmt::Display) -> String {
    let mut text = String::new();
    field::bounded(value, |piece| text.push_str(piece));
    text
}

/// Writes a text so that it neither ends the line nor speaks to the terminal.
fn visible(out: &mut Vec<u8>, text: &str) {
    if !text.contains(char::is_control) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    out.extend_from_slice(shown.as_bytes());
}

#[cfg(test)]
mod tests {
    use log::Level;
    use serde_json::json;

    use super::*;

    fn line(write: fn(&mut Vec<u8>, &Record<'_>, SystemTime), message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let mut out = Vec::new();
        let mut builder = Record::builder();
        builder.level(Level::Warn).target("tollgate::server").key_values(&fields);
        write(&mut out, &builder.args(format_args!("{message}")).build(), SystemTime::UNIX_EPOCH);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_json_line_and_its_fields_keep_their_types() {
        let io = std::io::Error::other("a \"bad\"\nthing");
        let fields = [
            ("threads", Value::from(8_usize)),
            ("drop", Value::from(-3_i32)),
            ("share", Value::from(0.5)),
            ("nothing", Value::from(f64::NAN)),
            ("large", Value::from(u128::MAX)),
            ("ok", Value::from(true)),
            ("name", Value::from("a\tb")),
            ("letter", Value::from('x')),
            ("error", Value::from_display(&io)),
            ("shape", Value::from_debug(&Some(1))),
            ("message", Value::from("taken")),
        ];
        let line = line(json, "it\nsaid \"no\"", &fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(&format!("\"large\":{},", u128::MAX)), "{line}");
        let mut read: serde_json::Value = serde_json::from_str(&line).unwrap();
        read.as_object_mut().unwrap().remove("large");
        assert_eq!(
            read,
            json!({
                "time": "1970-01-01T00:00:00.000Z", "level": "warn", "target": "tollgate::server",
                "message": "it\nsaid \"no\"", "threads": 8, "drop": -3, "share": 0.5, "nothing": null, "ok": true,
                "name": "a\tb", "letter": "x", "error": "a \"bad\"\nthing", "shape": "Some(1)", "message_": "taken",
            })
        );
    }

    #[test]
    fn a_record_is_one_text_line_whatever_it_holds() {
        let fields = [
            ("n", Value::from(8)),
            ("path", Value::from("/a b")),
            ("quote", Value::from("say \"x\"")),
            ("none", Value::from("")),
            ("tricky", Value::from("\u{1b}[2J")),
        ];
        assert_eq!(
            line(text, "two\nlines", &fields),
            "1970-01-01T00:00:00.000Z WARN two\\nlines n=8 path=\"/a b\" quote=\"say \\\"x\\\"\" none=\"\" \
             tricky=\"\\u{1b}[2J\"\n"
        );
    }
}
