//! `limit_req` and `limit_conn`: how many requests clients may have.

use serde_json::{Value, json};

use super::directive::Directive;
use super::interpreter::Run;
use super::level::Level;
use super::notes::Notes;
use super::text::Text;
use super::tree::Halt;

/// The settings of the plugin; none where there is no limit.
///
/// # Errors
/// That limits are counted by what cannot be said.
pub(super) fn of(run: &Run<'_, '_>, level: &Level<'_>) -> Result<Option<Value>, Halt> {
    let notes = run.host.world.notes;
    let mut limits = Vec::new();
    for directive in level.all("limit_req") {
        limits.extend(requests(run, directive, notes));
    }
    for directive in level.all("limit_conn") {
        limits.extend(connections(run, directive, notes));
    }
    if limits.is_empty() {
        return Ok(None);
    }
    for name in ["limit_req_status", "limit_conn_status"] {
        if level.word(name) != Some("429") && level.last(&name.replace("_status", "")).is_some() {
            notes.remark("A request beyond a limit gets 429, with `retry-after`, where nginx answers 503 by default.");
        }
    }
    Ok(Some(json!({ "limits": limits })))
}

fn requests(run: &Run<'_, '_>, directive: &Directive, notes: &Notes) -> Option<Value> {
    let zone = argument(directive, "zone")?;
    let (by, definition) = zone_of(run, "limit_req_zone", zone, directive, notes)?;
    let name = counted(run, zone, definition);
    let rate = argument(definition, "rate").and_then(rate);
    let Some(rate) = rate else {
        notes.leave_out(definition, "it has no rate such as 10r/s");
        return None;
    };
    let burst = argument(directive, "burst").and_then(|burst| burst.parse::<u64>().ok()).unwrap_or(0);
    if burst > 0 && !directive.args.iter().any(|arg| arg == "nodelay") {
        notes
            .remark("Requests within the `burst` of a limit pass at once, as with `nodelay`; nothing is delayed here.");
    }
    Some(json!({ "by": by, "name": name, "requests": rate, "burst": burst + 1 }))
}

fn connections(run: &Run<'_, '_>, directive: &Directive, notes: &Notes) -> Option<Value> {
    let [zone, number] = &*directive.args else { return None };
    let (by, definition) = zone_of(run, "limit_conn_zone", zone, directive, notes)?;
    let name = counted(run, zone, definition);
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    Some(json!({ "by": by, "name": name, "concurrent": number }))
}

/// What a zone counts by, and where it is defined.
fn zone_of<'t>(
    run: &Run<'_, 't>,
    kind: &str,
    zone: &str,
    directive: &Directive,
    notes: &Notes,
) -> Option<(String, &'t Directive)> {
    let zones = run.host.world.http.own().iter().filter(|definition| definition.name == kind);
    let mut named = zones
        .filter(|definition| argument(definition, "zone").is_some_and(|found| found.split(':').next() == Some(zone)));
    let Some(definition) = named.next() else {
        notes.leave_out(directive, "its zone is not defined");
        return None;
    };
    match by(definition.done().first()) {
        Some(by) => {
            if by == "client_ip" && run.host.has_other_proxies(&run.level) {
                notes.name(directive, "it counts by addresses that other proxies say than there");
            }
            Some((by, definition))
        }
        None => {
            notes.leave_out(directive, "limits count by the client's address, by a header, or all requests together");
            None
        }
    }
}

/// The name of what is counted together: a zone by the server's name has a count for each server.
fn counted(run: &Run<'_, '_>, zone: &str, definition: &Directive) -> String {
    match Text::parse(definition.first()).as_variable() {
        Some("server_name") => format!("{zone} of {}", run.host.name.unwrap_or_default()),
        Some("server_port") => {
            let ports: Vec<String> = run.host.ports.iter().map(ToString::to_string).collect();
            format!("{zone} at {}", ports.join(" "))
        }
        _ => zone.to_owned(),
    }
}

fn by(key: &str) -> Option<String> {
    let text = Text::parse(key);
    if text.as_literal().is_some_and(|literal| !literal.is_empty()) {
        return Some("all".to_owned());
    }
    match text.as_variable()? {
        "binary_remote_addr" | "remote_addr" => Some("client_ip".to_owned()),
        "server_name" | "server_port" => Some("all".to_owned()),
        name => name.strip_prefix("http_").map(|name| format!("header:{}", name.replace('_', "-"))),
    }
}

/// `10r/s` → `10/s`.
fn rate(text: &str) -> Option<String> {
    let (number, unit) = text.split_once("r/")?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    matches!(unit, "s" | "m").then(|| format!("{number}/{unit}"))
}

/// An argument of the form `NAME=VALUE`.
fn argument<'d>(directive: &'d Directive, name: &str) -> Option<&'d str> {
    directive.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
}

/// Zones that no location uses need nothing.
pub(super) fn unused(http: &[Directive]) {
    for directive in
        http.iter().filter(|directive| matches!(directive.name.as_str(), "limit_req_zone" | "limit_conn_zone"))
    {
        directive.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_counts_by_what_callers_can_be_told_apart_by() {
        for (key, expected) in [
            ("$binary_remote_addr", Some("client_ip")),
            ("$http_x_api_key", Some("header:x-api-key")),
            ("$server_name", Some("all")),
            ("all", Some("all")),
            ("$cookie_session", None),
            ("$remote_addr$http_x", None),
        ] {
            assert_eq!(by(key).as_deref(), expected, "{key}");
        }
        assert_eq!(rate("100r/s").as_deref(), Some("100/s"));
        assert_eq!(rate("30r/m").as_deref(), Some("30/m"));
        assert_eq!(rate("0r/s"), None);
    }
}
