//! Whatever value a call is: every spelling of it has one digest, and no other value has that.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// A JSON value, of which no part means nothing and none keeps the call out.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[a-c\\\\\"\n]{900,1200}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-e]{0,2}", inner, 0..5).prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-e]{0,2}", any_value(), 0..5).prop_map(|map| Value::from(Map::from_iter(map)))
}

/// The same value in another spelling.
fn respelled(value: &Value, seed: u64) -> String {
    let space = [" ", "", "\n", "\t "][(seed % 4) as usize];
    let next = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 3;
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            let turn = if members.is_empty() { 0 } else { (next % members.len() as u64) as usize };
            members.rotate_left(turn);
            if seed.is_multiple_of(3) {
                members.reverse();
            }
            let members = members
                .iter()
                .map(|(key, value)| format!("{space}{}{space}:{space}{}", spelled(key, next), respelled(value, next)));
            format!("{{{}{space}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| format!("{space}{}{space}", respelled(item, next)));
            format!("[{}{space}]", items.collect::<Vec<_>>().join(","))
        }
        Value::String(text) => spelled(text, next),
        other => other.to_string(),
    }
}

fn spelled(text: &str, seed: u64) -> String {
    if seed.is_multiple_of(2) {
        return Value::from(text).to_string();
    }
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", units.collect::<String>())
}

proptest! {
    #[test]
    fn another_spelling_of_a_value_has_the_same_digest(value in any_object(), seed in any::<u64>()) {
        let other = respelled(&value, seed);
        prop_assert_eq!(serde_json::from_str::<Value>(&other).unwrap(), value.clone());
        prop_assert_eq!(messages(&other), messages(&value.to_string()));
        prop_assert!(messages(&other).is_ok());
    }

    #[test]
    fn another_value_has_another_digest(one in any_object(), other in any_object()) {
        let same = sorted(&one) == sorted(&other);
        prop_assert_eq!(messages(&one.to_string()) == messages(&other.to_string()), same);
    }

    #[test]
    fn one_change_anywhere_changes_the_digest(value in any_object(), at in any::<prop::sample::Index>(), by in any_value()) {
        let mut changed = value.clone();
        let places = count(&changed);
        let mut left = at.index(places);
        replace(&mut changed, &mut left, &by);
        let changed = if changed.is_object() { changed } else { json!({ "a": changed }) };
        prop_assert_eq!(messages(&value.to_string()) == messages(&changed.to_string()), value == changed);
    }

    #[test]
    fn any_bytes_whatever_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[{}\\[\\]\",:\\\\ua0-9 ]{0,40}") {
        let _ = digest(Endpoint::MESSAGES, &bytes);
        let _ = digest(Endpoint::MESSAGES, text.as_bytes());
    }
}

fn sorted(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(map) => map.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

fn replace(value: &mut Value, left: &mut usize, by: &Value) {
    if *left == usize::MAX {
        return;
    }
    if *left == 0 {
        *value = by.clone();
        *left = usize::MAX;
        return;
    }
    *left -= 1;
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, left, by)),
        Value::Array(items) => items.iter_mut().for_each(|value| replace(value, left, by)),
        _ => {}
    }
}
