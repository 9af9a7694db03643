//! Where secrets stand in a text that need not be YAML: in URLs, under names that say so, and in shapes that keys have.

use std::ops::Range;

/// Text before the colon of a URL's user info that is longer is a token, not a user's name; in bytes.
const MAX_USER: usize = 16;

/// Where secrets stand.
pub(crate) fn find(text: &str, plain_keys: &[String]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    urls(text, &mut found);
    named(text, plain_keys, &mut found);
    shaped(text, &mut found);
    found.into_iter().flat_map(|range| without_variables(text, range)).collect()
}

/// User and password of URLs, and the paths of webhooks, which are secrets as a whole.
pub(crate) fn urls(text: &str, found: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("://") {
        let scheme = text[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let quote = scheme.and_then(|before| text[before..].chars().next()).filter(|c| matches!(c, '"' | '\'' | '`'));
        let start = at + "://".len();
        let ends = |c: char| match quote {
            Some(quote) => c == quote || c == '\n',
            None => c.is_whitespace() || matches!(c, '"' | '\'' | '`'),
        };
        let end = start + text[start..].find(ends).unwrap_or(text.len() - start);
        let url = &text[start..end];
        if let Some(user) = url.rfind('@') {
            let password = url[..user].split_once(':').map_or("", |(_, password)| password);
            // a user is told where its password is in a variable alone
            if without_variables(password, 0..password.len()).is_empty() && !password.is_empty() {
                continue;
            }
            let name = url[..user].find(':').filter(|length| *length < MAX_USER);
            found.push(start + name.map_or(0, |length| length + 1)..start + user);
        } else if !url.starts_with('[') {
            // a password whose `@host` was forgotten
            let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
            let password = authority.split_once(':').map(|(_, port)| port.trim_end_matches(['}', ']', ',']));
            if password.is_some_and(|port| !port.contains('$') && port.contains(|c: char| !c.is_ascii_digit())) {
                found.push(start + authority.find(':').map_or(0, |at| at + 1)..end);
            }
        }
        let near = text[..start].rmatch_indices('\n').nth(1).map_or(0, |(line, _)| line);
        if text[near..end].to_ascii_lowercase().contains("hook")
            && let Some(path) = url.find(['/', '?'])
        {
            found.push(start + path..end);
        }
    }
}

/// Values whose names say that they are secret: `password: x`, `"x-api-key": x`, `?token=x`.
fn named(text: &str, plain_keys: &[String], found: &mut Vec<Range<usize>>) {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut at = 0;
    while let Some(start) = text[at..].find(is_name).map(|start| at + start) {
        let end = start + text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
        at = end;
        let rest = text[end..].trim_start_matches(['"', '\'']);
        let spaced = rest.trim_start_matches([' ', '\t']);
        let Some(separator) = spaced.chars().next().filter(|c| matches!(c, ':' | '=')) else {
            // a colon that was forgotten
            let before = text[..start].trim_end_matches([' ', '\t']);
            let begins = before.is_empty() || before.ends_with(['\n', '-', '{', ',']);
            if begins && spaced.len() < rest.len() && is_secret(&text[start..end], spaced, plain_keys) {
                let value = text.len() - spaced.len();
                found.push(value..value + spaced.find('\n').unwrap_or(spaced.len()));
            }
            continue;
        };
        let value = text.len() - spaced.len() + separator.len_utf8();
        if text[..start].ends_with("${") {
            // a variable's default, unless it is a number such as a limit
            let default = text[value..].split(['}', '\n']).next().unwrap_or_default();
            let is_number =
                default.len() < 6 && default.strip_prefix('-').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            if is_secret(&text[start..end], default, plain_keys) && !is_number {
                found.push(value + usize::from(default.starts_with('-'))..value + default.len());
            }
            continue;
        }
        if is_secret(&text[start..end], &text[value..], plain_keys) {
            match separator {
                '=' => {
                    let value = text.len() - text[value..].trim_start_matches([' ', '\t', '"', '\'']).len();
                    let ends = |c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '`');
                    found.push(value..value + text[value..].find(ends).unwrap_or(text.len() - value));
                }
                _ => value_of_key(text, start, value, found),
            }
        }
    }
}

