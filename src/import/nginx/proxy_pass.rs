//! `proxy_pass`: which upstream, and what becomes of the path.

use super::directive::Directive;
use super::headers::{Forwarded, HostHeader};
use super::interpreter::Run;
use super::level::Level;
use super::path::Paths;
use super::route::{PathChange, Upstream};
use super::text::{Piece, Text};
use super::tree::Halt;
use super::upstream;

/// How the path changes, and the expression whose groups the new one has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Change {
    pub(super) change: Option<PathChange>,
    pub(super) path: Option<String>,
}

/// The parts of the address.
#[derive(Debug, PartialEq)]
struct Address {
    tls: bool,
    /// As the directive writes it, with what the environment fills.
    authority: String,
    /// What stands behind it.
    path: Text,
    /// Whether there was a variable in it.
    is_made: bool,
}

/// The upstream, and how the path changes.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn target(
    run: &Run<'_, '_>,
    level: &Level<'_>,
    directive: &Directive,
    forwarded: &mut Forwarded,
) -> Result<(Upstream, Change), Halt> {
    let written = directive.done().first();
    let address = address(&run.text(written)?, written.contains("$") && !Text::parse(written).is_constant())?;
    let default = default_host(&address);
    let host = match forwarded.host.take().unwrap_or(HostHeader::Upstream) {
        HostHeader::Clients if address.tls => {
            return Err(Halt::Never("the client's own Host cannot go to a server with `https`".to_owned()));
        }
        HostHeader::Clients => None,
        HostHeader::Upstream => Some(default.clone()),
        HostHeader::Fixed(host) => Some(host),
    };
    // a server knows the name of an `upstream` only where it is told
    let is_known = host.as_deref() == Some(&*default) || !upstream::is_named(run, &address.authority);
    let upstream = upstream::of(
        run,
        level,
        upstream::Wanted {
            authority: &address.authority,
            tls: address.tls,
            host,
            headers: std::mem::take(&mut forwarded.credentials),
            redirects: redirects(run, level, &address) && is_known,
        },
    )?;
    Ok((upstream, change(run, &address)?))
}

fn address(text: &Text, is_made: bool) -> Result<Address, Halt> {
    let mut pieces = text.pieces().to_vec();
    let never = |why: &str| Err(Halt::Never(format!("of its `proxy_pass`, {why}")));
    let (tls, rest) = match pieces.first() {
        Some(Piece::Literal(first)) => match first.split_once("://") {
            Some(("http", rest)) => (false, rest.to_owned()),
            Some(("https", rest)) => (true, rest.to_owned()),
            _ => return never("the address is none with http or https"),
        },
        _ => return never("the address is none with http or https"),
    };
    if rest.starts_with("unix:") {
        return never("servers have addresses, and no sockets in the file system");
    }
    pieces[0] = Piece::Literal(rest);
    let mut authority = String::new();
    let mut path = Text::default();
    let mut is_path = false;
    for piece in pieces {
        match piece {
            Piece::Literal(text) if !is_path => {
                let at = text.find('/').unwrap_or(text.len());
                authority.push_str(&text[..at]);
                is_path = at < text.len();
                path.append(Text::literal(&text[at..]));
            }
            Piece::Environment(name) if !is_path => authority.push_str(&format!("${{{name}}}")),
            // `http://name$request_uri`
            Piece::Variable(name) if !is_path && matches!(&*name, "request_uri" | "uri") && !authority.is_empty() => {
                is_path = true;
                path.append(Text::parse(&format!("${name}")));
            }
            Piece::Variable(name) if !is_path => return never(&format!("`${name}` may be any server")),
            Piece::Variable(name) => path.append(Text::parse(&format!("${name}"))),
            Piece::Literal(text) => path.append(Text::literal(&text)),
            Piece::Environment(name) => path.append(Text::parse(&format!("${{{name}}}"))),
        }
    }
    if authority.contains('@') {
        return never("the address has credentials");
    }
    if authority.is_empty() {
        never("the address names no server")
    } else {
        Ok(Address { tls, authority, path, is_made })
    }
}

/// `$proxy_host`: what nginx sends as `Host` unless it is told otherwise.
fn default_host(address: &Address) -> String {
    let usual = if address.tls { ":443" } else { ":80" };
    address.authority.strip_suffix(usual).unwrap_or(&address.authority).to_owned()
}

/// Whether redirects of the server to itself become ours.
fn redirects(run: &Run<'_, '_>, level: &Level<'_>, address: &Address) -> bool {
    match level.all("proxy_redirect").as_slice() {
        [] => !address.is_made,
        [only] if only.first() == "off" => false,
        [only] if only.first() == "default" => true,
        several => {
            for directive in several {
                run.host.world.notes.leave_out(directive, "redirects of a server to itself become ours, and no others");
            }
            true
        }
    }
}

