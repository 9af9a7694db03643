//! Texts in which something is found, cut anywhere; what `serde_json` finds in them is the measure.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Type,
    Usage,
    Id,
    Stop,
    Content,
}

impl Slot for Field {
    fn index(self) -> usize {
        self as usize
    }

    fn counts_words(self) -> bool {
        self == Self::Stop
    }
}

type Found = JsonExtractor<Field, 5>;

const LOOKED_FOR: Members<Field> = &[
    ("type", Pattern::Value(Field::Type)),
    ("usage", Pattern::Value(Field::Usage)),
    (
        "a",
        Pattern::Members(&[
            ("id", Pattern::Value(Field::Id)),
            ("b", Pattern::Members(&[("c", Pattern::Value(Field::Stop))])),
        ]),
    ),
    ("list", Pattern::Each(&Pattern::Members(&[("x", Pattern::Value(Field::Content))]))),
];

fn found_in(text: &[u8], cut: usize) -> Found {
    let mut found = Found::new(LOOKED_FOR);
    for piece in text.chunks(cut) {
        found.feed(piece);
    }
    found
}

fn kept(found: &Found, field: Field) -> Option<String> {
    found.get(field).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn values_are_kept_to_the_byte_wherever_they_stand_and_wherever_the_text_is_cut() {
    let text = concat!(
        "\u{FEFF}\r\n { \"x\" : [1,{\"usage\":2},\"]}\"], \"us\\u0061ge\" : {\"n\": [1, {\"}\":\"\\\\\\\"\"}] } ,",
        "\"a\":{\"b\":{\"id\":0,\"c\":-1.5e+3},\"id\":\"\\\"é\"},\"list\":[{\"x\":1},7,{\"y\":{\"x\":8}},{\"x\":\"2\"}],",
        "\"type\":true}\n"
    );
    for cut in 1..=text.len() {
        let found = found_in(text.as_bytes(), cut);
        assert!(found.is_complete() && found.is_sound());
        assert_eq!(kept(&found, Field::Usage).as_deref(), Some("{\"n\": [1, {\"}\":\"\\\\\\\"\"}] }"));
        assert_eq!(kept(&found, Field::Stop).as_deref(), Some("-1.5e+3"));
        assert_eq!(found.string(Field::Id).as_deref(), Some("\"é"));
        assert_eq!(kept(&found, Field::Content).as_deref(), Some("\"2\""));
        assert_eq!((kept(&found, Field::Type).as_deref(), found.string(Field::Type)), (Some("true"), None));
    }
}

#[test]
fn of_keys_that_stand_twice_the_last_counts_and_null_is_nothing() {
    let found = found_in(br#"{"usage":1,"type":"x","usage":{},"type":null}"#, 4);
    assert_eq!((kept(&found, Field::Usage).as_deref(), found.get(Field::Type)), (Some("{}"), None));
}

#[test]
fn a_value_is_there_only_once_it_is_complete() {
    for text in ["{\"usage\":{\"a\":1", "{\"usage\":12", "{\"usage\":\"a"] {
        assert!(found_in(text.as_bytes(), 3).get(Field::Usage).is_none(), "{text}");
    }
    assert_eq!(kept(&found_in(b"{\"usage\":12 ", 3), Field::Usage).as_deref(), Some("12"));
}

#[test]
fn a_value_beyond_its_bound_is_not_kept_and_what_follows_is() {
    let text = format!(r#"{{"type":"{}","usage":3}}"#, "x".repeat(5000));
    let found = found_in(text.as_bytes(), 1000);
    assert!(found.is_complete() && found.is_too_long(Field::Type) && found.get(Field::Type).is_none());
    assert_eq!(kept(&found, Field::Usage).as_deref(), Some("3"));
}

#[test]
fn a_key_too_long_to_be_compared_matches_no_pattern_by_what_is_kept_of_it() {
    const ENDING: Members<Field> = &[("*xception", Pattern::Key(Field::Type))];
    for (before, behind, is_it) in [(120, "", true), (121, "", false), (120, ", and more", false), (900, "", false)] {
        let mut found = Found::new(ENDING);
        found.feed(format!(r#"{{"{}xception{behind}":1}}"#, "a".repeat(before)).as_bytes());
        assert_eq!(found.mentions(Field::Type), is_it, "{before} {behind}");
    }
}

#[test]
fn the_rest_is_left_unread_once_it_cannot_matter() {
    let mut found = Found::only_with(LOOKED_FOR, Field::Type, &["\"wanted\""]);
    found.feed(br#"{"type":"other","usage":1"#);
    assert!(found.is_sound() && !found.is_complete() && found.get(Field::Usage).is_none());
    found.begin();
    found.feed(br#"{"type":"wanted","usage":1}"#);
    assert!(found.is_complete() && found.get(Field::Usage).is_some());
    let mut found = Found::until(LOOKED_FOR, Field::Usage);
    found.feed(br#"{"usage":1,"type":2}"#);
    assert!(found.is_sound() && found.get(Field::Type).is_none());
}

#[test]
fn what_is_no_object_is_broken() {
    for text in ["[DONE]", "null", "\"x\"", "{\"a\"}", "{\"a\":}", "{a:1}", "{} {", "{}x", "<html>", "{\"a\":1]"] {
        let found = found_in(text.as_bytes(), 2);
        assert!(!found.is_sound(), "{text}");
    }
}

/// What of an object is looked for, as the tree has it.
fn looked_up(value: &Value) -> [Option<Value>; 4] {
    let at = |path: &str| value.pointer(path).filter(|value| !value.is_null()).cloned();
    let elements = value["list"].as_array().into_iter().flatten();
    let last = elements.filter_map(|element| element.as_object()?.get("x")).next_back();
    [at("/usage"), at("/a/id"), at("/a/b/c"), last.filter(|value| !value.is_null()).cloned()]
}

fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\"\\\\{}\\[\\],:a]{0,6}".prop_map(Value::from),
    ];
    let key = prop_oneof![Just("usage".to_owned()), "a|b|c|id|x|list", any::<String>()];
    scalar.prop_recursive(5, 40, 5, move |inner| {
        let members = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec(("usage|a|list|x|[a-z\"\\\\]{0,4}", json()), 0..6)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn it_finds_what_a_parser_finds(object in object(), cut in 1..40_usize, pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let found = found_in(text.as_bytes(), cut);
        prop_assert!(found.is_complete());
        // a number may not be read as the one that was written
        let object: Value = serde_json::from_str(&text).unwrap();
        let fields = [Field::Usage, Field::Id, Field::Stop, Field::Content];
        let kept = fields.map(|field| found.get(field).map(|value| serde_json::from_slice(value).unwrap()));
        prop_assert_eq!(kept, looked_up(&object));
    }

    #[test]
    fn no_bytes_make_it_panic_or_depend_on_the_cut(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\ au".to_vec())], 0..80),
        cut in 1..20_usize,
        object in any::<bool>(),
    ) {
        let text = if object { [&b"{\"usage\":"[..], &bytes].concat() } else { bytes };
        let (whole, cut) = (found_in(&text, text.len().max(1)), found_in(&text, cut));
        prop_assert_eq!(whole.is_complete(), cut.is_complete());
        for field in [Field::Usage, Field::Id, Field::Stop, Field::Content] {
            prop_assert_eq!(whole.get(field), cut.get(field));
        }
    }
}
