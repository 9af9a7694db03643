//! The extractor in pieces against the extractor on the whole text, and against `serde_json` where the text is JSON.

use json_extract::{JsonExtractor, Members, Pattern, Slot, at_path};

use crate::json::{self, Json};
use crate::pieces::{Random, pieces};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Usage,
    Id,
    Deep,
    Element,
    Exception,
    Reason,
}

const FIELDS: [Field; 6] = [Field::Usage, Field::Id, Field::Deep, Field::Element, Field::Exception, Field::Reason];

impl Slot for Field {
    fn index(self) -> usize {
        self as usize
    }

    fn bound(self) -> usize {
        if self == Self::Usage { 64 } else { 4 << 10 }
    }

    fn counts_words(self) -> bool {
        self == Self::Reason
    }
}

type Extractor = JsonExtractor<Field, 6>;

const MEMBERS: Members<Field> = &[
    ("usage", Pattern::Value(Field::Usage)),
    (
        "a",
        Pattern::Members(&[
            ("id", Pattern::Value(Field::Id)),
            ("b", Pattern::Members(&[("c", Pattern::Value(Field::Deep))])),
        ]),
    ),
    ("list", Pattern::Each(&Pattern::Members(&[("x", Pattern::Value(Field::Element)), ("", Pattern::Also(MORE))]))),
    ("*xception", Pattern::Key(Field::Exception)),
];
const MORE: Members<Field> = &[("reason", Pattern::Value(Field::Reason))];

/// Keys up to this length are compared; longer ones are other keys.
const LONGEST_KEY: usize = 128;

/// Checks one text.
pub fn check(input: &[u8]) {
    let whole = read([input]);
    let cut = read(pieces(input, &mut Random::of(input)));
    assert_eq!(facts(&whole), facts(&cut), "where it is cut does not matter");
    let text = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let Some(tree @ Json::Object(..)) = json::parse(text) else { return };
    assert!(whole.is_complete() && whole.is_sound(), "it is an object");
    let mut found = Found::default();
    found.members(&tree, MEMBERS);
    for field in FIELDS {
        let value = found.values[field.index()].as_deref();
        let is_too_long = value.is_some_and(|value| value.len() > field.bound());
        assert_eq!(whole.is_too_long(field), is_too_long, "{field:?}");
        assert_eq!(whole.mentions(field), value.is_some(), "{field:?}");
        if is_too_long {
            continue;
        }
        let value = value.filter(|value| *value != "null");
        assert_eq!(whole.get(field), value.map(str::as_bytes), "{field:?}");
        if field != Field::Exception {
            let string =
                value.filter(|value| value.starts_with('"')).and_then(|value| serde_json::from_str(value).ok());
            assert_eq!(whole.string(field), string, "{field:?}");
        }
    }
    assert_eq!((whole.elements(), whole.words()), (found.elements, found.words));
    for path in ["usage", "a.id", "a.b.c", "a", "list"] {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let value = path.iter().try_fold(&tree, |value, key| value.last(key)).map(Json::text);
        assert_eq!(at_path(text, &path), value.filter(|value| *value != "null"), "{path:?}");
    }
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Extractor {
    let mut extractor = Extractor::new(MEMBERS);
    pieces.into_iter().for_each(|piece| extractor.feed(piece));
    extractor
}

type Facts = (bool, bool, usize, usize, Vec<(Option<Vec<u8>>, bool, bool, bool, bool)>);

fn facts(extractor: &Extractor) -> Facts {
    let facts = FIELDS.map(|field| {
        (
            extractor.get(field).map(<[u8]>::to_vec),
            extractor.mentions(field),
            extractor.is_too_long(field),
            extractor.is_list(field),
            extractor.is_filled_list(field),
        )
    });
    (extractor.is_complete(), extractor.is_sound(), extractor.elements(), extractor.words(), facts.to_vec())
}

/// What is found in a whole text, in its order.
#[derive(Default)]
struct Found {
    values: [Option<String>; 6],
    elements: usize,
    words: usize,
}

impl Found {
    fn members(&mut self, object: &Json<'_>, members: Members<Field>) {
        let Json::Object(entries, _) = object else { return };
        for entry in entries {
            let comparable = entry.raw_key.len() <= LONGEST_KEY;
            if let Some(pattern) = find(members, &entry.key).filter(|_| comparable) {
                self.value(&entry.value, pattern, entry.raw_key);
            }
        }
    }

    fn value(&mut self, value: &Json<'_>, pattern: &Pattern<Field>, raw_key: &str) {
        match pattern {
            Pattern::Value(field) => self.set(*field, value.text().to_owned()),
            Pattern::Key(field) => self.set(*field, format!("\"{raw_key}\"")),
            Pattern::Members(members) => self.members(value, members),
            Pattern::Each(inner) => {
                let Json::List(items, _) = value else { return };
                for item in items {
                    self.elements += usize::from(matches!(item, Json::Object(..)));
                    self.value(item, inner, "");
                }
            }
            Pattern::Also(_) => unreachable!("it has no key"),
        }
    }

    fn set(&mut self, field: Field, text: String) {
        if field.counts_words() && text.len() <= field.bound() {
            let word: Option<String> = serde_json::from_str(&text).ok();
            self.words += usize::from(word.is_some_and(|word| !word.trim().is_empty()));
        }
        self.values[field.index()] = Some(text);
    }
}

fn find(members: Members<Field>, key: &str) -> Option<&'static Pattern<Field>> {
    members.iter().find_map(|(name, pattern)| match (pattern, name.strip_prefix('*')) {
        (Pattern::Also(more), _) => find(more, key),
        (_, Some(end)) => key.ends_with(end).then_some(pattern),
        (_, None) => (*name == key).then_some(pattern),
    })
}
