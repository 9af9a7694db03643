//! Every value is where the tape says, whatever the text, and no text takes more than its bounds.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value as Tree;

use super::*;

/// The value as serde's tree has it, by way of the tape.
fn tree<'t>(text: &Text<'t, '_>, value: Value, open: &mut Open<'t>) -> Tree {
    match text.kind(value) {
        Kind::Word(word) => serde_json::from_slice(word).unwrap(),
        Kind::String(string) => String::from_utf8(string.decoded().unwrap().into_owned()).unwrap().into(),
        Kind::List => text.items(value).map(|item| tree(text, item, open)).collect::<Vec<_>>().into(),
        Kind::Skipped => Tree::String("skipped".into()),
        Kind::Object => {
            let range = text.sorted(value, open).unwrap();
            let keys: Vec<Vec<u8>> = range.clone().map(|at| open.get(at).key.to_vec()).collect();
            assert!(keys.is_sorted());
            let members = range.clone().map(|at| {
                let (key, value) = (String::from_utf8(open.get(at).key.to_vec()).unwrap(), open.get(at).value);
                (key, tree(text, value, open))
            });
            let object = members.collect::<serde_json::Map<_, _>>().into();
            open.close(range);
            object
        }
    }
}

fn read(text: &[u8]) -> Result<(), Fault> {
    Tape::default().read(text, 100).map(drop)
}

