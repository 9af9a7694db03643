//! What may be a secret in a configuration. None is repeated, neither in the YAML nor in a message.

use std::ops::Range;

/// Words of names that hold secrets, and how such words end.
const WORDS: [&str; 17] = [
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "cred",
    "credential",
    "credentials",
    "jwt",
    "pass",
    "passphrase",
    "pwd",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
];
const ENDINGS: [&str; 6] = ["key", "keys", "secret", "token", "password", "passwd"];
/// What the secrets of well-known issuers begin with.
const BEGINNINGS: [&str; 14] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "hf_",
    "gsk_",
    "nvapi-",
    "xox",
    "AKIA",
    "eyJ",
];
/// The shortest run of letters and digits that is taken for a secret by its look.
const SHORTEST: usize = 16;
/// Words of credentials that are no secrets themselves.
const SCHEMES: [&str; 8] = ["apikey", "basic", "bearer", "digest", "hmac", "key", "negotiate", "token"];

/// Whether a header, a parameter or a variable of this name holds a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        WORDS.contains(&word)
            || ENDINGS.iter().any(|end| word.ends_with(end))
            || word.ends_with("secrets")
            || word.ends_with("tokens")
    })
}

/// Whether a value looks like a secret.
pub(super) fn looks_like_a_secret(value: &str) -> bool {
    tokens(value).any(|token| is_secret(&value[token]))
}

/// Whether an expression on what holds a secret has parts of one, and not only its form.
pub(super) fn has_literals(expression: &str) -> bool {
    let mut literal = String::new();
    let mut rest = expression.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                rest.next();
                literal.push(' ');
            }
            '[' | '{' => {
                let end = if c == '[' { ']' } else { '}' };
                let _ = rest.by_ref().find(|c| *c == end);
                literal.push(' ');
            }
            // flags and names of groups
            '?' if literal.ends_with('(') => {
                let _ = rest.by_ref().find(|c| matches!(c, ':' | '>' | ')' | '=' | '!'));
            }
            c => literal.push(c),
        }
    }
    let mut words = literal.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.any(|word| !SCHEMES.contains(&word.to_ascii_lowercase().as_str()))
}

/// A text for a message, with dots in the place of what may be secrets.
pub(super) fn redacted(text: &str) -> String {
    replaced(text, |_| "…".to_owned())
}

/// A text with what may be secrets in it replaced: values of parameters by their names, passwords of addresses, and what looks so.
pub(super) fn replaced(text: &str, mut by: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut at = 0;
    for range in secrets(text) {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(&by(&text[range.clone()]));
            at = range.end;
        }
    }
    out + &text[at..]
}

/// Where secrets may stand.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = tokens(text).filter(|token| is_secret(&text[token.clone()])).collect();
    let query = text.find('?').map_or(text.len(), |at| at + 1);
    let mut start = query;
    for pair in text[query..].split(['&', ' ', '`']) {
        let length = pair.len();
        if let Some((name, value)) = pair.split_once('=')
            && names_a_secret(name)
            && !value.is_empty()
            && !value.contains('$')
        {
            found.push(start + name.len() + 1..start + length);
        }
        start += length + 1;
    }
    if let Some(scheme) = text.find("://") {
        let authority = &text[scheme + 3..];
        let authority = &authority[..authority.find(['/', '?', ' ', '`']).unwrap_or(authority.len())];
        if let Some((credentials, _)) = authority.split_once('@') {
            found.push(scheme + 3..scheme + 3 + credentials.len());
        }
    }
    found.sort_by_key(|range| (range.start, usize::MAX - range.end));
    found
}

/// Runs of what secrets are made of, but for names of variables.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(is_part)?;
            let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |length| start + length);
            at = end;
            if !text[..start].ends_with(['$', '{']) {
                return Some(start..end);
            }
        }
    })
}

fn is_secret(token: &str) -> bool {
    let is_known = BEGINNINGS.iter().any(|beginning| token.len() > beginning.len() + 3 && token.starts_with(beginning));
    let is_mixed = |run: &str| {
        run.len() >= SHORTEST
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    is_known || token.split(['-', '_']).any(is_mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_holds_a_secret() {
        for name in ["authorization", "X-Api-Key", "apikey", "x_auth", "access_token", "cookie", "client-secret", "sig"]
        {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["x-author", "x-version", "host", "keyword", "x-bypass", "accept"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn an_expression_may_have_the_form_of_a_secret_alone() {
        for (expression, has) in [
            ("^Bearer .+$", false),
            ("^(?:Bearer|Basic) [A-Za-z0-9_-]{20,}$", false),
            (r"^Bearer\s+(?<token>\S+)", false),
            ("(?i)bearer", false),
            ("^Bearer sk-", true),
            ("^(abc|def)$", true),
        ] {
            assert_eq!(has_literals(expression), has, "{expression}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_replaced() {
        for (text, expected) in [
            ("/x?api_key=abc&y=1", "/x?api_key=…&y=1"),
            ("/x?y=$1&token=${T}", "/x?y=$1&token=${T}"),
            ("https://u:p@a.test/x", "https://…@a.test/x"),
            ("say sk-abcdef please", "say … please"),
            ("/hook/AbCdEf0123456789/x", "/hook/…/x"),
            ("/v1/models-2025-12-24-preview", "/v1/models-2025-12-24-preview"),
            ("$http_authorization0123456789", "$http_authorization0123456789"),
            ("`/x?key=a` is no path", "`/x?key=…` is no path"),
            ("é?sid=é", "é?sid=…"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }
}
