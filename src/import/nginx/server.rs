//! `server`: its names, its addresses, and the routes that its locations become.

use serde_json::json;

use super::content;
use super::decision;
use super::directive::Directive;
use super::interpreter::{Host, World};
use super::level::Level;
use super::listen::Listen;
use super::location::{Location, Locations};
use super::path::Paths;
use super::request_facts::Facts;
use super::route::{Action, Route, Takes};
use super::tree::{Conditions, Halt, Tree};
use super::units;

/// A server.
#[derive(Debug)]
pub(super) struct Server<'t> {
    /// Its block.
    pub(super) directive: &'t Directive,
    /// What is around and in it.
    pub(super) level: Level<'t>,
    /// The hosts that it is for, as routes write them.
    pub(super) hosts: Vec<String>,
    /// Whether it has names besides that routes cannot ask for.
    pub(super) has_unsaid_names: bool,
    /// Its addresses.
    pub(super) listens: Vec<Listen>,
}

impl<'t> Server<'t> {
    /// The server of a block.
    pub(super) fn of(directive: &'t Directive, world: &World<'_, 't>) -> Self {
        let level = world.http.within(directive.done().children());
        let mut listens = Vec::new();
        for listen in level.own().iter().filter(|child| child.name == "listen") {
            match Listen::parse(&listen.done().args) {
                Ok(listen) => {
                    let ipv4 = listen
                        .takes_ipv4
                        .then(|| Listen { address: listen.address.replace("[::]", "0.0.0.0"), ..listen.clone() });
                    listens.push(listen);
                    listens.extend(ipv4);
                }
                Err(why) => world.notes.leave_out(listen, &why),
            }
        }
        if !level.own().iter().any(|child| child.name == "listen") {
            listens.push(Listen::usual());
        }
        if level.last("ssl").is_some_and(|ssl| ssl.first() == "on") {
            listens.iter_mut().for_each(|listen| listen.tls = true);
        }
        let mut hosts = Vec::new();
        let mut has_unsaid_names = false;
        for names in level.own().iter().filter(|child| child.name == "server_name") {
            for name in &names.done().args {
                match host_pattern(name) {
                    Ok(patterns) => hosts.extend(patterns),
                    Err(why) => {
                        has_unsaid_names = true;
                        world.notes.name(names, &why);
                    }
                }
            }
        }
        Self { directive, level, hosts, has_unsaid_names, listens }
    }

    /// Whether it takes requests at an address.
    pub(super) fn listens_at(&self, address: &str) -> bool {
        self.listens.iter().any(|listen| listen.address == address)
    }

    /// The routes of its locations for requests to these hosts, or to any, without hosts and listeners.
    pub(super) fn routes(&self, hosts: &[String], world: &World<'_, 't>) -> Vec<Route> {
        let locations = Locations::of(self.level.own(), world.notes);
        let tls = |wanted: bool| self.listens.iter().all(|listen| listen.tls == wanted);
        let host = Host {
            world,
            directive: self.directive,
            level: self.level.clone(),
            facts: Facts {
                tls: if tls(true) { Some(true) } else { tls(false).then_some(false) },
                hosts: hosts.to_vec(),
            },
            ports: self.listens.iter().filter_map(|listen| listen.port).collect(),
            by_proxy_protocol: self.listens.iter().map(|listen| listen.proxy_protocol).collect(),
            name: self.level.word("server_name"),
            named: locations.named.clone(),
        };
        let mut routes = Vec::new();
        let returns = self.level.own().iter().any(|directive| directive.name == "return");
        if !returns {
            for location in locations.in_order() {
                of_location(&host, location, &mut routes);
            }
            routes.splice(0..0, completed(&host, &locations.completed));
        }
        if returns || !locations.take_all() {
            if let Some(root) = self.level.last_own("root").filter(|_| !returns) {
                world.notes.name(root, "files are not served; paths that no location takes are answered with 404");
            }
            match tree(&host, None).and_then(Tree::leaves) {
                Ok(leaves) => {
                    for (conditions, action) in leaves {
                        push(&host, conditions, None, action, &mut routes);
                    }
                }
                Err(why) => {
                    world.notes.name(self.directive, &format!("{why}; it answers 403"));
                    routes.push(Route { takes: Takes::default(), action: Action::answer(403) });
                }
            }
        }
        if returns {
            for location in locations.in_order() {
                location.chain.iter().for_each(|directive| directive.all_done());
            }
        }
        routes
    }

    /// Whether it hands requests on to servers.
    pub(super) fn proxies(&self) -> bool {
        fn hands_on(block: &[Directive]) -> bool {
            block.iter().any(|directive| content::hands_on(&directive.name) || hands_on(directive.children()))
        }
        hands_on(self.level.own())
    }

