//! The model in the query of a handshake, where the connection is for one. Servers read queries in many ways; where any of them could
//! find another model, there is none for certain.

use std::borrow::Cow;

use url_path::percent_encode;

use crate::path::{UNESCAPINGS, escaped_byte};

/// The key of the model.
const KEY: &str = "model";

/// Which model a query names.
///
/// ```
/// use protocols::SessionModel;
///
/// assert_eq!(SessionModel::of(Some("a=b&model=gpt-realtime")).name().as_deref(), Some("gpt-realtime"));
/// assert_eq!(SessionModel::of(Some("model=one&mod%65l=two")), SessionModel::Uncertain);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionModel<'a> {
    /// None.
    Absent,
    /// This one, once. Escapes in it stand for plain letters.
    Named {
        /// The query.
        query: &'a str,
        /// Where in it the name begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// Servers could read different ones: the key stands twice or in another spelling, or the name has more than plain letters.
    Uncertain,
}

impl<'a> SessionModel<'a> {
    /// Reads a query.
    #[must_use]
    pub fn of(query: Option<&'a str>) -> Self {
        let mut model = Self::Absent;
        let Some(query) = query else { return model };
        let mut start = 0;
        for pair in query.split('&') {
            let at = start..start + pair.len();
            start = at.end + 1;
            if !pair.split(';').any(|part| is_model(part.split('=').next().unwrap_or_default())) {
                continue;
            }
            let plain = pair.strip_prefix("model=").filter(|name| decoded(name).is_some());
            match (plain, model) {
                (Some(name), Self::Absent) => {
                    model = Self::Named { query, start: at.end - name.len(), end: at.end };
                }
                _ => return Self::Uncertain,
            }
        }
        model
    }

    /// The name, where it is certain.
    #[must_use]
    pub fn name(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Named { query, start, end } => decoded(query.get(start..end)?),
            Self::Absent | Self::Uncertain => None,
        }
    }

    /// The query with another name in the place of this one, and no other byte changed; `None` where there is none.
    #[must_use]
    pub fn renamed(self, model: &str) -> Option<String> {
        let Self::Named { query, start, end } = self else { return None };
        Some([&query[..start], &escaped(model), &query[end..]].concat())
    }
}

/// Whether some server may take a key for the model's: in escapes, in other letters, as one of a list, or cut at a NUL.
fn is_model(key: &str) -> bool {
    let mut key = Cow::Borrowed(key.as_bytes());
    for _ in 0..UNESCAPINGS {
        match unescaped(&key) {
            Some(plainer) => key = Cow::Owned(plainer),
            None => return is_key(&key),
        }
    }
    // escaped more often than any server undoes: what it names is not certain
    unescaped(&key).is_some() || is_key(&key)
}

/// Whether a key without escapes is the model's.
fn is_key(key: &[u8]) -> bool {
    let end = key.iter().position(|byte| matches!(byte, b'[' | 0)).unwrap_or(key.len());
    key[..end].trim_ascii().eq_ignore_ascii_case(KEY.as_bytes())
}

/// A name that every server reads so, be it once or twice that it decodes it.
fn decoded(name: &str) -> Option<Cow<'_, str>> {
    let name = match unescaped(name.as_bytes()) {
        Some(name) => String::from_utf8(name).ok()?.into(),
        None => Cow::Borrowed(name),
    };
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}

