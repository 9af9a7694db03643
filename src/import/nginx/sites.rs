//! Which server has a request, by its address and its host: servers in the order in which the first that takes it is nginx's choice.

use super::listeners;
use super::notes::Notes;
use super::server::Server;

/// A server at some of its addresses, for some hosts.
#[derive(Clone, Debug)]
pub(super) struct Site<'a, 't> {
    pub(super) server: &'a Server<'t>,
    /// The hosts; none for any.
    pub(super) hosts: Vec<String>,
    pub(super) addresses: Vec<&'a str>,
    /// Why nobody is let in.
    pub(super) refusal: Option<String>,
}

/// Why hosts that no other name takes are refused.
const NAMES: &str = "another server there has names that routes cannot ask for";

/// All of them: exact names before wildcards, the longest of which comes first, and those for any host behind all.
pub(super) fn in_order<'a, 't>(servers: &'a [Server<'t>], notes: &Notes) -> Vec<Site<'a, 't>> {
    let mut sites: Vec<Site<'_, '_>> = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        let is_default = |address: &str| listeners::default_at(address, servers) == Some(at);
        let (own, others): (Vec<&str>, Vec<&str>) =
            server.listens.iter().map(|listen| listen.address.as_str()).partition(|address| is_default(address));
        // the default may have any host but those that a name of another server takes, which nobody knows here
        let (unsure, sure): (Vec<&str>, Vec<&str>) = own.iter().copied().partition(|address| {
            let others = servers.iter().enumerate().filter(|(other, _)| *other != at);
            others.filter(|(_, other)| other.has_unsaid_names).any(|(_, other)| other.listens_at(address))
        });
        let site = |hosts: &[String], addresses: &[&'a str], refusal: Option<&str>| Site {
            server,
            hosts: hosts.to_vec(),
            addresses: addresses.to_vec(),
            refusal: refusal.map(str::to_owned),
        };
        let mut here = Vec::new();
        for (hosts, addresses) in named(at, servers) {
            let is_taken = hosts.iter().any(|host| is_below_another(host, server, servers));
            let needs_names = |address: &&str| others.contains(address) || is_taken || !unsure.is_empty();
            let addresses: Vec<&str> = addresses.into_iter().filter(needs_names).collect();
            here.extend(by_precedence(hosts, server, servers).iter().map(|hosts| site(hosts, &addresses, None)));
        }
        if here.is_empty() && own.is_empty() {
            let why = if server.has_unsaid_names {
                "routes cannot ask for its names; hosts that no other name takes are answered with 403"
            } else {
                "no name is its own, and another server is the default at its addresses"
            };
            notes.leave_out(server.directive, why);
        }
        here.push(site(&[], &sure, None));
        if !unsure.is_empty() {
            notes.name(server.directive, &format!("{NAMES}; hosts that no name takes are answered with 403"));
        }
        here.push(site(&[], &unsure, Some(NAMES)));
        sites.extend(here.into_iter().filter(|site| !site.addresses.is_empty()));
    }
    let mut sites: Vec<Site<'_, '_>> =
        sites.into_iter().flat_map(|site| by_certificates(site, servers, notes)).collect();
    sites.sort_by_key(|Site { hosts, .. }| {
        let longest = hosts.iter().filter(|host| host.starts_with('*')).map(String::len).max();
        (hosts.is_empty(), longest.is_some(), usize::MAX - longest.unwrap_or(0))
    });
    sites
}

/// The names of a server with the addresses where they are its own: of servers with one name at an address, the first has it.
fn named<'a>(at: usize, servers: &'a [Server<'_>]) -> Vec<(Vec<String>, Vec<&'a str>)> {
    let mut all: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for address in servers[at].listens.iter().map(|listen| listen.address.as_str()) {
        let is_taken = |host: &&String| {
            servers[..at].iter().any(|earlier| earlier.listens_at(address) && earlier.hosts.contains(host))
        };
        let hosts: Vec<String> = servers[at].hosts.iter().filter(|host| !is_taken(host)).cloned().collect();
        match all.iter_mut().find(|(known, _)| *known == hosts) {
            _ if hosts.is_empty() => {}
            Some((_, addresses)) => addresses.push(address),
            None => all.push((hosts, vec![address])),
        }
    }
    all
}

/// Names in groups that another server's names come between: exact ones, and each wildcard.
fn by_precedence(hosts: Vec<String>, server: &Server<'_>, servers: &[Server<'_>]) -> Vec<Vec<String>> {
    let has_wildcards = |hosts: &[String]| hosts.iter().any(|host| host.starts_with('*'));
    let others_have = servers.iter().any(|other| !std::ptr::eq(other, server) && has_wildcards(&other.hosts));
    if !others_have || !has_wildcards(&hosts) {
        return vec![hosts];
    }
    let (wildcards, exact): (Vec<String>, Vec<String>) = hosts.into_iter().partition(|host| host.starts_with('*'));
    let exact = (!exact.is_empty()).then_some(exact);
    exact.into_iter().chain(wildcards.into_iter().map(|wildcard| vec![wildcard])).collect()
}

/// Whether a wildcard of another server takes a host, too.
fn is_below_another(host: &str, server: &Server<'_>, servers: &[Server<'_>]) -> bool {
    let others = servers.iter().filter(|other| !std::ptr::eq(*other, server));
    let wildcards = others.flat_map(|other| &other.hosts).filter_map(|host| host.strip_prefix('*'));
    wildcards.into_iter().any(|suffix| host.ends_with(suffix))
}

/// The site where the listener asks for the certificates that the server wants, and where it does not.
fn by_certificates<'a, 't>(site: Site<'a, 't>, servers: &[Server<'t>], notes: &Notes) -> Vec<Site<'a, 't>> {
    let refusal = |address: &str| listeners::unverified(site.server, address, servers);
    let (refused, said): (Vec<&str>, Vec<&str>) =
        site.addresses.iter().copied().partition(|address| refusal(address).is_some());
    let why = refused.first().and_then(|address| refusal(address));
    if let Some(why) = &why {
        let why = format!("{why}; its requests there are answered with 403");
        if site.server.listens.iter().all(|listen| refusal(&listen.address).is_some()) {
            notes.leave_out(site.server.directive, &why);
        } else {
            notes.name(site.server.level.last("ssl_verify_client").unwrap_or(site.server.directive), &why);
        }
    }
    let closed = Site { addresses: refused, refusal: why.or(site.refusal.clone()), ..site.clone() };
    let open = Site { addresses: said, ..site };
    [closed, open].into_iter().filter(|site| !site.addresses.is_empty()).collect()
}
