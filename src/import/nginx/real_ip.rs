//! `set_real_ip_from`, `real_ip_header` and `real_ip_recursive`: whose word about clients' addresses counts, and where it stands.

use serde_json::{Map, Value, json};

use super::directive::Directive;
use super::interpreter::Host;
use super::level::Level;
use super::notes::Notes;

/// How a place finds out a client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RealIp {
    /// The networks of the proxies that are believed.
    from: Vec<String>,
    /// The header with the address, in lower case.
    header: String,
    /// Whether the proxies' own addresses in it are passed over.
    is_recursive: bool,
}

impl RealIp {
    /// The one of the gateway, which is that of the first place that has any; none where nobody is believed.
    pub(super) fn of_all(directives: &[Directive], notes: &Notes) -> Option<Self> {
        let http = Level::new(directives);
        let servers = directives.iter().filter(|block| block.name == "server");
        let places = std::iter::once(http.clone()).chain(servers.map(|server| http.within(server.children())));
        let mut of_all: Option<Self> = None;
        for level in places {
            for proxy in level.own().iter().filter(|directive| directive.name == "set_real_ip_from") {
                if !is_network(proxy.first()) && proxy.first() != "unix:" {
                    notes.leave_out(proxy, "proxies are trusted by their addresses");
                }
            }
            let here = Self::at(&level);
            let networks = here.from.iter().filter(|network| is_network(network)).cloned();
            match &mut of_all {
                Some(all) => networks.for_each(|network| {
                    if !all.from.contains(&network) {
                        all.from.push(network);
                    }
                }),
                None if here.from.is_empty() => {}
                None => of_all = Some(Self { from: networks.collect(), ..here }),
            }
        }
        of_all
    }

    /// The one of a place.
    pub(super) fn at(level: &Level<'_>) -> Self {
        let from = level.all("set_real_ip_from").into_iter().map(Directive::first);
        Self {
            from: from.filter(|proxy| *proxy != "unix:").map(str::to_owned).collect(),
            header: level.word("real_ip_header").unwrap_or("X-Real-IP").to_ascii_lowercase(),
            is_recursive: level.word("real_ip_recursive") == Some("on"),
        }
    }

    /// Whether the address of a client is the same as at a place, where connections begin with PROXY protocol or not.
    fn is_that_of(&self, level: &Level<'_>, by_proxy_protocol: &[bool]) -> bool {
        let is_by_header = self.header != "proxy_protocol";
        *self == Self::at(level) && by_proxy_protocol.iter().all(|by| *by != is_by_header)
    }

    /// As the YAML writes it.
    pub(super) fn into_yaml(self, config: &mut Map<String, Value>) {
        config.insert("trusted_proxies".to_owned(), json!(self.from));
        let mut address = Map::from_iter([("header".to_owned(), json!(self.header))]);
        if !self.is_recursive {
            address.insert("recursive".to_owned(), json!(false));
        }
        config.insert("client_address".to_owned(), Value::Object(address));
    }
}

impl Host<'_, '_> {
    /// Whether a place finds out clients' addresses in another way than the gateway does.
    pub(super) fn has_other_proxies(&self, level: &Level<'_>) -> bool {
        match &self.world.real_ip {
            Some(all) => !all.is_that_of(level, &self.by_proxy_protocol),
            // the gateway believes nobody, or itself, and then no rule is by address
            None => !RealIp::at(level).from.is_empty(),
        }
    }
}

fn is_network(proxy: &str) -> bool {
    let address = proxy.split('/').next().unwrap_or_default();
    address.parse::<std::net::IpAddr>().is_ok()
}
