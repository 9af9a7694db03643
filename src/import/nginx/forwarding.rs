//! The headers that say for whom a request is forwarded, which the gateway sets by itself.

use std::collections::HashSet;

use super::directive::Directive;
use super::interpreter::Run;
use super::map::Maps;

/// Whether the gateway sends a header so by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByItself {
    /// It does.
    Yes,
    /// It sends another value, or none.
    No,
}

/// The headers, by their names in lower case, in which some place passes on what its clients say.
pub(super) fn passed_on(directives: &[Directive], maps: &Maps<'_>) -> HashSet<String> {
    let mut headers = HashSet::new();
    for directive in directives {
        if let ("proxy_set_header", [name, value]) = (&*directive.name, &*directive.args) {
            let name = name.to_ascii_lowercase();
            if name.starts_with("x-forwarded-") && is_what_clients_say(maps, &name, value) {
                headers.insert(name);
            }
        }
        headers.extend(passed_on(directive.children(), maps));
    }
    headers
}

fn is_what_clients_say(maps: &Maps<'_>, name: &str, value: &str) -> bool {
    value == format!("$http_{}", name.replace('-', "_")) || maps.is_header_or(value.trim_start_matches('$'), name)
}

/// Whether the gateway sends this value of a header, by its name in lower case, without being told.
pub(super) fn is_by_itself(run: &Run<'_, '_>, name: &str, value: &str) -> ByItself {
    let world = run.host.world;
    // where another place passes on what clients say, a client may be the gateway itself, which is believed
    let is_direct = world.real_ip.is_none() && !world.passed_on.contains(name);
    let by_itself = match (name, value) {
        ("x-real-ip", "$remote_addr")
        | ("x-forwarded-for", "$proxy_add_x_forwarded_for")
        | ("x-request-id", "$request_id") => true,
        ("x-forwarded-for", "$remote_addr") | ("x-forwarded-proto", "$scheme") => is_direct,
        ("x-forwarded-host", "$http_host") => is_direct,
        ("x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port", value) => {
            let is_clients = is_what_clients_say(world.maps, name, value);
            if is_clients {
                world.notes.remark(
                    "What clients say in X-Forwarded-* is believed from `trusted_proxies` alone: add the proxies before this one.",
                );
            }
            is_clients
        }
        _ => false,
    };
    if by_itself && name.starts_with("x-forwarded") && is_direct {
        world.notes.remark(
            "X-Forwarded-*, X-Real-IP and Forwarded are always sent, and replace what clients say of themselves.",
        );
    }
    if by_itself { ByItself::Yes } else { ByItself::No }
}