#[test]
fn what_is_no_json_is_told_from_what_is() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "[1}",
        "{\"a\":1]",
        "1 2",
    ] {
        assert_eq!(read(text.as_bytes()), Err(Fault::Broken), "{text}");
    }
    for text in ["\"", "\"\\", "\"\\\"", "{\"a", "{\"a\"", "]", ",", "[\"a\" \"b\"]", "[1 2]", "{\"a\" 1}", "[:1]"] {
        assert_eq!(read(text.as_bytes()), Err(Fault::Broken), "{text}");
    }
    for text in ["1", " [ ] ", "{ }", "[1 , 2]", "\"\\\"\"", "{\"a\" : [ {} ] }"] {
        assert_eq!(read(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn what_exceeds_a_bound_is_told_apart() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(nested(100).as_bytes()), Ok(()));
    assert_eq!(read(nested(101).as_bytes()), Err(Fault::TooDeep));
    let many = |items: usize| format!("[{}0]", "\"\",".repeat(items));
    assert_eq!(read(many(Tape::MOST - 1).as_bytes()), Ok(()));
    assert_eq!(read(many(Tape::MOST).as_bytes()), Err(Fault::TooMany));

    let members = |count: usize, key: &str| {
        let text = (0..count).map(|at| format!("\"{key}{at}\":1")).collect::<Vec<_>>().join(",");
        let (text, mut tape) = (format!("{{{text}}}"), Tape::default());
        let text = tape.read(text.as_bytes(), 9).unwrap();
        text.sorted(text.root(), &mut Open::default()).map(|range| range.len())
    };
    assert_eq!(members(Open::MOST, ""), Ok(Open::MOST));
    assert_eq!(members(Open::MOST + 1, ""), Err(Fault::TooMany));
    assert_eq!(members(100, &"\\n".repeat(4000)), Ok(100));
    assert_eq!(members(1000, &"\\n".repeat(4000)), Err(Fault::TooMany));
}

#[test]
fn a_closed_object_leaves_room_for_the_next() {
    let key = "\\u0061".repeat(50_000);
    let text = format!(r#"[{{"{key}":1}},{{"{key}":1}},{{"{key}":1}},{{"{key}":1}}]"#);
    let mut tape = Tape::default();
    let text = tape.read(text.as_bytes(), 9).unwrap();
    let mut open = Open::default();
    for item in text.items(text.root()) {
        let range = text.sorted(item, &mut open).unwrap();
        open.close(range);
    }
}

/// Reads every value of a text one by one.
fn walk(reader: &mut Reader<'_>) -> Result<(), Fault> {
    match reader.peek() {
        Some(b'{') => {
            reader.object()?;
            while reader.key()?.is_some() {
                walk(reader)?;
            }
        }
        Some(b'[') => {
            reader.list()?;
            while reader.item()? {
                walk(reader)?;
            }
        }
        _ => drop(reader.value()?),
    }
    Ok(())
}

/// A string of a text, or one that is almost one, of any length.
fn any_string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-zA-Z0-9 é\u{1F600}/]{0,40}",
        4 => r#"\\(["\\/bfnrt]|u[0-9a-fA-F]{4})"#,
        1 => r#"\\\\{1,2}"#,
        1 => r#"\\u?[0-9a-g"]{0,4}"#,
        1 => "[\u{0}-\u{1f}\u{7f}\"]",
    ];
    let sound = prop_oneof![4 => "[a-zA-Z0-9 é\u{1F600}/]{0,40}", 2 => r#"\\(["\\/bfnrt]|u[0-9a-fA-F]{4})"#];
    let parts = prop_oneof![prop::collection::vec(part, 0..8), prop::collection::vec(sound, 0..8)];
    parts.prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn any_said() -> impl Strategy<Value = String> {
    let part = prop_oneof!["[a-z]{0,30}", "[\u{0}-\u{2f}\\\\\u{7f}é\u{FFFD}\u{1F600}]{0,9}"];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// A text that is JSON, or almost.
fn any_text() -> impl Strategy<Value = String> {
    let words = ["true", "false", "null", "tru", "nul", "nulll", "True", "NaN", ""];
    let word = prop_oneof![
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "[-+.0-9eE]{1,5}",
        prop::sample::select(words.to_vec()).prop_map(str::to_owned),
    ];
    let space = || "[ \n\t\r]{0,2}";
    let value = prop_oneof![word, any_string()].prop_recursive(4, 30, 5, move |inner| {
        let item =
            (space(), inner.clone(), space()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (any_string(), space(), inner).prop_map(|(key, space, value)| format!("{key}{space}:{value}"));
        prop_oneof![
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    prop_oneof![
        4 => (space(), value, space()).prop_map(|(before, value, after)| format!("{before}{value}{after}")),
        1 => "[{}\\[\\]\":,\\\\na1 ]{0,24}",
    ]
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        ".{0,12}".prop_map(Tree::from),
        "[\\\\\"\n/\u{1}]{0,4}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::from),
            prop::collection::btree_map("[a-c\"\n]{0,2}", inner, 0..6)
                .prop_map(|map| Tree::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_is_found_where_it_is(value in any_tree(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut tape = Tape::default();
        let text = tape.read(text.as_bytes(), 100).unwrap();
        prop_assert_eq!(tree(&text, text.root(), &mut Open::default()), value);
    }

    #[test]
    fn what_serde_reads_is_read_and_nothing_else(text in any_text()) {
        // as a value that is skipped, in which numbers may be beyond all bounds and escapes half of a pair
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(read(text.as_bytes()).is_ok(), is_json);
        let mut reader = Reader::new(&text, 0);
        let value = reader.value();
        let is_whole = reader.end().is_ok();
        prop_assert_eq!(value.is_ok() && is_whole, is_json);
        let mut reader = Reader::new(&text, 0);
        let is_walked = walk(&mut reader).and_then(|()| reader.end()).is_ok();
        prop_assert_eq!(is_walked, is_json);
        if is_json {
            prop_assert_eq!(value.unwrap(), text.trim_matches([' ', '\n', '\t', '\r']));
        }
        // and nothing panics
        let mut tape = Tape::default();
        if let Ok(text) = tape.read(text.as_bytes(), 100)
            && let Kind::Object = text.kind(text.root())
        {
            let _ = text.sorted(text.root(), &mut Open::default());
        }
    }

    #[test]
    fn strings_that_say_the_same_have_one_normal_spelling(says in any_said(), how in prop::collection::vec(0..3_u8, 80)) {
        // each character as short as can be, by another escape, or by its number
        let mut written = String::from("\"");
        for (char, how) in says.chars().zip(how.into_iter().cycle()) {
            let short = serde_json::to_string(&char).unwrap();
            match (how, char) {
                (0, _) | (1, 'a'..='z') => written.push_str(&short[1..short.len() - 1]),
                (1, '/') => written.push_str("\\/"),
                _ => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| written.push_str(&format!("\\u{unit:04X}"))),
            }
        }
        written.push('"');
        let mut tape = Tape::default();
        let text = tape.read(written.as_bytes(), 9).unwrap();
        let Kind::String(string) = text.kind(text.root()) else { unreachable!() };
        let (mut normal, mut again) = (Vec::new(), Vec::new());
        prop_assert_eq!(string.spell_normally(|piece| normal.extend_from_slice(piece)), Ok(true));
        spell_normally(says.as_bytes(), |piece| again.extend_from_slice(piece));
        let expected = serde_json::to_string(&says).unwrap();
        prop_assert_eq!(str::from_utf8(&normal).unwrap(), &expected[1..expected.len() - 1]);
        prop_assert_eq!(normal, again);
        let decoded = string.decoded().unwrap();
        prop_assert_eq!(&*decoded, says.as_bytes());
    }

    #[test]
    fn a_hash_does_not_depend_on_the_cuts_or_on_looks_at_it(
        pieces in prop::collection::vec((prop_oneof![0..100_usize, 1..2_usize, 0..5_000_usize, 0..70_000_usize], any::<bool>()), 0..12),
    ) {
        let mut feed = Feed::default();
        feed.push(b"of before");
        feed.forget();
        let mut all = Vec::new();
        for (number, (length, is_looked_at)) in pieces.into_iter().enumerate() {
            let piece: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
            match piece[..] {
                [byte] => feed.push_byte(byte),
                _ => feed.push(&piece),
            }
            all.extend_from_slice(&piece);
            if is_looked_at {
                prop_assert_eq!(feed.peek(), *blake3::hash(&all).as_bytes());
            }
        }
        prop_assert_eq!(feed.finish(), *blake3::hash(&all).as_bytes());
        prop_assert_eq!(feed.finish(), *blake3::hash(b"").as_bytes());
    }
}

#[test]
fn a_container_can_be_skipped_and_all_else_is_read() {
    let text = br#"{"a":[1,{"b":"c"}],"m":[{"d":"e"},"f"] , "g":["h",{}]}"#;
    let list = br#"[{"d":"e"},"f"]"#;
    let at = text.windows(list.len()).position(|part| part == list).unwrap();
    let mut tape = Tape::default();
    let read = tape.read_around(text, 10, at..at + list.len()).unwrap();
    let expected = serde_json::json!({ "a": [1, { "b": "c" }], "m": "skipped", "g": ["h", {}] });
    assert_eq!(tree(&read, read.root(), &mut Open::default()), expected);
    // what begins no container is read as ever
    let read = tape.read_around(text, 10, at - 1..at + 3).unwrap();
    assert_eq!(tree(&read, read.root(), &mut Open::default()), serde_json::from_slice::<Tree>(text).unwrap());
}

#[test]
fn an_exact_form_has_no_key_twice() {
    let exact = |text: &str| {
        let (mut tape, mut out) = (Tape::default(), Feed::default());
        let text = tape.read(text.as_bytes(), 10)?;
        text.feed_exact(text.root(), &mut Open::default(), &mut out).map(|()| out.finish())
    };
    assert_eq!(exact(r#"{"a":1,"b":["\u0063"]}"#), exact(r#"{ "b":["c"],"a":1 }"#));
    assert_ne!(exact(r#"{"a":1}"#), exact(r#"{"a":1.0}"#));
    assert_eq!(exact(r#"{"a":1,"\u0061":1}"#), Err(Fault::Duplicate));
}

#[test]
fn brackets_fit_each_other_however_deep_they_are() {
    for depth in [1, 2, 63, 64, 65, 66, 129, 300] {
        let kinds: Vec<bool> = (0..depth).map(|at| at % 3 != 1).collect();
        let begin: String = kinds.iter().map(|is_object| if *is_object { r#"{"a":"# } else { "[" }).collect();
        let end: Vec<char> = kinds.iter().rev().map(|is_object| if *is_object { '}' } else { ']' }).collect();
        let text = |end: &[char]| format!("{begin}1{}", end.iter().collect::<String>());
        assert!(Reader::new(&text(&end), 0).value().is_ok_and(|value| value == text(&end)), "{depth}");
        for at in 0..depth {
            let mut end = end.clone();
            end[at] = if end[at] == '}' { ']' } else { '}' };
            assert_eq!(Reader::new(&text(&end), 0).value(), Err(Fault::Broken), "{depth} {at}");
        }
        assert_eq!(Reader::new(&text(&end[1..]), 0).value(), Err(Fault::Broken), "{depth}");
    }
}

proptest! {
    #[test]
    fn members_are_sorted_by_key_and_those_of_one_key_stay_in_order(
        keys in prop::collection::vec("[a-c]{0,2}|\\\\u006[1-3]", 0..60),
        before in prop::collection::vec("[a-c]", 0..3),
    ) {
        let list = |keys: &[String]| keys.iter().enumerate().map(|(at, key)| format!("\"{key}\":{at}")).collect::<Vec<_>>().join(",");
        let text = format!("{{{}}}", list(&keys));
        let outer = format!("{{{}}}", list(&before));
        let (mut tape, mut outer_tape, mut open) = (Tape::default(), Tape::default(), Open::default());
        let outer = outer_tape.read(outer.as_bytes(), 2).unwrap();
        let outside = outer.sorted(outer.root(), &mut open).unwrap();
        let read = tape.read(text.as_bytes(), 2).unwrap();
        let range = read.sorted(read.root(), &mut open).unwrap();
        prop_assert_eq!(range.start, outside.end);
        let sorted: Vec<_> = range.clone().map(|at| (open.get(at).key.to_vec(), read.raw(open.get(at).value).to_vec())).collect();
        let mut wanted: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let says: String = serde_json::from_str(&format!("\"{key}\"")).unwrap();
                (says.into_bytes(), at.to_string().into_bytes())
            })
            .collect();
        wanted.sort_by(|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(&sorted, &wanted);
        let is_twice = wanted.windows(2).any(|pair| pair[0].0 == pair[1].0);
        prop_assert_eq!(open.has_duplicates(range.clone()), is_twice);
        open.close(range);
        prop_assert_eq!(outside.map(|at| open.get(at).key.len()).sum::<usize>(), before.len());
    }
}
