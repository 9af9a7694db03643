//! The listeners, with the certificates of the servers that listen there.

use serde_json::{Map, Value, json};

use super::interpreter::World;
use super::level::Level;
use super::listen::Listen;
use super::server::Server;

/// The addresses of all servers, each once, in the order in which they first stand.
pub(super) fn addresses(servers: &[Server<'_>]) -> Vec<Listen> {
    let mut all: Vec<Listen> = Vec::new();
    for listen in servers.iter().flat_map(|server| &server.listens) {
        match all.iter_mut().find(|known| known.address == listen.address) {
            Some(known) => {
                known.tls |= listen.tls;
                known.proxy_protocol |= listen.proxy_protocol;
            }
            None => all.push(listen.clone()),
        }
    }
    all
}

/// The server that takes names at an address which no other has: the one that says so, or the first.
pub(super) fn default_at(address: &str, servers: &[Server<'_>]) -> Option<usize> {
    let listen_of = |server: &Server<'_>| server.listens.iter().find(|listen| listen.address == address).cloned();
    let says_so = servers.iter().position(|server| listen_of(server).is_some_and(|listen| listen.is_default));
    says_so.or_else(|| servers.iter().position(|server| listen_of(server).is_some()))
}

/// The listeners as the YAML writes them.
pub(super) fn yaml(servers: &[Server<'_>], world: &World<'_, '_>) -> Vec<Value> {
    let all = addresses(servers);
    all.iter().map(|listen| listener(listen, servers, world)).collect()
}

fn listener(listen: &Listen, servers: &[Server<'_>], world: &World<'_, '_>) -> Value {
    let mut settings = Map::from_iter([("address".to_owned(), json!(listen.address))]);
    if listen.proxy_protocol {
        settings.insert("proxy_protocol".to_owned(), json!(true));
    }
    if listen.tls {
        let default = default_at(&listen.address, servers);
        let mut here: Vec<(usize, &Server<'_>)> = servers.iter().enumerate().collect();
        here.retain(|(_, server)| server.listens.iter().any(|own| own.address == listen.address));
        here.sort_by_key(|(at, _)| Some(*at) != default);
        let levels: Vec<&Level<'_>> = here.iter().map(|(_, server)| &server.level).collect();
        settings.insert("tls".to_owned(), Value::Object(tls(&levels, here[0].1, world)));
    }
    Value::Object(settings)
}

/// TLS of a listener: certificates of all of its servers, and what the first of them says.
fn tls(levels: &[&Level<'_>], first: &Server<'_>, world: &World<'_, '_>) -> Map<String, Value> {
    let mut certificates: Vec<Value> = Vec::new();
    for level in levels {
        let pairs = level.all("ssl_certificate").into_iter().zip(level.all("ssl_certificate_key"));
        for (certificate, key) in pairs {
            let pair = json!({ "certificate": certificate.first(), "private_key": key.first() });
            if !certificates.contains(&pair) {
                certificates.push(pair);
            }
        }
    }
    if certificates.is_empty() {
        let why = "it speaks TLS without a certificate; set TLS_CERTIFICATE and TLS_PRIVATE_KEY to its files";
        world.notes.name(first.directive, why);
        certificates.push(json!({ "certificate": "${TLS_CERTIFICATE}", "private_key": "${TLS_PRIVATE_KEY}" }));
    }
    let mut tls = Map::from_iter([("certificates".to_owned(), json!(certificates))]);
    let level = &first.level;
    let versions: Vec<&str> =
        level.last("ssl_protocols").iter().flat_map(|all| &all.args).map(String::as_str).collect();
    match &*versions {
        ["TLSv1.3"] => drop(tls.insert("min_version".to_owned(), json!("1.3"))),
        versions if versions.iter().any(|version| matches!(*version, "TLSv1" | "TLSv1.1" | "SSLv3" | "SSLv2")) => {
            world.notes.remark("TLS 1.2 is the oldest version that is spoken; older ones of `ssl_protocols` are not.");
        }
        _ => {}
    }
    if let Some(verify) = level.last("ssl_verify_client").filter(|verify| verify.first() == "optional_no_ca") {
        world.notes.leave_out(verify, "a certificate of a client is verified, or not asked for");
    }
    let asked = Certificates::of(level);
    if asked != Certificates::None && levels.iter().any(|level| Certificates::of(level) == Certificates::None) {
        world.notes.remark("All servers at an address ask clients for certificates as its default server does.");
    }
    let wanted = match asked {
        Certificates::Required(file) => Some((file, "required")),
        Certificates::Optional(file) => Some((file, "optional")),
        Certificates::None | Certificates::Unsaid(_) => None,
    };
    if let Some((file, word)) = wanted {
        tls.insert("client_ca".to_owned(), json!(file));
        tls.insert("client_certificates".to_owned(), json!(word));
    }
    tls
}

/// The certificates that a server wants of clients.
#[derive(Debug, PartialEq, Eq)]
enum Certificates<'t> {
    /// None.
    None,
    /// Those of these authorities, of clients that have one.
    Optional(&'t str),
    /// Those of these authorities.
    Required(&'t str),
    /// Some by more than their authorities, and by what.
    Unsaid(String),
}

impl<'t> Certificates<'t> {
    fn of(level: &Level<'t>) -> Self {
        let word = level.word("ssl_verify_client").unwrap_or("off");
        let more = ["ssl_crl", "ssl_ocsp"].into_iter().find(|name| level.word(name).is_some_and(|word| word != "off"));
        match (word, level.word("ssl_client_certificate"), more) {
            // whoever has one that does not verify is let in, too
            ("off" | "optional_no_ca", ..) => Self::None,
            ("on", Some(file), None) => Self::Required(file),
            ("optional", Some(file), None) => Self::Optional(file),
            (_, _, Some(more)) => Self::Unsaid(format!("certificates of clients are verified by `{more}`")),
            _ => Self::Unsaid(format!("certificates of clients are verified by `ssl_verify_client {word}`")),
        }
    }
}

/// Why clients with certificates that a server refuses would come in at an address, whose listener asks as its default server does.
pub(super) fn unverified(server: &Server<'_>, address: &str, servers: &[Server<'_>]) -> Option<String> {
    let is_tls = addresses(servers).iter().any(|listen| listen.address == address && listen.tls);
    let default = default_at(address, servers).filter(|_| is_tls).map(|at| &servers[at])?;
    let (asked, wanted) = (Certificates::of(&default.level), Certificates::of(&server.level));
    let why = || Some("another server there decides which certificates clients must have".to_owned());
    match (wanted, asked) {
        (Certificates::Unsaid(why), _) => Some(why),
        (Certificates::None, _) | (Certificates::Optional(_), Certificates::None) => None,
        (Certificates::Required(wanted), Certificates::Required(asked)) if wanted == asked => None,
        (Certificates::Optional(wanted), Certificates::Required(asked) | Certificates::Optional(asked))
            if wanted == asked =>
        {
            None
        }
        _ => why(),
    }
}
