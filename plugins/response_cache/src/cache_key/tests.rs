//! What of a head makes a key, against slower ways to read it.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// The slow way: each item in lower case first.
fn encoding_of_lower_case(item: &[u8]) -> Option<(String, bool)> {
    let item = String::from_utf8_lossy(item).to_ascii_lowercase();
    let (name, weight) = item.split_once(';').unwrap_or((&item, ""));
    let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), weight == Some(0.0)))
}

proptest! {
    #[test]
    fn an_encoding_is_read_as_in_lower_case(item in "([a-zA-Z*; qQ=0-9.eE+\u{e9}-]|gzip|;q=){0,12}") {
        let read = encoding(&item).map(|(name, refused)| (name.into_owned(), refused));
        prop_assert_eq!(read, encoding_of_lower_case(item.as_bytes()));
    }

    #[test]
    fn a_host_and_encodings_count_in_any_case(list in "[a-zA-Z*;,q=0. ]{0,20}") {
        let parts = |list: &str| {
            let value = HeaderValue::from_str(list).unwrap();
            let mut parts = Parts::new();
            encodings(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]), &mut parts);
            parts
        };
        prop_assert_eq!(parts(&list), parts(&list.to_ascii_uppercase()));
    }
}

#[test]
fn encodings_that_are_no_text_count_too() {
    let parts = |list: &[u8]| {
        let mut parts = Parts::new();
        let value = HeaderValue::from_bytes(list).unwrap();
        encodings(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]), &mut parts);
        parts
    };
    assert_ne!(parts(b"\xFF"), parts(b""));
    assert_eq!(parts(b"\xFFA;Q=0.5, gzip"), parts(b"gzip,\xFFa"));
}

#[test]
fn the_headers_of_an_api_are_told_by_their_names() {
    for (name, is) in [("anthropic-version", true), ("openai-organization", true), ("origin", true)] {
        assert_eq!(is_of_api(name), is, "{name}");
    }
    for name in ["", "a", "anthropic", "openai", "origins", "x-openai-a", "o"] {
        assert!(!is_of_api(name), "{name}");
    }
}

#[test]
fn a_key_begins_with_its_context() {
    let key = blake3::Hasher::new_from_context_key(&CONTEXT_KEY).update(b"parts").finalize();
    assert_eq!(*key.as_bytes(), blake3::derive_key(CONTEXT, b"parts"));
}
