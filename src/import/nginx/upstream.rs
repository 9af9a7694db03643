//! `upstream`, and the servers that `proxy_pass` names itself.

use serde_json::{Map, Value, json};

use super::directive::Directive;
use super::interpreter::Run;
use super::level::Level;
use super::notes::Notes;
use super::route::Upstream;
use super::text::Text;
use super::tree::Halt;
use super::units;

/// nginx's words for what is worth another attempt, and ours.
const RETRIES: [(&str, &str); 11] = [
    ("error", "error"),
    ("timeout", "timeout"),
    ("invalid_header", "invalid_header"),
    ("http_500", "http_500"),
    ("http_502", "http_502"),
    ("http_503", "http_503"),
    ("http_504", "http_504"),
    ("http_403", "http_403"),
    ("http_404", "http_404"),
    ("http_429", "http_429"),
    ("non_idempotent", "non_idempotent"),
];
/// The most attempts that an upstream may make.
const MOST_ATTEMPTS: usize = 10;

/// What a location wants of an upstream.
pub(super) struct Wanted<'a> {
    /// The name of an `upstream`, or a server.
    pub(super) authority: &'a str,
    pub(super) tls: bool,
    /// The `Host`; the client's own for none.
    pub(super) host: Option<String>,
    /// Headers with credentials.
    pub(super) headers: Map<String, Value>,
    /// Whether redirects of the server to itself become ours.
    pub(super) redirects: bool,
}

/// The upstream that a location wants.
///
/// # Errors
/// Why there is none.
pub(super) fn of(run: &Run<'_, '_>, level: &Level<'_>, wanted: Wanted<'_>) -> Result<Upstream, Halt> {
    let notes = run.host.world.notes;
    let block = named(run, wanted.authority);
    let mut settings = Map::new();
    let (mut servers, mut keepalive) = (Vec::new(), Map::new());
    match block {
        Some(block) => {
            block.done();
            settings.extend(balance(block, notes).map(|rule| ("balance".to_owned(), rule)));
            for server in block.children().iter().filter(|child| child.name == "server") {
                servers.extend(of_server(server.done(), wanted.tls, notes));
            }
            keepalive = kept(block);
        }
        None => servers.push(json!({ "address": server_address(wanted.authority, wanted.tls) })),
    }
    if servers.is_empty() {
        return Err(Halt::Never(format!("`{}` has no server that can be reached", wanted.authority)));
    }
    let is_one = servers.len() == 1;
    if is_one {
        // nginx leaves the failures of a single server without consequence
        for key in ["max_fails", "fail_timeout", "weight"] {
            servers[0].as_object_mut().map(|server| server.shift_remove(key));
        }
        settings.shift_remove("balance");
    }
    settings.insert("servers".to_owned(), servers.into());
    if let Some(host) = wanted.host.as_deref().filter(|host| !is_host_of_url(host, &wanted, is_one)) {
        settings.insert("host".to_owned(), json!(host));
    }
    if !wanted.headers.is_empty() {
        settings.insert("headers".to_owned(), Value::Object(wanted.headers));
    }
    if wanted.redirects {
        settings.insert("redirects".to_owned(), json!("own"));
    }
    if wanted.tls {
        settings.extend(tls(level, notes).map(|tls| ("tls".to_owned(), tls)));
    }
    if !keepalive.is_empty() {
        settings.insert("keepalive".to_owned(), Value::Object(keepalive));
    }
    if !is_one {
        retries(level, settings["servers"].as_array().map_or(1, Vec::len), notes, &mut settings);
    } else {
        for name in ["proxy_next_upstream", "proxy_next_upstream_tries", "proxy_next_upstream_timeout"] {
            level.last(name);
        }
    }
    Ok(Upstream { name: name_of(wanted.authority), settings })
}

/// Whether this is the name of an `upstream`.
pub(super) fn is_named(run: &Run<'_, '_>, authority: &str) -> bool {
    named(run, authority).is_some()
}

fn named<'t>(run: &Run<'_, 't>, authority: &str) -> Option<&'t Directive> {
    let mut upstreams = run.host.world.http.own().iter().filter(|directive| directive.name == "upstream");
    upstreams.find(|upstream| upstream.first() == authority)
}

/// What the upstream would like to be called.
fn name_of(authority: &str) -> String {
    if authority.contains("${") {
        return "upstream".to_owned();
    }
    authority.replace(['[', ']'], "").replace(':', "-")
}

/// Whether the gateway sends this `Host` by itself.
fn is_host_of_url(host: &str, wanted: &Wanted<'_>, is_one: bool) -> bool {
    wanted.tls && is_one && host == wanted.authority && !host.contains(':')
}

/// An address as `servers` writes it.
fn server_address(authority: &str, tls: bool) -> String {
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    let has_port = behind.replace("${", "").contains(':');
    match (tls, has_port) {
        (true, _) => format!("https://{authority}"),
        (false, true) => authority.to_owned(),
        (false, false) => format!("{authority}:80"),
    }
}