/// A key, or a name, without its escapes; `None` where it has none.
fn unescaped(key: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(key.len());
    let (mut rest, mut has_escapes) = (key, false);
    while let Some((first, behind)) = rest.split_first() {
        let byte = escaped_byte(rest);
        has_escapes |= byte.is_some() || *first == b'+';
        plain.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    has_escapes.then_some(plain)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/')
}

/// A name as it may stand in a query.
fn escaped(model: &str) -> Cow<'_, str> {
    if model.chars().all(is_plain) {
        return Cow::Borrowed(model);
    }
    let mut text = Vec::with_capacity(model.len() + 16);
    percent_encode(model.as_bytes(), &mut text, |byte| is_plain(byte.into()));
    // it is ASCII
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_session_is_for_the_model_that_its_query_names_once_and_plainly() {
        for (query, wanted) in [
            ("model=gpt-realtime", "gpt-realtime"),
            ("a=b&model=x.y:1", "x.y:1"),
            ("a=%20&model=m&b=c;d", "m"),
            ("models=a&model=m&my_model=b&value=model", "m"),
            // as clients write a name that has colons
            ("model=ft%3Agpt-realtime%3aown", "ft:gpt-realtime:own"),
            ("model=%67pt", "gpt"),
        ] {
            assert_eq!(SessionModel::of(Some(query)).name().as_deref(), Some(wanted), "{query}");
        }
        for query in ["", "a=b", "a=b;c=d", "models=a", "deployment=m", "%=model", "a=model=b"] {
            assert_eq!(SessionModel::of(Some(query)), SessionModel::Absent, "{query}");
        }
        assert_eq!(SessionModel::of(None), SessionModel::Absent);
    }

    #[test]
    fn a_query_that_servers_could_read_in_two_ways_names_none() {
        for query in [
            "model=a&model=b",
            "model=a&mod%65l=b",
            "model=a&mod%2565l=b",
            "model=a&MODEL=b",
            "model=a;model=b",
            "model=a;x",
            "x;model=b",
            "x=1;model=b",
            "model=a&model[]=b",
            "model=a&model%5B0%5D=b",
            "model=a&+model=b",
            "model=a&model%00=b",
            "model=a&model",
            "model=%2567pt",
            "model=a%00",
            "model=a%26b",
            "model=a+b",
            "model=a%",
            "model=%ff",
            "model=",
            "model",
            "Model=a",
            "mod%65l=a",
        ] {
            assert_eq!(SessionModel::of(Some(query)), SessionModel::Uncertain, "{query}");
        }
    }

    #[test]
    fn a_key_that_is_escaped_over_and_over_is_not_certain_and_takes_no_time() {
        for times in [3, 20_000] {
            let query = format!("%{}6d=a", "25".repeat(times));
            assert_eq!(SessionModel::of(Some(&query)), SessionModel::Uncertain, "{times}");
        }
        for query in ["%256e=a", "%25256e=a", "a%252bb=1"] {
            assert_eq!(SessionModel::of(Some(query)), SessionModel::Absent, "{query}");
        }
    }

    #[test]
    fn a_new_name_takes_the_place_of_the_old_one_and_no_other_byte_changes() {
        let query = SessionModel::of(Some("a=%20&model=fast&b=c;d"));
        assert_eq!(query.renamed("gpt-realtime").as_deref(), Some("a=%20&model=gpt-realtime&b=c;d"));
        assert_eq!(query.renamed("a b&c").as_deref(), Some("a=%20&model=a%20b%26c&b=c;d"));
        assert_eq!(SessionModel::Uncertain.renamed("x"), None);
    }

    proptest! {
        #[test]
        fn another_way_to_write_the_key_is_never_overlooked(
            escapes in prop::collection::vec(any::<(bool, bool)>(), 5), before in any::<bool>(), separator in "[&;]",
        ) {
            let letters = KEY.chars().zip(&escapes).map(|(c, (escape, upper))| {
                let c = if *upper { c.to_ascii_uppercase() } else { c };
                if *escape { format!("%{:02x}", c as u32) } else { c.to_string() }
            });
            let other = format!("{}=b", letters.collect::<String>());
            let query = if before { [&other, &*separator, "model=a"] } else { ["model=a", &*separator, &other] }.concat();
            prop_assert_eq!(SessionModel::of(Some(&query)), SessionModel::Uncertain);
        }

        #[test]
        fn what_is_named_is_what_stands_there(
            before in "([a-z0-9]{1,8}=[a-z0-9%]{0,4}&){0,2}", value in "([a-zA-Z0-9.:/_-]|%6[1-9a-f]){1,12}", behind in "(&[a-z]{1,3}=1)?",
        ) {
            let query = [&before, "model=", &value, &behind].concat();
            let model = SessionModel::of(Some(&query));
            if let (Some(name), SessionModel::Named { start, end, .. }) = (model.name(), model) {
                let there = &query.as_bytes()[start..end];
                prop_assert_eq!(unescaped(there).unwrap_or(there.to_owned()), name.as_bytes());
                let renamed = model.renamed("other").unwrap();
                prop_assert_eq!(SessionModel::of(Some(&renamed)).name(), Some(Cow::Borrowed("other")));
            }
        }
    }
}
