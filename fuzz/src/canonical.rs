//! The digest of calls: all spellings of a call share one, and two calls that differ in anything but what the cache's rules leave out
//! do not. The rules are written down here once more. They hold alike for calls whose messages were hashed as turns of a
//! conversation.

use plugin_api::http::HeaderMap;
use plugin_api::{Endpoint, Hashing};
use response_cache::call_digest;

use crate::json::{self, Json};
use crate::pieces::Random;

/// The digests of a call: of its text alone, and of its text and its messages as turns.
fn digests(endpoint: Endpoint, text: &[u8]) -> [Option<[u8; 32]>; 2] {
    let (_, hashes) = protocols::parse(endpoint, &HeaderMap::new(), text, Hashing::ConversationAndDigest);
    let digests = [None, hashes.digest.as_ref()].map(|messages| call_digest(endpoint, text, messages));
    assert_eq!(digests[0].is_some(), digests[1].is_some(), "one of two ways bypasses the cache");
    digests
}

/// Checks one call.
pub fn check(input: &[u8]) {
    let random = &mut Random::of(input);
    let is_anthropic = random.one_in(2);
    let endpoint = Endpoint::of(if is_anthropic { "/v1/messages" } else { "/v1/chat/completions" });
    let endpoint = endpoint.expect("an endpoint");
    let digest = digests(endpoint, input);
    let text = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let Some(tree @ Json::Object(..)) = json::parse(text) else { return };
    let mut tree = Tree::of(&tree);
    let Some(meaning) = tree.meaning(Place::Call(is_anthropic)) else {
        assert!(digest == [None; 2], "a key stands twice");
        return;
    };
    let mut respelled = String::new();
    tree.write(&mut respelled, random);
    // the types of tools are compared as they are written: a spelling with escapes bypasses the cache, which is safe
    for pair in digest.into_iter().zip(digests(endpoint, respelled.as_bytes())) {
        if let (Some(digest), Some(other)) = pair {
            assert_eq!(other, digest, "another spelling: {respelled}");
        }
    }
    let mut at = random.below(tree.count());
    tree.change(&mut at, random);
    let mut changed = String::new();
    tree.write(&mut changed, random);
    let is_same = tree.meaning(Place::Call(is_anthropic)).as_ref() == Some(&meaning);
    for pair in digest.into_iter().zip(digests(endpoint, changed.as_bytes())) {
        if let (Some(digest), Some(other)) = pair {
            assert_eq!(digest == other, is_same, "changed: {changed}");
        }
    }
}

enum Tree {
    Object(Vec<(String, Self)>),
    List(Vec<Self>),
    String(String),
    /// A number as it is written, `true`, `false` or `null`.
    Word(String),
}

/// Where in a call a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// The call itself; whether it is one of Anthropic's API.
    Call(bool),
    /// An object that is left out where all its members are.
    Optional {
        ignored: &'static str,
    },
    Elsewhere,
}

impl Place {
    fn inner(self, key: &str) -> Self {
        match (self, key) {
            (Self::Call(true), "metadata") => Self::Optional { ignored: "user_id" },
            (Self::Call(false), "stream_options") => Self::Optional { ignored: "include_obfuscation" },
            _ => Self::Elsewhere,
        }
    }

    fn ignores(self, key: &str) -> bool {
        match self {
            Self::Call(false) => ["user", "safety_identifier", "prompt_cache_key", "metadata"].contains(&key),
            Self::Optional { ignored } => key == ignored,
            _ => false,
        }
    }
}

impl Tree {
    fn of(json: &Json<'_>) -> Self {
        match json {
            Json::Object(entries, _) => {
                Self::Object(entries.iter().map(|entry| (entry.key.clone(), Self::of(&entry.value))).collect())
            }
            Json::List(items, _) => Self::List(items.iter().map(Self::of).collect()),
            Json::String(string, _) => Self::String(string.clone()),
            Json::Word(word) => Self::Word((*word).to_owned()),
        }
    }