fn of_server(server: &Directive, tls: bool, notes: &Notes) -> Option<Value> {
    let [address, parameters @ ..] = &*server.args else { return None };
    if address.starts_with("unix:") {
        notes.leave_out(server, "servers have addresses, and no sockets in the file system");
        return None;
    }
    let Some(address) = Text::parse(address).constant() else {
        notes.leave_out(server, "it may be any server");
        return None;
    };
    let mut settings = Map::from_iter([("address".to_owned(), json!(server_address(&address, tls)))]);
    for parameter in parameters {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let entry = match key {
            "weight" if value == "1" => continue,
            "weight" | "max_fails" | "max_conns" => value.parse::<u32>().ok().map(|number| json!(number)),
            // failures of no time never add up
            "fail_timeout" if units::milliseconds(value) == Some(0) => {
                settings.insert("max_fails".to_owned(), json!(0));
                continue;
            }
            "fail_timeout" | "slow_start" => units::period(value).map(|period| json!(period)),
            "backup" | "down" => Some(json!(true)),
            "resolve" => continue,
            _ => None,
        };
        match entry {
            Some(entry) => drop(settings.insert(key.to_owned(), entry)),
            None => notes.leave_out(server, &format!("`{parameter}` has no counterpart here")),
        }
    }
    Some(Value::Object(settings))
}

/// The rule by which a server is chosen.
fn balance(block: &Directive, notes: &Notes) -> Option<Value> {
    let mut rule = Some(json!("round_robin"));
    for directive in block.children() {
        match directive.name.as_str() {
            "least_conn" => {
                directive.done();
                rule = None;
            }
            "ip_hash" => {
                directive.done();
                rule = Some(json!({ "hash": "client_ip" }));
            }
            "hash" => match hash_key(directive.done().first()) {
                Some(key) => rule = Some(json!({ "hash": key })),
                None => notes.leave_out(directive, "a hash is of the client's address, a header or the session here"),
            },
            "random" => {
                let why = "servers are not chosen by chance; the one with the fewest requests is";
                notes.leave_out(directive, why);
                rule = None;
            }
            "zone" => drop(directive.done()),
            _ => {}
        }
    }
    rule
}

fn hash_key(key: &str) -> Option<String> {
    match Text::parse(key).as_variable()? {
        "remote_addr" | "binary_remote_addr" => Some("client_ip".to_owned()),
        name => name.strip_prefix("http_").map(|name| format!("header:{}", name.replace('_', "-"))),
    }
}

/// The connections that are kept.
fn kept(block: &Directive) -> Map<String, Value> {
    let mut kept = Map::new();
    for directive in block.children() {
        match directive.name.as_str() {
            "keepalive" => {
                let connections = directive.done().first().parse::<u32>().ok();
                kept.extend(connections.map(|number| ("connections".to_owned(), json!(number))));
            }
            "keepalive_timeout" => {
                let period = units::period(directive.done().first());
                kept.extend(period.map(|period| ("idle_timeout".to_owned(), json!(period))));
            }
            _ => {}
        }
    }
    kept
}

/// TLS towards the servers.
fn tls(level: &Level<'_>, notes: &Notes) -> Option<Value> {
    let mut tls = Map::new();
    if level.word("proxy_ssl_verify") != Some("on") {
        notes.remark("Certificates of `https` servers are always verified, as with `proxy_ssl_verify on`.");
    }
    tls.extend(level.word("proxy_ssl_trusted_certificate").map(|file| ("ca".to_owned(), json!(file))));
    if let Some(name) = level.last("proxy_ssl_name") {
        match Text::parse(name.first()).constant() {
            Some(name) => drop(tls.insert("server_name".to_owned(), json!(name))),
            // that of the server is asked for anyway
            None if matches!(name.first(), "$proxy_host") => {}
            None => notes.leave_out(name, "the name that is asked for is the same for all requests"),
        }
    }
    (!tls.is_empty()).then_some(Value::Object(tls))
}

/// When another server is tried, as nginx does.
fn retries(level: &Level<'_>, servers: usize, notes: &Notes, settings: &mut Map<String, Value>) {
    // to nginx a connection that did not come about is an error, too
    let mut on = vec!["connect", "error", "timeout"];
    let mut failures: Vec<u16> = Vec::new();
    if let Some(directive) = level.last("proxy_next_upstream") {
        on.clear();
        for word in &directive.args {
            match RETRIES.iter().find(|(theirs, _)| theirs == word) {
                Some((_, "error")) => on.extend(["connect", "error"]),
                Some((_, ours)) => on.push(ours),
                None if word == "off" => {}
                None => notes.leave_out(directive, &format!("`{word}` has no counterpart here")),
            }
            let status = word.strip_prefix("http_").and_then(|status| status.parse::<u16>().ok());
            failures.extend(status.filter(|status| *status >= 429));
        }
    }
    let tries = level
        .word("proxy_next_upstream_tries")
        .and_then(|tries| tries.parse::<usize>().ok())
        .filter(|tries| *tries > 0);
    let attempts = if on.is_empty() { 1 } else { tries.unwrap_or(servers).clamp(1, MOST_ATTEMPTS) };
    if let Some(timeout) = level.last("proxy_next_upstream_timeout").filter(|timeout| timeout.first() != "0") {
        notes.leave_out(timeout, "all attempts together have the `total` of `timeouts`");
    }
    settings.insert("retry".to_owned(), json!({ "attempts": attempts, "on": on }));
    settings.insert("eject".to_owned(), json!({ "on": failures }));
}
