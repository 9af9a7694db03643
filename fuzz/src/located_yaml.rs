//! The YAML reader: it never panics, every error has a place inside of the file, and what it and libyaml (by `serde_norway`) both
//! read is the same tree.

use located_yaml::Reader;
use serde_json::Value;

/// Checks one file.
pub fn check(input: &[u8]) {
    let variable = |name: &str| match name {
        "SET" => Some("a: [b".to_owned()),
        "NUMBER" => Some("12".to_owned()),
        _ => None,
    };
    let reader = Reader::new(&variable);
    let text = match reader.text("file", input) {
        Ok(text) => text,
        Err(errors) => {
            assert!(std::str::from_utf8(input).is_err());
            return check_places(&errors, &String::from_utf8_lossy(input));
        }
    };
    // to the parser below the reader, a block scalar at the end has a line end even where the file has none
    let ended = format!("{text}\n");
    let text = if text.ends_with('\n') { text } else { &ended };
    match reader.read::<Value>("file", text, |_, _| {}) {
        Err(errors) => check_places(&errors, text),
        Ok(document) => {
            assert!(document.warnings.is_empty(), "no key has another name");
            // variables are ours alone; of a byte order mark the other makes text, and its YAML 1.1 has other line ends, anchors,
            // keys with `?`, and comments within a text that is the whole document
            if document.value.is_string() {
                return;
            }
            let differs = ["${", "?", "\u{FEFF}", "\u{85}", "\u{2028}", "\u{2029}"];
            if differs.iter().any(|text_of_ours| text.contains(text_of_ours))
                || has_new_anchor(text)
                || has_anchor_twice(text)
                || has_scalar_with_colon_first(text)
            {
                return;
            }
            let Ok(other) = serde_norway::from_str::<serde_norway::Value>(text) else { return };
            assert!(is_same(&document.value, &other), "ours: {}\nthe other: {other:?}", document.value);
        }
    }
}

fn check_places(errors: &located_yaml::ConfigErrors, text: &str) {
    // a lone CR ends a line of YAML, but not of a file, nor within `${…}`: with both, neither count holds
    let is_mixed = text.contains("${") && text.replace("\r\n", "\n").contains('\r');
    let views = [text.to_owned(), text.replace("\r\n", "\n").replace('\r', "\n")];
    let mut some = false;
    for error in errors.iter() {
        some = true;
        let (line, column) = (error.location.line, error.location.column);
        let is_inside = |view: &String| {
            let line = line.checked_sub(1).and_then(|before| view.split('\n').nth(before));
            line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&column))
        };
        assert!(is_mixed || views.iter().any(is_inside), "{error}: there is no such place");
        assert!(!error.message.is_empty());
        let _ = error.with_line().to_string();
    }
    assert!(some, "what is refused says why");
    let _ = (errors.to_string(), errors.one_line());
}

/// Whether there is an anchor or alias whose name YAML 1.1 does not allow, or what looks like one.
fn has_new_anchor(text: &str) -> bool {
    text.split(['&', '*']).skip(1).any(|rest| {
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        !behind.is_empty() && !behind.starts_with([' ', '\n', '\r', ',', ']', '}'])
    })
}

/// Whether an anchor is defined twice, or looks so: the other then numbers two anchors alike, and an alias finds the wrong one.
fn has_anchor_twice(text: &str) -> bool {
    let mut names = std::collections::HashSet::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.contains('*') && text.split('&').skip(1).any(|rest| !names.insert(rest.split(|c| !is_name(c)).next()))
}

/// Whether a flow collection may hold a scalar that begins with a colon, as in `[&a :b]`: YAML 1.1 sees a value without a key there.
fn has_scalar_with_colon_first(text: &str) -> bool {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    text.contains(['[', '{'])
        && std::iter::from_fn(|| {
            let here = chars.next()?;
            let is_one = here == ':'
                && (before.is_whitespace() || "[{,".contains(before))
                && chars.peek().is_some_and(|behind| !behind.is_whitespace());
            before = here;
            Some(is_one)
        })
        .any(|is_one| is_one)
}

/// Whether both are one tree. Where the two take a scalar for different types, its text decides.
fn is_same(ours: &Value, other: &serde_norway::Value) -> bool {
    use serde_norway::Value as Other;
    match (ours, other) {
        (Value::Array(ours), Other::Sequence(others)) => {
            ours.len() == others.len() && ours.iter().zip(others).all(|(ours, other)| is_same(ours, other))
        }
        (Value::Object(ours), Other::Mapping(others)) => {
            ours.len() == others.len()
                && ours
                    .iter()
                    .zip(others)
                    .all(|((key, ours), (other_key, other))| is_same_key(key, other_key) && is_same(ours, other))
        }
        (Value::String(ours), Other::String(other)) => ours == other,
        // JSON has no infinity
        (Value::Null, Other::Number(other)) => other.as_f64().is_none_or(|number| !number.is_finite()),
        (Value::Null, Other::String(other)) => other.parse().is_ok_and(f64::is_infinite),
        // a number with leading zeros is one by YAML 1.2, and text for the other
        (Value::Number(ours), Other::String(other)) => {
            other.trim_start_matches(['+', '-']).starts_with('0') && other.parse().ok() == ours.as_f64()
        }
        // nor has a number of another base a sign
        (Value::String(ours), Other::Number(_)) => {
            let digits = ours.trim_start_matches(['+', '-']);
            ["0x", "0o", "0b"].iter().any(|base| digits.starts_with(base))
        }
        (Value::Null, Other::Null) => true,
        (Value::Bool(ours), Other::Bool(other)) => ours == other,
        (Value::Number(ours), Other::Number(other)) => {
            ours.as_i64() == other.as_i64() && ours.as_u64() == other.as_u64() || ours.as_f64() == other.as_f64()
        }
        _ => false,
    }
}

fn is_same_key(ours: &str, other: &serde_norway::Value) -> bool {
    use serde_norway::Value as Other;
    match other {
        Other::String(other) => ours == other,
        // ours are always text
        Other::Null | Other::Bool(_) | Other::Number(_) => true,
        _ => false,
    }
}
