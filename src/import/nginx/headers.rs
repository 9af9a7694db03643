//! The headers of requests and responses: `proxy_set_header`, `proxy_hide_header`, `add_header` and `expires`.

use plugin_api::is_of_connection;
use serde_json::{Map, Value, json};

use super::expires;
use super::forwarding::{self, ByItself};
use super::interpreter::Run;
use super::level::Level;
use super::notes::Notes;
use super::secrecy::{has_literals, names_a_secret};
use super::text::{Piece, Text};
use super::tree::Halt;

/// The `Host` that servers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostHeader {
    /// The client's own.
    Clients,
    /// The name by which `proxy_pass` calls the upstream.
    Upstream,
    /// This.
    Fixed(String),
}

/// What a location changes of a request's headers.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    /// The `Host`, where it is said.
    pub(super) host: Option<HostHeader>,
    /// Headers with credentials, which belong to the upstream.
    pub(super) credentials: Map<String, Value>,
    /// Whether the client's wish for another protocol goes on.
    pub(super) upgrades: bool,
    set: Map<String, Value>,
    remove: Vec<String>,
}

/// Changes of headers.
#[derive(Debug, Default)]
struct Changes {
    set: Map<String, Value>,
    add: Map<String, Value>,
    remove: Vec<String>,
}

/// Changes of a response's headers.
#[derive(Debug, Default)]
pub(super) struct ResponseChanges {
    /// Whatever its status.
    always: Changes,
    /// Where it is no error.
    success: Changes,
}

impl Forwarded {
    /// The settings of the plugin; none where it has nothing to do.
    pub(super) fn into_plugin(self, response: ResponseChanges) -> Option<Value> {
        let request = Changes { set: self.set, add: Map::new(), remove: self.remove };
        let parts = [("request", request), ("response", response.always), ("success", response.success)];
        let parts = parts.into_iter().filter_map(|(key, changes)| Some((key.to_owned(), changes.into_yaml()?)));
        let plugin: Map<String, Value> = parts.collect();
        (!plugin.is_empty()).then_some(Value::Object(plugin))
    }
}

impl Changes {
    fn into_yaml(self) -> Option<Value> {
        let mut changes = Map::new();
        for (key, map) in [("set", self.set), ("add", self.add)] {
            if !map.is_empty() {
                changes.insert(key.to_owned(), Value::Object(map));
            }
        }
        if !self.remove.is_empty() {
            changes.insert("remove".to_owned(), json!(self.remove));
        }
        (!changes.is_empty()).then_some(Value::Object(changes))
    }

    fn add(&mut self, name: &str, value: &str) {
        let known = self.add.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        match known.and_then(|known| self.add.get_mut(&known)) {
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.take(), value]),
            None => drop(self.add.insert(name.to_owned(), json!(value))),
        }
    }
}

/// What a location changes of a request.
///
/// # Errors
/// What must be asked first, or why a value has no counterpart.
pub(super) fn of_request(run: &Run<'_, '_>, level: &Level<'_>) -> Result<Forwarded, Halt> {
    let notes = run.host.world.notes;
    let mut forwarded = Forwarded::default();
    for directive in level.all("proxy_set_header") {
        let [name, value] = &*directive.args else {
            notes.leave_out(directive, "it wants a name and a value");
            continue;
        };
        let lower = name.to_ascii_lowercase();
        if is_of_connection(&lower) {
            forwarded.upgrades |= lower == "upgrade" && !value.is_empty();
            continue;
        }
        if forwarding::is_by_itself(run, &lower, value) == ByItself::Yes {
            continue;
        }
        let text = run.text(value)?;
        if lower == "host" {
            forwarded.host = Some(host(run, &text.to_string(), &mut forwarded.set)?);
            continue;
        }
        if text.as_literal() == Some("") {
            forwarded.remove.push(name.clone());
            continue;
        }
        if text.as_variable() == Some(&*format!("http_{}", lower.replace('-', "_"))) {
            continue;
        }
        match text.constant().filter(|_| names_a_secret(&lower)) {
            Some(value) => {
                let value = if value.contains("${") { value } else { notes.secret(&value) };
                forwarded.credentials.insert(lower, json!(value));
            }
            None => {
                let text = if names_a_secret(&lower) { hidden(&text, notes) } else { text };
                let template = notes.without_secrets(&text.template().map_err(Halt::Never)?);
                forwarded.set.insert(name.clone(), json!(template));
            }
        }
    }
    if level.word("proxy_pass_request_headers") == Some("off") {
        return Err(Halt::Never("requests go on with their headers".to_owned()));
    }
    Ok(forwarded)
}

