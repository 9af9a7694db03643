//! Which messages have one digest, and which have none.

use std::collections::HashMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[test]
fn the_digest_has_what_the_conversation_hash_ignores() {
    let different = [
        r#"{"role":"user","content":"hello"}"#,
        r#"{"role":"user","content":"hello<system-reminder>a</system-reminder>"}"#,
        r#"{"role":"user","content":"hello<system-reminder>b</system-reminder>"}"#,
        r#"{"role":"user","content":"hello\n<system-reminder>b</system-reminder>"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello"}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello<system-reminder>a</system-reminder>"}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello","cache_control":{"type":"ephemeral"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello","cache_control":{"type":"other"}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello","cache_control":null}]}"#,
        r#"{"role":"user","content":"hello","cache_control":null}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":""}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":" "}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"hello"}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"","cache_control":1},{"type":"text","text":"hello"}]}"#,
        r#"{"role":"user","content":[{"type":"texts","text":""},{"type":"text","text":"hello"}]}"#,
    ];
    let digests: Vec<_> = different.iter().map(|message| digest(&[message]).unwrap()).collect();
    for (at, one) in digests.iter().enumerate() {
        assert_eq!(one.turn, digests[0].turn, "{}", different[at]);
        assert!(digests[..at].iter().all(|other| other.form != one.form), "{}", different[at]);
    }
    // numbers of one value, however written, are one to the conversation alone
    let number = |number: &str| digest(&[&format!(r#"{{"role":"user","content":[],"n":{number}}}"#)]).unwrap();
    assert!(number("1.0").turn == number("1e0").turn && number("1.0").form != number("1e0").form);
}

#[test]
fn the_digest_is_the_same_for_all_spellings() {
    for (one, other) in [
        (HELLO, r#"{ "content" : "\u0068ello", "role":"user" }"#),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a\n<system-reminder>é</system-reminder>","cache_control":{"a":1,"b":2}}]}"#,
            r#"{"role":"user","content":[{"cache_control":{"b":2,"a":1},"text":"a\u000a<system-reminder>\u00e9</system-reminder>","type":"text"}]}"#,
        ),
        (
            r#"{"role":"user","content":[{"type":"text","text":" ","cache_control":null}]}"#,
            r#"{"content":[{"text":"\u0020","cache_control":null,"type":"\u0074ext"}],"role":"user"}"#,
        ),
    ] {
        assert_eq!(digest(&[one]), digest(&[other]), "{one}");
    }
}

#[test]
fn messages_without_a_canonical_form_have_no_digest() {
    for message in [
        r#"{"role":"user","content":"\ud800"}"#,
        r#"{"role":"user","content":"a","n":1e400}"#,
        r#"{"role":"user","content":"a","role":"user"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"a":1,"a":1}}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"","text":""}]}"#,
    ] {
        assert_eq!(digest(&[message]), None, "{message}");
        assert_eq!(digest(&[HELLO, message, HI]), None, "{message}");
    }
}

/// JSON texts of which no two mean the same: keys are sorted, and there is one spelling.
fn value() -> impl Strategy<Value = String> {
    let words = select(&["1", "1.0", "1e0", "null", "true"]).prop_map(str::to_owned);
    let texts = [
        "",
        " ",
        "a",
        "text",
        "thinking",
        "b<system-reminder>a</system-reminder>",
        "<system-reminder>a</system-reminder>",
    ];
    let strings = select(texts.to_vec()).prop_map(|text| format!("\"{text}\""));
    prop_oneof![words, strings].prop_recursive(4, 12, 3, |inner| {
        let keys = select(&["a", "cache_control", "content", "reasoning", "text", "type", "z"]);
        let object = btree_map(keys, inner.clone(), 0..4).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))), object]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_two_lists_of_messages_share_a_digest(values in vec(value(), 100..200)) {
        let mut lists: HashMap<_, Vec<&str>> = HashMap::new();
        let messages: Vec<_> = values.iter().map(|value| format!("{{\"content\":{value}}}")).collect();
        let pairs = messages.windows(2).map(|pair| vec![&*pair[0], &*pair[1]]);
        let all = messages.iter().map(|message| vec![&**message]).chain(pairs);
        for list in all {
            let digest = digest(&list).unwrap();
            if let Some(other) = lists.insert((digest.turn, digest.form), list.clone()) {
                prop_assert_eq!(other, list);
            }
        }
    }
}
