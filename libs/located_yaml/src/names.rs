//! Names in messages: quoted, listed, and the nearest known one for a name that is not known.

/// A value for a message: as the file writes it, shortened if it is long.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// `a`, `b`, `c`.
#[must_use]
pub fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The message for an unknown name: the name that may have been meant, and those that are known. `written` is what the
/// file says in the name's place.
///
/// ```
/// let message = located_yaml::unknown("upstream", "opnai", "opnai", &["anthropic", "openai"]);
/// assert_eq!(message, "unknown upstream `opnai`; did you mean `openai`? known are `anthropic`, `openai`");
/// ```
#[must_use]
pub fn unknown(noun: &str, name: &str, written: &str, known: &[&str]) -> String {
    let found = quote(written);
    match (nearest(name, known), known) {
        (Some(near), [_]) => format!("unknown {noun} {found}; did you mean `{near}`?"),
        (Some(near), _) => format!("unknown {noun} {found}; did you mean `{near}`? known are {}", list(known)),
        (None, []) => format!("unknown {noun} {found}; there are none"),
        (None, [only]) => format!("unknown {noun} {found}; the only one is `{only}`"),
        (None, _) => format!("unknown {noun} {found}; known are {}", list(known)),
    }
}

/// The known name that was most likely meant, if any is likely.
#[must_use]
pub fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 100;
    if found.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let found = plain(found);
    let distance = |name: &&str| strsim::damerau_levenshtein(&found, &plain(name));
    let best = known.iter().copied().min_by_key(distance)?;
    let allowed = (found.chars().count().max(best.chars().count()) / 3).max(1);
    (distance(&best) <= allowed).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_if_it_is_near() {
        let known = ["listeners", "upstreams", "max_body", "log", "on"];
        for (found, name) in [
            ("listener", Some("listeners")),
            ("upsteams", Some("upstreams")),
            ("max-body", Some("max_body")),
            ("maxBody", Some("max_body")),
            ("lgo", Some("log")),
            ("no", Some("on")),
            ("tls", None),
            ("entirely_else", None),
        ] {
            assert_eq!(nearest(found, &known), name, "{found}");
        }
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