    /// What a call means to its answer; `None` where a key that counts stands twice.
    fn meaning(&self, place: Place) -> Option<String> {
        Some(match self {
            Self::Object(members) => {
                let mut members: Vec<&(String, Self)> = members.iter().collect();
                members.sort_by_key(|(key, _)| key.as_bytes());
                if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return None;
                }
                let mut text = "{".to_owned();
                for (key, value) in members {
                    let inner = place.inner(key);
                    if place.ignores(key) || value.is_left_out(inner)? {
                        continue;
                    }
                    text += &format!("{key:?}:{},", value.meaning(inner)?);
                }
                text + "}"
            }
            Self::List(items) => {
                let items: Option<Vec<String>> = items.iter().map(|item| item.meaning(Place::Elsewhere)).collect();
                format!("[{}]", items?.join(","))
            }
            Self::String(string) => format!("{string:?}"),
            Self::Word(word) => word.clone(),
        })
    }

    fn is_left_out(&self, place: Place) -> Option<bool> {
        let (Self::Object(members), Place::Optional { .. }) = (self, place) else { return Some(false) };
        let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        Some(keys.iter().all(|key| place.ignores(key)))
    }

    /// How many values there are.
    fn count(&self) -> usize {
        1 + match self {
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
            Self::List(items) => items.iter().map(Self::count).sum::<usize>(),
            Self::String(_) | Self::Word(_) => 0,
        }
    }

    /// Changes the value of this number, in the order of the text.
    fn change(&mut self, at: &mut usize, random: &mut Random) -> bool {
        if *at == 0 {
            match self {
                Self::Object(members) if members.is_empty() || random.one_in(3) => {
                    let key = ["new", "cache_control", "text"][random.below(3)];
                    let value = if random.one_in(2) { Self::Word("1".into()) } else { Self::String(String::new()) };
                    members.push((key.into(), value));
                }
                Self::Object(members) => {
                    let place = random.below(members.len());
                    if random.one_in(2) { drop(members.remove(place)) } else { members[place].0.push('x') }
                }
                // a block without a text
                Self::List(items) if random.one_in(4) => {
                    items.push(Self::Object(vec![("text".into(), Self::String(" ".into()))]));
                }
                Self::List(items) if items.is_empty() || random.one_in(3) => items.push(Self::List(Vec::new())),
                Self::List(items) => {
                    let (one, other) = (random.below(items.len()), random.below(items.len()));
                    if random.one_in(2) { drop(items.remove(one)) } else { items.swap(one, other) }
                }
                Self::String(string) if random.one_in(4) => string.push_str("<system-reminder>a</system-reminder>"),
                // a text as the one block that says the same
                Self::String(string) if random.one_in(4) => {
                    let text = ("text".to_owned(), Self::String(std::mem::take(string)));
                    *self = Self::List(vec![Self::Object(vec![("type".into(), Self::String("text".into())), text])]);
                }
                Self::String(string) => string.push(['a', '\0', '"', '\\', '\u{FF}', '🎉'][random.below(6)]),
                Self::Word(word) => *self = Self::String(std::mem::take(word)),
            }
            return true;
        }
        *at -= 1;
        match self {
            Self::Object(members) => members.iter_mut().any(|(_, value)| value.change(at, random)),
            Self::List(items) => items.iter_mut().any(|item| item.change(at, random)),
            Self::String(_) | Self::Word(_) => false,
        }
    }

    /// Writes it with its members, white space and escapes as chance has it.
    fn write(&self, text: &mut String, random: &mut Random) {
        space(text, random);
        match self {
            Self::Object(members) => {
                text.push('{');
                let mut order: Vec<usize> = (0..members.len()).collect();
                (1..order.len()).for_each(|at| order.swap(at, random.below(at + 1)));
                for (number, at) in order.into_iter().enumerate() {
                    text.push_str(if number > 0 { "," } else { "" });
                    space(text, random);
                    string(&members[at].0, text, random);
                    space(text, random);
                    text.push(':');
                    members[at].1.write(text, random);
                }
                space(text, random);
                text.push('}');
            }
            Self::List(items) => {
                text.push('[');
                for (number, item) in items.iter().enumerate() {
                    text.push_str(if number > 0 { "," } else { "" });
                    item.write(text, random);
                }
                space(text, random);
                text.push(']');
            }
            Self::String(value) => string(value, text, random),
            Self::Word(word) => text.push_str(word),
        }
        space(text, random);
    }
}

fn space(text: &mut String, random: &mut Random) {
    if random.one_in(4) {
        text.push([' ', '\t', '\n', '\r'][random.below(4)]);
    }
}

fn string(value: &str, text: &mut String, random: &mut Random) {
    text.push('"');
    for char in value.chars() {
        let must = char < ' ' || matches!(char, '"' | '\\');
        if must || random.one_in(5) {
            let units = char.encode_utf16(&mut [0; 2]).to_vec();
            for unit in units {
                let digits = format!("{unit:04x}");
                text.push_str("\\u");
                text.push_str(&if random.one_in(2) { digits.to_uppercase() } else { digits });
            }
        } else {
            text.push(char);
        }
    }
    text.push('"');
}
