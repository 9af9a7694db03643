//! The configuration as a whole: listeners, upstreams and routes, and what holds for all of them.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::directive::Directive;
use super::interpreter::World;
use super::level::Level;
use super::map::Maps;
use super::merge::{Upstreams, common_plugins, merged};
use super::notes::Notes;
use super::real_ip::RealIp;
use super::route::{Action, Route, Takes, Target};
use super::server::Server;
use super::sites::{self, Site};
use super::{access, forwarding, limits, line_ends, listeners, log, units};

/// The configuration.
///
/// # Errors
/// That there is no server in it.
pub(super) fn config(directives: &[Directive], notes: &Notes) -> Result<Value, String> {
    let maps = Maps::new(directives);
    let real_ip = RealIp::of_all(directives, notes);
    let world = World {
        http: Level::new(directives),
        maps: &maps,
        notes,
        real_ip: real_ip.clone(),
        passed_on: forwarding::passed_on(directives, &maps),
    };
    let servers: Vec<Server<'_>> = directives
        .iter()
        .filter(|directive| directive.name == "server")
        .map(|block| Server::of(block, &world))
        .collect();
    if servers.iter().all(|server| server.listens.is_empty()) {
        return Err("no server in it listens at an address".to_owned());
    }
    let mut routes = merged(of_servers(&servers, &world));
    limits::unused(directives);
    let plugins = common_plugins(&mut routes);
    line_ends::refuse(&mut routes, directives);
    let access_log = log::settings(directives, &world);
    let listeners = listeners::yaml(&servers, &world);
    if access_log["path"] == "off" {
        routes.iter_mut().for_each(|route| route.action.is_logged_not = false);
    }

    let mut upstreams = Upstreams::default();
    let mut yaml: Vec<Value> =
        routes.into_iter().map(|route| route.into_yaml(&mut |upstream| upstreams.name(upstream))).collect();
    let mut config = Map::new();
    let server = of_process(directives, &servers, notes);
    if !server.is_empty() {
        config.insert("server".to_owned(), Value::Object(server));
    }
    config.insert("access_log".to_owned(), access_log);
    if let Some(real_ip) = real_ip {
        real_ip.into_yaml(&mut config);
    } else if !world.passed_on.is_empty() && upstreams.ports_of_this_host().any(|port| listen_here(&servers, port)) {
        // one of its servers hands requests on to another, which passes on what the first has said
        if access::is_by_address(directives) {
            notes.remark(
                "The gateway hands requests on to itself. Where it is to believe itself, add `127.0.0.1` and `::1` to `trusted_proxies`: rules by address then see the address that X-Forwarded-For says.",
            );
        } else {
            config.insert("trusted_proxies".to_owned(), json!(["127.0.0.1", "::1"]));
            notes.remark("The gateway hands requests on to itself: it is one of `trusted_proxies`.");
        }
    }
    config.insert("listeners".to_owned(), json!(listeners));
    config.insert("upstreams".to_owned(), upstreams.into_yaml(&mut yaml));
    if !plugins.is_empty() {
        config.insert("plugins".to_owned(), json!(plugins));
    }
    config.insert("routes".to_owned(), json!(yaml));
    Ok(Value::Object(config))
}

/// Whether one of them takes requests at this port of the loopback address.
fn listen_here(servers: &[Server<'_>], port: u16) -> bool {
    let is_here = |address: &str| {
        let address = address.parse::<SocketAddr>();
        address.is_ok_and(|address| address.ip().is_unspecified() || address.ip().is_loopback())
    };
    servers
        .iter()
        .flat_map(|server| &server.listens)
        .any(|listen| listen.port == Some(port) && is_here(&listen.address))
}

/// The settings of the process.
fn of_process(directives: &[Directive], servers: &[Server<'_>], notes: &Notes) -> Map<String, Value> {
    let level = Level::new(directives);
    let mut settings = Map::new();
    let threads = level.word("worker_processes").and_then(|number| number.parse::<u32>().ok());
    settings.extend(threads.filter(|number| *number > 1).map(|number| ("threads".to_owned(), json!(number))));
    let drain = level.word("worker_shutdown_timeout").and_then(units::period);
    settings.extend(drain.map(|period| ("drain_timeout".to_owned(), json!(period))));
    // one for all of them; the first that says it counts
    for (name, value) in servers.iter().flat_map(Server::limits) {
        settings.entry(name).or_insert(value);
    }
    let proxies: Vec<&Server<'_>> = servers.iter().filter(|server| server.proxies()).collect();
    for (name, value) in [("underscores_in_headers", "on"), ("ignore_invalid_headers", "off")] {
        let says_so = |server: &&Server<'_>| server.level.word(name) == Some(value);
        if !proxies.is_empty() && proxies.iter().all(says_so) {
            settings.insert(name.to_owned(), json!(value == "on"));
        } else if let Some(directive) =
            proxies.iter().find(|server| says_so(server)).and_then(|server| server.level.last(name))
        {
            notes.leave_out(directive, "headers with odd names reach the servers of all `server` blocks, or of none");
        }
    }
    settings
}

/// The routes of all servers: those for single hosts first, those of the servers for all others last.
fn of_servers(servers: &[Server<'_>], world: &World<'_, '_>) -> Vec<Route> {
    let all = listeners::addresses(servers);
    let sets = sites::in_order(servers, world.notes);
    let mut routes = Vec::new();
    for Site { server, hosts, addresses, refusal } in sets {
        let mut here = match refusal {
            Some(_) => vec![Route { takes: Takes::default(), action: Action::answer(403) }],
            None => server.routes(&hosts, world),
        };
        for route in &mut here {
            if route.takes.hosts.is_empty() {
                route.takes.hosts.clone_from(&hosts);
            }
        }
        let is_whole = |tls: Option<bool>| {
            let wanted = all.iter().filter(|listen| tls.is_none_or(|tls| listen.tls == tls));
            let wanted: Vec<&str> = wanted.map(|listen| listen.address.as_str()).collect();
            wanted.len() == addresses.len() && wanted.iter().all(|address| addresses.contains(address))
        };
        for route in &mut here {
            if is_whole(None) {
                break;
            }
            match (is_whole(Some(true)), is_whole(Some(false))) {
                (true, _) => route.takes.scheme = Some("https".to_owned()),
                (_, true) => route.takes.scheme = Some("http".to_owned()),
                _ => route.takes.listeners = addresses.iter().map(|address| (*address).to_owned()).collect(),
            }
        }
        routes.extend(here);
    }
    // what nothing reaches needs no route
    while routes.len() > 1 && routes.last().is_some_and(is_no_answer) {
        routes.pop();
    }
    routes
}

/// Whether a route answers as the gateway does to what no route takes.
fn is_no_answer(route: &Route) -> bool {
    let takes_all = route.takes == Takes::default();
    takes_all && route.action == Action { target: Target::answer(404), ..Default::default() }
}