/// What becomes of the path.
fn change(run: &Run<'_, '_>, address: &Address) -> Result<Change, Halt> {
    // a path that was written anew goes on as it is
    if address.path == Text::default() || run.rewritten.is_some() && !address.is_made {
        return Ok(Change::default());
    }
    if run.rewritten.is_some() {
        return Err(Halt::Never(format!("a path is written anew, and `{}` puts another in its place", address.path)));
    }
    if let Some(uri) = address.path.as_literal().filter(|_| !address.is_made) {
        let mut change = replaced(&run.paths, uri)?;
        if let Some(PathChange::Rewrite(template)) = &mut change.change {
            *template = run.host.world.notes.without_secrets(template);
        }
        return Ok(change);
    }
    let path = address.path.to_string();
    if matches!(path.as_str(), "$request_uri" | "$uri$is_args$args" | "$uri?$args") {
        return Ok(Change::default());
    }
    let template = address.path.template().map_err(Halt::Never)?;
    // ours keeps the query unless the new path has one
    let rewrite = match template.strip_suffix("$is_args$args") {
        Some(bare) => bare.to_owned(),
        None if template.contains('?') => template,
        None => template + "?",
    };
    Ok(Change { change: Some(PathChange::Rewrite(run.host.world.notes.without_secrets(&rewrite))), path: None })
}

/// A path that takes the place of what the location names.
fn replaced(paths: &Paths, uri: &str) -> Result<Change, Halt> {
    if uri.contains(['?', '#', '$']) {
        return Err(Halt::Never(format!("`{uri}` is no path alone")));
    }
    // nginx decodes the path and encodes it again, also where it stays the same
    let same = || Change { change: Some(PathChange::Rewrite("$uri".to_owned())), path: None };
    Ok(match paths {
        Paths::Prefix(prefix) if prefix == uri => same(),
        Paths::Prefix(prefix) if uri == "/" && prefix.ends_with('/') => {
            Change { change: Some(PathChange::Strip(prefix.trim_end_matches('/').to_owned())), path: None }
        }
        Paths::Prefix(prefix) => Change {
            change: Some(PathChange::Rewrite(format!("{uri}$1"))),
            path: Some(format!("~ ^{}((?s:.*))", regex::escape(prefix))),
        },
        Paths::Exact(_) => Change { change: Some(PathChange::Rewrite(uri.to_owned())), path: None },
        Paths::Expression { .. } | Paths::Below { .. } | Paths::Any => {
            return Err(Halt::Never("nginx takes no path behind the server of a location by expression".to_owned()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_server_and_perhaps_a_path() {
        let parsed = |text: &str| address(&Text::parse(text), false).unwrap();
        let of = |text: &str| (parsed(text).tls, parsed(text).authority, parsed(text).path.to_string());
        assert_eq!(of("http://api"), (false, "api".to_owned(), String::new()));
        assert_eq!(of("https://a:8443/v1/"), (true, "a:8443".to_owned(), "/v1/".to_owned()));
        assert_eq!(of("http://${H}:80"), (false, "${H}:80".to_owned(), String::new()));
        assert_eq!(of("http://api:3080$request_uri"), (false, "api:3080".to_owned(), "$request_uri".to_owned()));
        for wrong in ["api", "ftp://a", "http://unix:/x", "http://$backend", "http://"] {
            assert!(address(&Text::parse(wrong), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_place_of_the_locations_name_is_taken() {
        let prefix = |path: &str| Paths::Prefix(path.to_owned());
        let rewrite = |path: &str, template: &str| Change {
            change: Some(PathChange::Rewrite(template.to_owned())),
            path: Some(path.to_owned()),
        };
        let same = || Change { change: Some(PathChange::Rewrite("$uri".to_owned())), path: None };
        for (location, uri, expected) in [
            ("/a/", "/a/", same()),
            ("/", "/", same()),
            ("/a/", "/", Change { change: Some(PathChange::Strip("/a".to_owned())), path: None }),
            ("/a", "/", rewrite("~ ^/a((?s:.*))", "/$1")),
            ("/a/", "/b/", rewrite("~ ^/a/((?s:.*))", "/b/$1")),
            ("/", "/b", rewrite("~ ^/((?s:.*))", "/b$1")),
        ] {
            assert_eq!(replaced(&prefix(location), uri).unwrap(), expected, "{location} {uri}");
        }
    }
}
