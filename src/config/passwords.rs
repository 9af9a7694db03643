//! Passwords in URLs, which no line that is shown may hold. Reads no YAML: a line that is wrong may be no YAML.

/// The line with a star in place of every character of a password in a URL, so that columns stay true. A variable (`${NAME}`) is no
/// password; its default may be.
pub(super) fn discreet(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        // a quoted text ends with its quote, and another with a blank; a password that breaks its URL may hold all else
        let start =
            before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | ':' | '/'));
        let quote = start.chars().next_back().filter(|c| matches!(c, '"' | '\''));
        let end = match quote {
            Some(quote) => url.find(quote),
            None => url.find(char::is_whitespace),
        };
        let (url, after) = url.split_at(end.unwrap_or(url.len()));
        shown.push_str(before);
        shown.push_str(&masked(url));
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// What follows `scheme://`, without its passwords.
fn masked(url: &str) -> String {
    let colon = url.find(':');
    let password = match (colon, url.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => colon + 1..at,
        // the host may be missing; what is no port may be a password
        (Some(colon), _) => {
            let end = url[colon..].find(['/', '?', ',', '}', ']']).map_or(url.len(), |end| colon + end);
            let port = url[colon + 1..end].chars().all(|c| c.is_ascii_digit());
            if port || url.starts_with('[') { 0..0 } else { colon + 1..url.len() }
        }
        (None, _) => 0..0,
    };
    let mut shown = String::with_capacity(url.len());
    shown.push_str(&url[..password.start]);
    stars(&url[password.clone()], &mut shown);
    let mut rest = &url[password.end..];
    while let Some(at) = rest.find("password=") {
        let (before, value) = rest.split_at(at + "password=".len());
        let (value, after) = value.split_at(value.find(['&', ' ']).unwrap_or(value.len()));
        shown.push_str(before);
        stars(value, &mut shown);
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A star for each character but those of variables' names.
fn stars(secret: &str, shown: &mut String) {
    let mut rest = secret;
    while let Some(at) = rest.find("${") {
        let variable = &rest[at..];
        let name =
            variable.find(":-").map(|end| end + 2).into_iter().chain(variable.find('}').map(|end| end + 1)).min();
        let Some(end) = name else { break };
        shown.extend(rest[..at].chars().map(|_| '*'));
        shown.push_str(&variable[..end]);
        rest = &variable[end..];
    }
    shown.extend(rest.chars().map(|_| '*'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_passwords() {
        for (line, expected) in [
            ("database: postgres://u:secret@db/x", "database: postgres://u:******@db/x"),
            (
                "{ database: \"postgres://u:s@/#%c@db/x\", a: b@c }",
                "{ database: \"postgres://u:******@db/x\", a: b@c }",
            ),
            ("database: 'postgres://u:s cret@db:1/x'", "database: 'postgres://u:******@db:1/x'"),
            ("database: postgres://u:secret", "database: postgres://u:******"),
            (
                "database: postgres://db/x?password=secret&sslmode=x",
                "database: postgres://db/x?password=******&sslmode=x",
            ),
            ("database: \"mysql://u:${SECRET}@db/x\"", "database: \"mysql://u:${SECRET}@db/x\""),
            ("database: \"pg://u:${SECRET:-secret}@db/x\"", "database: \"pg://u:${SECRET:-*******@db/x\""),
            ("a: http://127.0.0.1:80/x, b: https://[::1]:8443", "a: http://127.0.0.1:80/x, b: https://[::1]:8443"),
            ("no url: at all", "no url: at all"),
        ] {
            assert_eq!(discreet(line), expected);
        }
    }
}