/// The value of a header that holds a secret, with references in the place of what is written out of it.
fn hidden(text: &Text, notes: &Notes) -> Text {
    let mut all = Text::default();
    for piece in text.pieces() {
        all.append(match piece {
            Piece::Literal(text) if has_literals(&regex::escape(text)) => Text::parse(&notes.secret(text)),
            Piece::Literal(text) => Text::literal(text),
            Piece::Variable(name) => Text::parse(&format!("${name}")),
            Piece::Environment(name) => Text::parse(&format!("${{{name}}}")),
        });
    }
    all
}

/// The `Host`.
fn host(run: &Run<'_, '_>, value: &str, set: &mut Map<String, Value>) -> Result<HostHeader, Halt> {
    Ok(match value {
        "$http_host" => HostHeader::Clients,
        "$proxy_host" => HostHeader::Upstream,
        "$server_name" => HostHeader::Fixed(run.host.name.unwrap_or_default().to_owned()),
        other => {
            let text = super::text::Text::parse(other);
            match text.constant() {
                Some(host) => HostHeader::Fixed(host),
                None => {
                    set.insert("Host".to_owned(), json!(text.template().map_err(Halt::Never)?));
                    HostHeader::Clients
                }
            }
        }
    })
}

/// What a location changes of a response of its upstream.
///
/// # Errors
/// What must be asked first, or why a value has no counterpart.
pub(super) fn of_response(run: &Run<'_, '_>, level: &Level<'_>) -> Result<ResponseChanges, Halt> {
    let mut response = ResponseChanges::default();
    for directive in level.all("proxy_hide_header") {
        response.always.remove.push(directive.first().to_owned());
    }
    added(run, level, &mut response, false)?;
    Ok(response)
}

/// What a location adds to an answer of its own.
///
/// # Errors
/// What must be asked first.
pub(super) fn of_reply(run: &Run<'_, '_>) -> Result<Option<Value>, Halt> {
    let mut response = ResponseChanges::default();
    added(run, &run.level, &mut response, true)?;
    Ok(Forwarded::default().into_plugin(response))
}

fn added(run: &Run<'_, '_>, level: &Level<'_>, response: &mut ResponseChanges, is_reply: bool) -> Result<(), Halt> {
    let notes = run.host.world.notes;
    let ResponseChanges { always, success } = response;
    if let Some(directive) = level.last("expires") {
        match expires::headers(&directive.args) {
            Some(headers) => {
                for (name, value) in headers {
                    match value {
                        Some(value) => drop(success.set.insert(name.to_owned(), json!(value))),
                        None => success.remove.push(name.to_owned()),
                    }
                }
            }
            None => notes.leave_out(directive, "it depends on the time or on a variable"),
        }
    }
    for directive in level.all("add_header") {
        let [name, value, words @ ..] = &*directive.args else {
            notes.leave_out(directive, "it wants a name and a value");
            continue;
        };
        if is_reply && name.eq_ignore_ascii_case("content-type") {
            continue;
        }
        // a header that cannot be said keeps nobody from an answer
        let text = match run.text(value) {
            Err(Halt::Never(why)) => {
                notes.leave_out(directive, &why);
                continue;
            }
            text => text?,
        };
        if text.as_literal() == Some("") {
            continue;
        }
        match text.template() {
            Ok(template) => {
                let changes = if words.is_empty() { &mut *success } else { &mut *always };
                changes.add(name, &notes.without_secrets(&template));
            }
            Err(why) => notes.leave_out(directive, &why),
        }
    }
    Ok(())
}
