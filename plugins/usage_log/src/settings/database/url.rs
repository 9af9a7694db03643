//! The URL of a Postgres database, read strictly: what the driver would pass over or take for something else is an error here. No error
//! repeats what may be a part of a password.

use std::net::IpAddr;

/// What is shown of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host`, `host:port`, `[::1]:5432`, or the folder of a socket.
    pub(super) host: String,
    /// The database's name.
    pub(super) name: String,
}

/// The parameters that the driver knows, but for `options[NAME]`.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const BROKEN: &str = "a `@`, `:`, `/`, `?`, `#` or `%` in a user's name or a password is written `%40`, `%3A`, `%2F`, `%3F`, `%23` or `%25`";

/// Reads what follows `postgres://`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(rest: &str) -> Result<Place, String> {
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the database's URL has a blank in it".into());
    }
    if rest.contains('#') {
        return Err(format!("the database's URL has a `#` in it; {BROKEN}"));
    }
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (authority, path) = before.split_once('/').map_or((before, None), |(authority, path)| (authority, Some(path)));
    let misplaced = path.is_some_and(|path| path.contains('@')) || authority.matches('@').count() > 1;
    let swallowed = !authority.contains('@') && query.is_some_and(|query| query.split('&').any(is_end_of_password));
    if misplaced || swallowed {
        return Err(format!("the database's URL has a `@` where none may be; {BROKEN}"));
    }
    let (user, host) = authority.split_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        if password.contains(':') {
            return Err(format!("the database's URL has two `:` before its `@`; {BROKEN}"));
        }
        decoded(name, "the user's name in the database's URL")?;
        decoded(password, "the password in the database's URL")?;
    }
    let mut place = Place { host: self::host(host)?, name: name(path)? };
    let mut seen = Vec::new();
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decoded(key, "a parameter of the database's URL")?;
        let value = decoded(value, "a parameter of the database's URL")?;
        parameter(&key, &value, &mut place)?;
        if seen.contains(&key) {
            return Err(format!("the database's URL has the parameter `{key}` twice"));
        }
        seen.push(key);
    }
    if place.host.is_empty() {
        return Err("the database's URL names no host".into());
    }
    if place.name.is_empty() {
        return Err("the database's URL names no database".into());
    }
    Ok(place)
}

/// Whether a parameter is what follows a `?` of a password.
fn is_end_of_password(pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    key.contains('@') || pair.contains('@') && !PARAMETERS.contains(&key) && !key.starts_with("options[")
}

/// `host`, `host:port`, `[::1]`, or a folder whose slashes are written `%2F`. None where a parameter names it.
fn host(host: &str) -> Result<String, String> {
    let wrong = || Err("the database's URL has a host that is none".to_owned());
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) => {
                (format!("[{address}]"), port.strip_prefix(':').or((!port.is_empty()).then_some("")))
            }
            _ => return wrong(),
        },
        None => {
            let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
            (decoded(name, "the host in the database's URL")?, port)
        }
    };
    if name.contains(',') {
        return Err("the database's URL names several hosts; it has one".into());
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.starts_with(['/', '[']) && !name.chars().all(plain) {
        return wrong();
    }
    match port {
        None => Ok(name),
        Some(_) if name.is_empty() => Ok(name),
        Some(port) => Ok(format!("{name}:{}", self::port(port)?)),
    }
}

fn port(port: &str) -> Result<u16, String> {
    let number = port.chars().all(|c| c.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    // what stands in its place may be a password whose `@` is missing
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| "the database's URL has a port that is no number from 1 to 65535".into())
}

fn name(path: Option<&str>) -> Result<String, String> {
    let path = path.unwrap_or_default();
    if path.contains('/') {
        return Err("the database's URL names a database with a `/`; write it `%2F`".into());
    }
    decoded(path, "the name of the database in its URL")
}

