//! The access log: where lines go, and how they are written.

use serde_json::{Map, Value, json};

use crate::access_log::AccessLogFormat;

use super::directive::Directive;
use super::interpreter::World;
use super::text::{Piece, Text};

/// nginx's own format, as `log_format` would write it.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// The settings of the access log. `directives` are those of the `http` block, with all in them.
pub(super) fn settings(directives: &[Directive], world: &World<'_, '_>) -> Value {
    let mut logs = Vec::new();
    collect(directives, &mut logs);
    let mut chosen: Option<(&Directive, Value)> = None;
    for log in logs {
        if log.first() == "off" {
            continue;
        }
        let settings = of(log, directives, world);
        match (&chosen, settings) {
            (_, None) => {}
            (None, Some(settings)) => chosen = Some((log, settings)),
            (Some((_, known)), Some(settings)) if *known == settings => {}
            (Some(_), Some(_)) => world.notes.leave_out(log, "there is one access log for all routes"),
        }
    }
    let is_off = || world.http.own().iter().any(|log| log.name == "access_log" && log.first() == "off");
    match chosen {
        Some((_, settings)) => settings,
        None if is_off() => json!({ "path": "off" }),
        None => json!({ "path": "stdout", "format": "combined" }),
    }
}

fn collect<'t>(directives: &'t [Directive], logs: &mut Vec<&'t Directive>) {
    for directive in directives {
        if directive.name == "access_log" {
            logs.push(directive.done());
        }
        collect(directive.children(), logs);
    }
}

fn of(log: &Directive, http: &[Directive], world: &World<'_, '_>) -> Option<Value> {
    let [path, more @ ..] = &*log.args else { return None };
    if path.starts_with("syslog:") {
        world.notes.leave_out(log, "lines go to a file, to standard output or to standard error");
        return None;
    }
    if more.iter().any(|word| word.starts_with("if=")) {
        world.notes.name(log, "lines are of all requests of a route, or of none");
    }
    let path = match path.as_str() {
        "/dev/stdout" => "stdout",
        "/dev/stderr" => "stderr",
        path => path,
    };
    let mut settings = Map::from_iter([("path".to_owned(), json!(path))]);
    settings.insert("format".to_owned(), json!(format(log, more, http, world)));
    Some(Value::Object(settings))
}

fn format(log: &Directive, words: &[String], http: &[Directive], world: &World<'_, '_>) -> String {
    let combined = || "combined".to_owned();
    let Some(name) = words.first().filter(|word| !word.contains('=') && *word != "combined") else { return combined() };
    let definition = http.iter().find(|directive| directive.name == "log_format" && directive.first() == name);
    let Some(definition) = definition else {
        world.notes.name(log, "its format is not defined; lines are `combined`");
        return combined();
    };
    let parts: Vec<&str> =
        definition.done().args[1..].iter().map(String::as_str).filter(|part| !part.starts_with("escape=")).collect();
    let text = parts.concat();
    if text == COMBINED {
        return combined();
    }
    match template(&Text::parse(&text)) {
        Ok(template) => template,
        Err(why) => {
            world.notes.name(definition, &format!("{why}; lines are `combined`"));
            combined()
        }
    }
}

/// The format as the YAML writes it.
fn template(text: &Text) -> Result<String, String> {
    let format = text.pieces().iter().fold(String::new(), |all, piece| match piece {
        Piece::Literal(text) => all + &text.replace('$', "$$"),
        Piece::Environment(name) => all + "${" + name + "}",
        Piece::Variable(name) => all + "$" + name,
    });
    match serde_json::from_value::<AccessLogFormat>(json!(format)) {
        Ok(_) => Ok(format),
        Err(_) => Err("it has no counterpart here".to_owned()),
    }
}
