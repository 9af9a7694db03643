//! What a location does with a request that its other directives have let through: it goes to an upstream, or to what has no counterpart.

use serde_json::{Map, Value, json};

use super::directive::Directive;
use super::interpreter::Run;
use super::level::Level;
use super::location::Location;
use super::route::{Action, Target};
use super::tree::{Halt, Question};
use super::{access, decision, headers, limits, location_log, proxy_pass, units, unknown};

/// Directives that hand requests to what speaks another protocol.
const OTHER_PROTOCOLS: [&str; 5] = ["fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"];
/// Directives that answer with files.
const OF_FILES: [&str; 7] = ["try_files", "root", "alias", "index", "autoindex", "expires", "add_header"];

/// Why a location is left out that answers with files.
pub(super) const FILES: &str = "files are not served";

/// Whether a directive hands the requests of its location on to servers.
pub(super) fn hands_on(name: &str) -> bool {
    name == "proxy_pass" || OTHER_PROTOCOLS.contains(&name)
}

/// What the location comes to.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn of(run: &Run<'_, '_>) -> Result<Action, Halt> {
    let notes = run.host.world.notes;
    if let Some(directive) = unknown::guard(&run.level) {
        return Err(Halt::Never(format!("who may call may be decided by `{}`", directive.name)));
    }
    if let Some(name) = OTHER_PROTOCOLS.into_iter().find(|name| run.level.last_own(name).is_some()) {
        return Err(Halt::Never(format!("`{name}` speaks another protocol than HTTP")));
    }
    if run.level.last_own("stub_status").is_some() {
        return Err(Halt::Never("what the gateway does is at `/metrics` of `admin`".to_owned()));
    }
    if access::is_closed(&run.level) {
        let others = run.level.own().iter().filter(|directive| directive.name != "location");
        others.for_each(Directive::all_done);
        return Ok(Action::answer(403));
    }
    if let Some(directive) = run.level.last_own("proxy_pass") {
        return proxied(run, &run.level, directive);
    }
    // an `if` that holds has none of those around it
    if let Some(directive) = run.level.own().iter().rfind(|directive| directive.name == "try_files") {
        let named = directive.args.last().and_then(|last| run.host.named.get(last.as_str()));
        if let Some(named) = named {
            if run.is_unsure {
                return Err(Halt::Never(
                    "an `if` that holds has no `try_files`, and nobody knows whether it does".to_owned(),
                ));
            }
            notes.leave_out(directive, "files are not served; all requests go on to the named location");
            let mut action = decision::handed_on(run, named)?;
            for guard in guards(run, &run.level)?.into_iter().rev() {
                match action.plugins.iter().find(|(name, _)| *name == guard.0) {
                    Some(known) if *known == guard => {}
                    Some(_) => {
                        return Err(Halt::Never(
                            "who may call is decided in two locations, one behind the other".to_owned(),
                        ));
                    }
                    None => action.plugins.insert(0, guard),
                }
            }
            return Ok(action);
        }
    }
    let of_files = |directive: &&Directive| OF_FILES.contains(&directive.name.as_str());
    run.level.own().iter().filter(of_files).for_each(Directive::all_done);
    Err(Halt::Never(FILES.to_owned()))
}

/// The answer of a location that is for requests of nginx itself, or within one.
pub(super) fn unreachable(location: &Location<'_>) -> Option<Action> {
    let is_internal = |block: &&&Directive| block.children().iter().any(|directive| directive.name == "internal");
    location.chain.iter().find(is_internal)?;
    if let Some(own) = location.chain.last() {
        let others = own.children().iter().filter(|directive| directive.name != "location");
        others.for_each(Directive::all_done);
    }
    Some(Action::answer(404))
}

/// The refusal of methods that `limit_except` does not name. It holds for no location within.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn excepted(run: &Run<'_, '_>) -> Result<Option<Action>, Halt> {
    let Some(directive) = run.level.last_own("limit_except") else { return Ok(None) };
    let denies_all = |child: &Directive| child.name == "deny" && child.first() == "all";
    let [only] = directive.children() else {
        return Err(Halt::Never("who may call is decided by `limit_except`".to_owned()));
    };
    if !denies_all(only.done()) {
        return Err(Halt::Never("who may call is decided by `limit_except`".to_owned()));
    }
    for method in &directive.args {
        let also = (method == "GET").then_some("HEAD");
        for method in std::iter::once(method.as_str()).chain(also) {
            if run.answers.ask(Question::Method(method.to_owned()))? {
                return Ok(None);
            }
        }
    }
    Ok(Some(Action::answer(403)))
}

fn proxied(run: &Run<'_, '_>, level: &Level<'_>, directive: &Directive) -> Result<Action, Halt> {
    let mut forwarded = headers::of_request(run, level)?;
    let (upstream, path_change) = proxy_pass::target(run, level, directive, &mut forwarded)?;
    let mut action = run.action(Target::Upstream { upstream, path_change: run.path_change().or(path_change.change) });
    action.path = action.path.or(path_change.path);
    action.timeouts = timeouts(run, level);
    action.max_body = max_body(run, level);
    action.ignores_websockets = !forwarded.upgrades;
    action.plugins.extend(guards(run, level)?);
    action.plug("headers", forwarded.into_plugin(headers::of_response(run, level)?));
    action.is_logged_not = location_log::is_off(level);
    Ok(action)
}

/// The plugins that let requests in.
fn guards(run: &Run<'_, '_>, level: &Level<'_>) -> Result<Vec<(&'static str, Value)>, Halt> {
    let plugins = [
        ("rate_limit", limits::of(run, level)?),
        ("access", access::addresses(run, level)?),
        ("basic_auth", access::passwords(level)?),
    ];
    Ok(plugins.into_iter().filter_map(|(name, settings)| Some((name, settings?))).collect())
}

/// The limits of time.
fn timeouts(run: &Run<'_, '_>, level: &Level<'_>) -> Map<String, Value> {
    let period = |name: &str| {
        let directive = level.last(name)?;
        let period = units::period(directive.first());
        match &period {
            None => run.host.world.notes.leave_out(directive, "it is no span of time"),
            Some(period) if units::is_of_environment(period) => {
                let remark = format!("Spans of time have a unit here: set {period} to something like 60s.");
                run.host.world.notes.remark(&remark);
            }
            Some(_) => {}
        }
        period
    };
    let mut timeouts = Map::new();
    timeouts.extend(period("proxy_connect_timeout").map(|connect| ("connect".to_owned(), json!(connect))));
    // what a server takes nothing of is bounded by `idle`, too
    period("proxy_send_timeout");
    if let Some(read) = period("proxy_read_timeout") {
        let longest = units::milliseconds(&read).is_some_and(|read| read >= 1_800_000);
        for key in ["first_byte", "idle", "upgraded"] {
            timeouts.insert(key.to_owned(), json!(read));
        }
        if longest {
            timeouts.insert("total".to_owned(), json!("24h"));
        }
    }
    timeouts
}

/// The largest body.
fn max_body(run: &Run<'_, '_>, level: &Level<'_>) -> Option<String> {
    let Some(directive) = level.last("client_max_body_size") else { return Some("1MiB".to_owned()) };
    let size = units::size(directive.first());
    match &size {
        None => run.host.world.notes.leave_out(directive, "it is no size"),
        Some(size) if units::is_of_environment(size) => {
            let remark = format!("Sizes have other units here: set {size} to something like 20MiB.");
            run.host.world.notes.remark(&remark);
        }
        Some(_) => {}
    }
    size.filter(|size| size != "0")
}