    /// The settings of the gateway's own `server` that it has.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&'static str, serde_json::Value)> {
        let period = |name: &str| self.level.word(name).and_then(units::period).map(|period| json!(period));
        let heads = self.level.last("large_client_header_buffers").and_then(|buffers| {
            let [number, size] = &*buffers.args else { return None };
            let bytes = units::bytes(size)?.checked_mul(number.parse().ok()?)?;
            units::size(&bytes.clamp(1 << 10, 1 << 20).to_string()).map(|size| json!(size))
        });
        let settings = [
            ("keepalive_timeout", period("keepalive_timeout").filter(|period| *period != json!("0s"))),
            ("header_timeout", period("client_header_timeout")),
            ("body_timeout", period("client_body_timeout")),
            ("max_header", heads),
        ];
        settings.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// What comes of the requests of a location. Of those that routes can tell from others, but whose way cannot be said, this is a refusal.
fn tree<'t>(host: &Host<'_, 't>, location: Option<&Location<'t>>) -> Result<Tree<Action>, String> {
    Tree::of(|answers| match decision::decide(host, location, answers) {
        Err(Halt::Never(why)) if !answers.are_none() => {
            let status = status_of(&why);
            let directive = location.and_then(|location| location.chain.last().copied()).unwrap_or(host.directive);
            host.world.notes.name(directive, &format!("{why}; such requests are answered with {status}"));
            Ok(Action::answer(status))
        }
        decided => decided,
    })
}

/// The routes for paths that nginx completes with a slash, once the directives of the server have let a request pass.
fn completed<'t>(host: &Host<'_, 't>, locations: &[Location<'t>]) -> Vec<Route> {
    let mut routes = Vec::new();
    for location in locations {
        let decided = Tree::of(|answers| decision::completed(host, location, answers));
        let leaves = decided.and_then(Tree::leaves).unwrap_or_else(|why| {
            let directive = location.chain.last().copied().unwrap_or(host.directive);
            host.world.notes.name(directive, &format!("{why}; its path without a slash is answered with 403"));
            vec![(Conditions::default(), Action::answer(403))]
        });
        let pattern = location.paths.pattern();
        for (conditions, action) in leaves {
            push(host, conditions, pattern.as_deref(), action, &mut routes);
        }
    }
    routes
}

/// The status in the place of what cannot be said.
fn status_of(why: &str) -> u16 {
    if why == content::FILES { 404 } else { 403 }
}

/// Adds the routes of a location. One that cannot be said keeps its paths from going where nginx does not send them.
fn of_location<'t>(host: &Host<'_, 't>, location: &Location<'t>, routes: &mut Vec<Route>) {
    let pattern = location.paths.pattern();
    let said = location.refusal.clone().map_or(Ok(()), Err);
    let leaves = said.and_then(|()| tree(host, Some(location))).and_then(Tree::leaves).and_then(|leaves| {
        let strays = |(conditions, action): &(Conditions, Action)| {
            let asked = conditions.path.as_deref().filter(|_| !action.is_of_server);
            asked.is_some_and(|asked| !Paths::of_pattern(asked).are_within(&location.paths))
        };
        if leaves.iter().any(strays) { Err("a route cannot ask for two paths at once".to_owned()) } else { Ok(leaves) }
    });
    match leaves {
        Ok(leaves) => {
            leaves
                .into_iter()
                .for_each(|(conditions, action)| push(host, conditions, pattern.as_deref(), action, routes));
        }
        Err(why) => {
            let status = status_of(&why);
            if let Some(directive) = location.chain.last() {
                host.world.notes.leave_out(directive, &format!("{why}; its paths are answered with {status}"));
            }
            let takes = Takes { paths: pattern.into_iter().collect(), ..Takes::default() };
            routes.push(Route { takes, action: Action::answer(status) });
        }
    }
}

fn push(
    host: &Host<'_, '_>,
    conditions: Conditions,
    pattern: Option<&str>,
    mut action: Action,
    routes: &mut Vec<Route>,
) {
    let path = match (conditions.path, action.path.take()) {
        // the groups of the one are those of no path that the other takes
        (Some(asked), Some(own)) if asked != own && !Paths::of_pattern(&own).are_within(&Paths::of_pattern(&asked)) => {
            let why = "a route cannot ask for two paths at once; such requests are answered with 403";
            host.world.notes.name(host.directive, why);
            action = Action::answer(403);
            Some(asked)
        }
        (asked, own) => own.or(asked).or(pattern.map(str::to_owned)),
    };
    let takes = Takes {
        hosts: conditions.host.into_iter().collect(),
        paths: path.into_iter().collect(),
        methods: conditions.method.into_iter().collect(),
        headers: conditions.headers,
        query: conditions.query,
        scheme: conditions.scheme,
        listeners: Vec::new(),
    };
    let route = Route { takes, action };
    // what the server decides is the same in each of its locations
    if !routes.contains(&route) {
        routes.push(route);
    }
}

/// A name as routes write it.
fn host_pattern(name: &str) -> Result<Vec<String>, String> {
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "" | "_" | "*" => Vec::new(),
        name if name.starts_with('~') => return Err("hosts are names and wildcards, and no expressions".to_owned()),
        name if name.ends_with(".*") => return Err("wildcards stand at the beginning of a host".to_owned()),
        name => match name.strip_prefix('.') {
            Some(rest) => vec![rest.to_owned(), format!("*.{rest}")],
            None if name.starts_with("*.") || !name.contains('*') => vec![name_of(name)],
            None => return Err("wildcards stand at the beginning of a host".to_owned()),
        },
    })
}

/// A name with variables of the environment in their own letters.
fn name_of(lower: &str) -> String {
    let mut rest = lower;
    let mut name = String::new();
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        name.push_str(&rest[..at]);
        name.push_str(&rest[at..end].to_ascii_uppercase());
        rest = &rest[end..];
    }
    name + rest
}