/// Sees that the driver takes a parameter for what it says. Where it is the place, that is what is shown.
fn parameter(key: &str, value: &str, place: &mut Place) -> Result<(), String> {
    if let Some(setting) = key.strip_prefix("options[").and_then(|rest| rest.strip_suffix(']')) {
        return if setting.is_empty() {
            Err("`options[]` in the database's URL names no setting".into())
        } else {
            Ok(())
        };
    }
    if !PARAMETERS.contains(&key) {
        let word = key.len() <= 40 && key.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-'));
        let which = if word && !key.is_empty() {
            format!("the parameter `{key}`, which is unknown")
        } else {
            "an unknown parameter".into()
        };
        let known = PARAMETERS.map(|name| format!("`{name}`"));
        return Err(format!("the database's URL has {which}; known are {}, `options[NAME]`", known.join(", ")));
    }
    if value.is_empty() {
        return Err(format!("the parameter `{key}` of the database's URL is empty"));
    }
    match key {
        "sslmode" | "ssl-mode" if !SSL_MODES.contains(&value.to_ascii_lowercase().as_str()) => {
            let known = SSL_MODES.map(|mode| format!("`{mode}`")).join(", ");
            Err(format!("the parameter `{key}` of the database's URL is unknown; known are {known}"))
        }
        "hostaddr" if value.parse::<IpAddr>().is_err() => {
            Err("the parameter `hostaddr` of the database's URL is no address".into())
        }
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            Err(format!("the parameter `{key}` of the database's URL is no number"))
        }
        "host" | "hostaddr" => {
            if value.contains(',') {
                return Err("the database's URL names several hosts; it has one".into());
            }
            value.clone_into(&mut place.host);
            Ok(())
        }
        "port" => {
            let port = port(value)?;
            let known = place.host.rfind(':').filter(|at| !place.host[*at..].contains(']'));
            place.host.truncate(known.unwrap_or(place.host.len()));
            place.host = format!("{}:{port}", place.host);
            Ok(())
        }
        "dbname" => {
            value.clone_into(&mut place.name);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What `%XX` stands for is put in its place.
fn decoded(text: &str, what: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(format!("{what} has a `%` that is no `%XX`; {BROKEN}"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    if bytes.contains(&0) {
        return Err(format!("{what} has a NUL in it"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{what} is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_sound_says_where_the_database_is() {
        for (url, host, name) in [
            ("db/ledger", "db", "ledger"),
            ("u:p%40ss%23%2F%3F%25@db:5433/ledger?sslmode=require", "db:5433", "ledger"),
            ("u@[::1]:5432/l", "[::1]:5432", "l"),
            ("u@%2Frun%2Fpostgresql/l", "/run/postgresql", "l"),
            ("/l?host=/run/postgresql&user=u&password=c@ret", "/run/postgresql", "l"),
            ("db?dbname=l&port=6432", "db:6432", "l"),
            ("db:1/l?port=6432&options[search_path]=x&application_name=y", "db:6432", "l"),
            ("u:@db/l?sslmode=VERIFY-full", "db", "l"),
        ] {
            assert_eq!(parse(url), Ok(Place { host: host.into(), name: name.into() }), "{url}");
        }
    }

    #[test]
    fn what_breaks_a_url_is_told_and_a_password_never_is() {
        for (url, what) in [
            ("u:sec@ret@db/l", "`@` where none may be"),
            ("u:sec/ret@db/l", "`@` where none may be"),
            ("u:1?secret@db/l", "`@` where none may be"),
            ("u:1?secret=x@db/l", "`@` where none may be"),
            ("u:sec#ret@db/l", "has a `#`"),
            ("u:sec%ret@db/l", "`%` that is no `%XX`"),
            ("u:secret%@db/l", "`%` that is no `%XX`"),
            ("u:secret%4@db/l", "`%` that is no `%XX`"),
            ("u:secret%ff@db/l", "is no UTF-8"),
            ("u:sec:ret@db/l", "two `:`"),
            ("u:sec ret@db/l", "has a blank"),
            ("u:secret", "a port that is no number"),
            ("u:secret@db:0/l", "a port that is no number from 1 to 65535"),
            ("u:secret@db:65536/l", "a port that is no number"),
            ("u:secret@db:+1/l", "a port that is no number"),
            ("u:secret@db:/l", "a port that is no number"),
            ("u:secret@db/l?port=0", "a port that is no number"),
            ("u:secret@/l", "names no host"),
            ("u:secret@:5432/l", "names no host"),
            ("", "names no host"),
            ("u:secret@db", "names no database"),
            ("u:secret@db/", "names no database"),
            ("u:secret@db/?dbname=", "`dbname` of the database's URL is empty"),
            ("u:secret@db//l", "with a `/`"),
            ("u:secret@db/l/", "with a `/`"),
            ("u:secret@a,b/l", "several hosts"),
            ("u:secret@d|b/l", "a host that is none"),
            ("u:secret@[::1/l", "a host that is none"),
            ("u:secret@db/l?sslmode=requird", "`sslmode` of the database's URL is unknown; known are `disable`"),
            ("u:secret@db/l?sslmode=", "`sslmode` of the database's URL is empty"),
            ("u:secret@db/l?sslmod=require", "the parameter `sslmod`, which is unknown; known are `sslmode`"),
            ("u:secret@db/l?SSLMODE=require", "an unknown parameter"),
            ("u:secret@db/l?sslmode=require&sslmode=require", "`sslmode` twice"),
            ("u:secret@db/l?hostaddr=db", "is no address"),
            ("u:secret@db/l?", "an unknown parameter"),
            ("u:secret@db/l?statement-cache-capacity=x", "is no number"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(what) && !error.contains("ret"), "{url}: {error}");
        }
    }
}
