//! Who is let in: `allow` and `deny` by address, `auth_basic` by password.

use serde_json::{Map, Value, json};

use super::directive::Directive;
use super::interpreter::Run;
use super::level::Level;
use super::tree::Halt;

/// Whether nobody is let in: the first rule refuses all.
pub(super) fn is_closed(level: &Level<'_>) -> bool {
    let first = level.innermost_with(&["allow", "deny"]).into_iter().find(|rule| rule.first() != "unix:");
    let is_any = level.word("satisfy") == Some("any");
    !is_any && first.is_some_and(|rule| rule.name == "deny" && rule.first() == "all")
}

/// Whether who gets in, or how often, is decided by the client's address anywhere.
pub(super) fn is_by_address(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| {
        let decides = match directive.name.as_str() {
            "allow" | "deny" => !matches!(directive.first(), "all" | "unix:"),
            "limit_req_zone" | "limit_conn_zone" => directive.first().contains("remote_addr"),
            _ => false,
        };
        decides || is_by_address(directive.children())
    })
}

/// The settings of the plugin `access`; none where everybody is let in.
///
/// # Errors
/// That who is let in cannot be said.
pub(super) fn addresses(run: &Run<'_, '_>, level: &Level<'_>) -> Result<Option<Value>, Halt> {
    if level.word("satisfy") == Some("any") {
        return Err(Halt::Never("who may call is decided by `satisfy any`".to_owned()));
    }
    // rules of either name replace all of those around them
    let mut rules: Vec<(&str, &str)> = Vec::new();
    let own = level.innermost_with(&["allow", "deny"]);
    for directive in own {
        match directive.first() {
            "unix:" => {}
            address => rules.push((directive.name.as_str(), address)),
        }
    }
    // an address that no rule has is let in
    while rules.last().is_some_and(|(name, _)| *name == "allow") {
        rules.pop();
    }
    if rules.is_empty() {
        return Ok(None);
    }
    if let Some(at) = rules.iter().position(|(_, address)| *address == "all") {
        rules.truncate(at + 1);
    }
    if run.host.has_other_proxies(level) {
        return Err(Halt::Never(
            "who may call is decided by addresses that other proxies say than elsewhere".to_owned(),
        ));
    }
    if run.host.world.real_ip.is_some() {
        run.host.world.notes.remark("`access` is by the client's address, as `trusted_proxies` say it.");
    }
    let is_in_order = rules
        .iter()
        .rposition(|(name, _)| *name == "allow")
        .is_none_or(|last| rules[..last].iter().all(|(name, _)| *name == "allow"));
    if !is_in_order {
        let rules: Vec<Value> = rules.iter().map(|(name, address)| json!({ (*name): address })).collect();
        return Ok(Some(json!({ "rules": rules })));
    }
    let of = |wanted: &str| -> Vec<&str> {
        rules.iter().filter(|(name, _)| *name == wanted).map(|(_, address)| *address).collect()
    };
    let mut settings = Map::new();
    for name in ["allow", "deny"] {
        let addresses = of(name);
        if !addresses.is_empty() {
            settings.insert(name.to_owned(), json!(addresses));
        }
    }
    Ok(Some(Value::Object(settings)))
}

/// The settings of the plugin `basic_auth`; none where nobody is asked for a password.
///
/// # Errors
/// That the file is not named.
pub(super) fn passwords(level: &Level<'_>) -> Result<Option<Value>, Halt> {
    let Some(realm) = level.word("auth_basic").filter(|realm| *realm != "off") else {
        level.last("auth_basic_user_file");
        return Ok(None);
    };
    let Some(file) = level.word("auth_basic_user_file").filter(|file| !file.contains('$')) else {
        return Err(Halt::Never("who may call is decided by a file that is not named".to_owned()));
    };
    // as nginx, which knows nothing of what the header means to the server
    let removes =
        level.all("proxy_set_header").iter().any(|header| header.first().eq_ignore_ascii_case("authorization"));
    let mut settings = json!({ "file": file, "realm": realm });
    if !removes {
        settings["forward_credentials"] = json!(true);
    }
    Ok(Some(settings))
}
