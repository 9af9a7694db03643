//! The key that a request carries, and the headers that it must not travel on in. Does not know whose it is.

use memchr::memmem;
use plugin_api::http::header::AUTHORIZATION;
use plugin_api::http::{HeaderMap, HeaderName};
use plugin_api::{HeaderEdits, without_bearer};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What keys of `tollgate key new` begin with.
pub(crate) const PREFIX: &str = "tg_";
/// Characters of the public part behind that.
pub(crate) const PUBLIC: usize = 6;
/// A key of ours is longer than this: its secret part has more bits than can be guessed.
const LEAST_SECRET: usize = 20;

/// What a request says of its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    /// Nothing.
    Absent,
    /// This is it.
    Key(&'a [u8]),
    /// There are several, and they differ.
    Ambiguous,
}

/// The key that the headers carry: in this one, or else in `x-api-key` or `authorization`. Empty ones do not count.
pub(crate) fn find<'a>(headers: &'a HeaderMap, own: Option<&HeaderName>) -> Credential<'a> {
    let standard = [API_KEY, AUTHORIZATION];
    let names = own.map_or(&standard[..], std::slice::from_ref);
    let mut found = Credential::Absent;
    for key in names.iter().flat_map(|name| headers.get_all(name)).map(|value| without_bearer(value.as_bytes())) {
        match found {
            _ if key.is_empty() => {}
            Credential::Absent => found = Credential::Key(key),
            Credential::Key(first) if first == key => {}
            Credential::Key(_) | Credential::Ambiguous => return Credential::Ambiguous,
        }
    }
    found
}

/// Takes the key out of what goes to the upstream, whichever headers it stands in.
pub(crate) fn strip(headers: &HeaderMap, key: &[u8], edits: &mut HeaderEdits) {
    // a short one, made elsewhere, may be part of any word
    let is_telling = key.len() >= LEAST_SECRET;
    for (name, value) in headers {
        let value = value.as_bytes();
        let has_it = match value.len() >= key.len() {
            true if is_telling => value.ends_with(key) || memmem::find(value, key).is_some(),
            true => without_bearer(value) == key,
            false => false,
        };
        if has_it {
            edits.remove(name.clone());
        }
    }
}

/// The public part of a key, if it has the form of ours: `tg_` and 6 characters.
pub(crate) fn public_id(key: &[u8]) -> Option<&str> {
    let id = key.get(..PREFIX.len() + PUBLIC).filter(|_| key.len() >= PREFIX.len() + PUBLIC + LEAST_SECRET)?;
    let is_ours = id.starts_with(PREFIX.as_bytes()) && id[PREFIX.len()..].iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(id).ok().filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use plugin_api::HeaderEdit;
    use plugin_api::http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        all.collect::<Vec<_>>().into_iter().fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn a_key_comes_in_either_header_and_two_that_differ_are_none() {
        for (all, expected) in [
            (&[][..], Credential::Absent),
            (&[("x-api-key", "a")], Credential::Key(b"a")),
            (&[("authorization", "Bearer a")], Credential::Key(b"a")),
            (&[("authorization", "bEARER  a ")], Credential::Key(b"a")),
            (&[("authorization", "a")], Credential::Key(b"a")),
            (&[("authorization", "Bearer a"), ("x-api-key", "a")], Credential::Key(b"a")),
            (&[("authorization", "Bearer a"), ("x-api-key", "b")], Credential::Ambiguous),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], Credential::Ambiguous),
            (&[("authorization", "Basic YTpi"), ("x-api-key", "b")], Credential::Ambiguous),
            (&[("authorization", "Bearer "), ("x-api-key", "b")], Credential::Key(b"b")),
            (&[("authorization", "Bearer"), ("x-api-key", "")], Credential::Absent),
            (&[("x-team-key", "a"), ("cookie", "a=b")], Credential::Absent),
        ] {
            assert_eq!(find(&headers(all), None), expected, "{all:?}");
        }
        let own = HeaderName::from_static("x-team-key");
        let all = headers(&[("authorization", "Bearer theirs"), ("x-team-key", "ours")]);
        assert_eq!(find(&all, Some(&own)), Credential::Key(b"ours"));
        assert_eq!(find(&headers(&[("authorization", "Bearer theirs")]), Some(&own)), Credential::Absent);
    }

    #[test]
    fn every_header_that_has_the_key_in_it_stays_behind() {
        let all = headers(&[
            ("authorization", "Bearer tg_Ab12Cd01234567890123"),
            ("cookie", "a=1; key=tg_Ab12Cd01234567890123; b=2"),
            ("x-note", "tg_Ab12Cd01234567890123"),
            ("accept", "*/*"),
            ("x-other", "tg_Ab12Cd0123456789012"),
        ]);
        let removed = |key: &[u8]| {
            let mut edits = HeaderEdits::default();
            strip(&all, key, &mut edits);
            let name = |edit: &HeaderEdit| match edit {
                HeaderEdit::Remove(name) => name.as_str().to_owned(),
                HeaderEdit::Set(..) | HeaderEdit::Append(..) => panic!("{edit:?}"),
            };
            let mut names: Vec<_> = edits.iter().map(name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(removed(b"tg_Ab12Cd01234567890123"), ["authorization", "cookie", "x-note"]);
        assert_eq!(removed(b"*/*"), ["accept"]);
        assert_eq!(removed(b"Ab12"), Vec::<String>::new(), "a short key may be part of any word");
    }

    #[test]
    fn only_the_public_part_of_a_key_of_ours_is_told() {
        assert_eq!(public_id(b"tg_Ab12Cd0123456789012345678901234567"), Some("tg_Ab12Cd"));
        for other in [
            "tg_Ab12Cd",
            "tg_Ab12Cd0123456789",
            "sk-ant-0123456789012345678901234567",
            "tg_Ab/2Cd0123456789012345678901234567",
        ] {
            assert_eq!(public_id(other.as_bytes()), None, "{other}");
        }
    }
}