/// The value behind the colon of a key that begins at `key`.
fn value_of_key(text: &str, key: usize, colon: usize, found: &mut Vec<Range<usize>>) {
    let start = colon + text[colon..].len() - text[colon..].trim_start_matches([' ', '\t']).len();
    let line_start = text[..key].rfind('\n').map_or(0, |at| at + 1);
    let line_end = start + text[start..].find('\n').unwrap_or(text.len() - start);
    let rest = &text[start..line_end];
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = start + 1;
            let end = closing(&text[inside..], quote).map_or(line_end, |end| inside + end);
            found.push(inside..end);
        }
        Some('[') => {
            let end = text[start..].find(']').map_or(line_end, |end| start + end);
            found.push(start + 1..end);
        }
        Some('{') => {}
        None | Some('|' | '>' | '#' | '&' | '!' | '\r') => {
            // what stands below, unless it has keys of its own
            let indent = text[line_start..key].chars().take_while(|c| matches!(c, ' ' | '-')).count();
            let mut at = line_end + 1;
            while at < text.len() {
                let end = at + text[at..].find('\n').unwrap_or(text.len() - at);
                let line = &text[at..end];
                let content = line.trim_start_matches(' ');
                let is_item = content.starts_with("- ");
                let deeper = line.len() - content.len() > indent || is_item && line.len() - content.len() == indent;
                let is_block = rest.starts_with(['|', '>']);
                if !content.is_empty() && (!deeper || !is_block && content.contains(": ") || content.ends_with(':')) {
                    break;
                }
                let content = content.strip_prefix("- ").unwrap_or(content);
                found.push(end - content.len()..end);
                at = end + 1;
            }
            if rest.starts_with(['&', '!']) {
                found.push(start..line_end);
            }
        }
        Some(_) => {
            let before = &text[line_start..key];
            let opened = before.matches(['{', '[']).count() > before.matches(['}', ']']).count();
            let comment = rest.find(" #").unwrap_or(rest.len());
            let end = if opened {
                let ends = [", ", " }", " ]", "},", "],"].into_iter().filter_map(|end| rest.find(end)).min();
                ends.unwrap_or(comment).min(comment)
            } else {
                comment
            };
            let value = rest[..end].trim_end();
            let value = if opened { value.trim_end_matches(['}', ']', ',', ' ']) } else { value };
            // a closing brace of a variable is its own
            let closes = usize::from(value.contains("${") && rest[value.len()..].starts_with('}'));
            found.push(start..start + value.len() + closes);
        }
    }
}

/// Where a quoted text ends.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        // a quote that is doubled stands for itself
        let doubled = c == '\'' && quote == '\'' && text[at + 1..].starts_with(quote);
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if doubled => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// What looks like a key or a token wherever it stands.
fn shaped(text: &str, found: &mut Vec<Range<usize>>) {
    const SHAPES: [&str; 12] =
        ["sk-", "sk_", "rk_", "tg_", "ghp_", "github_pat_", "xoxb-", "xoxp-", "AKIA", "eyJ", "Bearer ", "Basic "];
    const SHORTEST: usize = 8;
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=' | '~');
    for shape in SHAPES {
        for (at, _) in text.match_indices(shape) {
            let start = at + shape.len();
            let length = text[start..].find(|c| !is_token(c)).unwrap_or(text.len() - start);
            let apart = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if apart && length >= SHORTEST {
                found.push(start..start + length);
            }
        }
    }
    for (at, _) in text.match_indices("-----BEGIN ") {
        let end = text[at..].find("-----END").unwrap_or(text.len() - at);
        found.push(at..at + end);
    }
}

/// Whether the value of this name is a secret. One called `key` alone is not if it begins with one of `plain_keys`.
pub(crate) fn is_secret(name: &str, value: &str, plain_keys: &[String]) -> bool {
    const PARTS: [&str; 9] =
        ["password", "passwd", "passphrase", "secret", "credential", "authorization", "webhook", "apikey", "accesskey"];
    const WORDS: [&str; 6] = ["token", "pwd", "pass", "pw", "cookie", "bearer"];
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    if PARTS.iter().any(|part| name.contains(part)) || words.iter().any(|word| WORDS.contains(word)) {
        return true;
    }
    match words.as_slice() {
        ["key"] => {
            let value = value.trim_start_matches([' ', '\t', '"', '\'']);
            !plain_keys.iter().any(|plain| value.starts_with(plain.as_str()))
        }
        [.., before, "key" | "keys"] => matches!(*before, "api" | "access" | "auth" | "signing" | "master" | "admin"),
        _ => false,
    }
}

/// The parts of a range that are not the name of a variable; the default of one is such a part.
fn without_variables(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = range.start;
    while let Some(start) = text[at..range.end].find("${").map(|start| at + start) {
        parts.push(at..start);
        let end = text[start..range.end].find('}').map_or(range.end, |end| start + end);
        let default = text[start..end].find(":-").map_or(end, |default| start + default + 2);
        parts.push(default..end);
        at = (end + 1).min(range.end);
    }
    parts.push(at..range.end);
    parts.retain(|part| part.start < part.end);
    parts
}

/// The ranges in order, those that overlap as one.
pub(crate) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
