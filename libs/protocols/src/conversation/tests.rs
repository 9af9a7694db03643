//! Which calls go on from each other, and which messages are alike to a conversation.

mod digest;
mod kept;

use json_tape::Open;

use super::*;
use crate::Endpoint;

fn hashes(messages: &[&str], hashing: Hashing) -> MessageHashes {
    let mut turns = ConversationHasher::new(hashing).unwrap();
    read(&mut turns, messages);
    let mut hashes = turns.finish();
    if let Some(digest) = &mut hashes.digest {
        digest.at = 0..1;
    }
    hashes
}

fn read(turns: &mut ConversationHasher, messages: &[&str]) {
    let list = format!("[{}]", messages.join(","));
    let (mut reader, mut shown) = (Reader::new(&list, 0), Vec::new());
    turns.read(&mut reader, |message| shown.push(message)).unwrap();
    reader.end().unwrap();
    assert!(shown.into_iter().eq(messages.iter().map(|message| message.as_bytes())));
}

fn conversation(messages: &[&str]) -> ConversationHash {
    let hashes = hashes(messages, Hashing::Conversation);
    assert_eq!(hashes.digest, None);
    hashes.conversation.unwrap()
}

/// The digest, which costs the conversation hash nothing of what it is.
fn digest(messages: &[&str]) -> Option<MessagesDigest> {
    let hashes = hashes(messages, Hashing::ConversationAndDigest);
    assert_eq!(hashes.conversation, Some(conversation(messages)));
    hashes.digest
}

const HELLO: &str = r#"{"role":"user","content":"hello"}"#;
const HI: &str = r#"{"role":"assistant","content":[{"type":"text","text":"hi"}]}"#;
const AND: &str = r#"{"role":"user","content":"and?"}"#;

/// The turn that a call with these messages goes on from.
fn earlier(messages: &[&str]) -> Option<([u8; 32], Option<[u8; 32]>)> {
    match conversation(messages).earlier {
        Some(Earlier::Turn { messages, words }) => Some((messages, words)),
        _ => None,
    }
}

fn words(message: &str) -> Option<[u8; 32]> {
    let mut words = crate::words::Words::default();
    words.message(message);
    words.hash()
}

#[test]
fn a_call_goes_on_from_the_one_before_the_last_answer() {
    let first = conversation(&[HELLO]);
    assert_eq!(first.earlier, None);
    assert_eq!(ConversationHash::of_first_message("hello"), Some(first.messages));
    let second = conversation(&[HELLO, HI, AND]);
    assert_eq!(earlier(&[HELLO, HI, AND]), Some((first.messages, words(HI))));
    assert_eq!(earlier(&[HELLO, HI, AND, HI, AND]), Some((second.messages, words(HI))));
    assert_eq!(ConversationHasher::default().finish(), MessageHashes::default());
    // of another answer
    assert_ne!(earlier(&[HELLO, HI, AND]), earlier(&[HELLO, &HI.replace("hi", "ho"), AND]));
}

#[test]
fn a_call_that_the_model_goes_on_with_is_the_same_turn() {
    let (one, paused) = (conversation(&[HELLO]), conversation(&[HELLO, HI]));
    assert_eq!(paused.messages, one.messages);
    assert_eq!(earlier(&[HELLO, HI]), Some((one.messages, words(HI))));
    assert_eq!(conversation(&[HELLO, HI, AND, HI]), conversation(&[HELLO, HI, AND]));
    let digests = [&[HELLO][..], &[HELLO, HI]].map(|messages| digest(messages).unwrap().turn);
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn several_messages_may_stand_between_two_answers() {
    let calls = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}"#;
    let [first, second] = ["a", "b"].map(|id| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"1"}}"#));
    assert_eq!(earlier(&[HELLO, calls, &first, &second]), Some((conversation(&[HELLO]).messages, words(calls))));
    let items = [
        r#"{"type":"reasoning","id":"rs_1","encrypted_content":"x"}"#,
        r#"{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}"#,
        r#"{"type":"function_call","call_id":"b","name":"f","arguments":"{}"}"#,
        r#"{"type":"function_call_output","call_id":"a","output":"1"}"#,
        r#"{"type":"function_call_output","call_id":"b","output":"1"}"#,
    ];
    let list: Vec<_> = std::iter::once(HELLO).chain(items).collect();
    assert_eq!(earlier(&list), Some((conversation(&[HELLO]).messages, words(calls))));
}

#[test]
fn what_a_model_thinks_does_not_count_and_is_in_the_digest() {
    let with = |blocks: &str, members: &str| {
        format!(r#"{{"role":"assistant","content":[{blocks}{{"type":"text","text":"hi"}}]{members}}}"#)
    };
    let plain = with("", "");
    let mut seen = vec![digest(&[HELLO, &plain, AND]).unwrap()];
    for other in [
        with(r#"{"type":"thinking","thinking":"hm","signature":"a"},"#, ""),
        with(r#"{"type":"thinking","thinking":"hm","signature":"b"},"#, ""),
        with(r#"{"type":"redacted_thinking","data":"a"},"#, ""),
        with("", r#","reasoning_content":"hm""#),
        with("", r#","reasoning_details":[1]"#),
    ] {
        assert_eq!(conversation(&[HELLO, &other, AND]), conversation(&[HELLO, &plain, AND]), "{other}");
        assert_eq!(conversation(&[HELLO, &other, AND, HI, AND]), conversation(&[HELLO, &plain, AND, HI, AND]));
        let digest = digest(&[HELLO, &other, AND]).unwrap();
        assert!(!seen.contains(&digest), "{other}");
        seen.push(digest);
    }
    let reasoning = r#"{"type":"reasoning","id":"rs_1","encrypted_content":"x"}"#;
    assert_eq!(conversation(&[HELLO, reasoning, HI, AND]), conversation(&[HELLO, HI, AND]));
}

#[test]
fn a_call_that_names_an_answer_goes_on_from_that_and_is_no_beginning() {
    let read = |endpoint: Endpoint, body: &str| {
        crate::parse(endpoint, &http::HeaderMap::new(), body.as_bytes(), Hashing::ConversationAndDigest).1
    };
    let on = |body: &str| read(Endpoint::RESPONSES, body);
    let named = on(&format!(r#"{{"previous_response_id":"resp_1","input":[{HELLO},{HI},{AND}]}}"#));
    let place = named.conversation.unwrap();
    let answer = ConversationHash::of_answer("resp_1");
    assert_eq!((place.earlier, named.digest), (Some(Earlier::Answer(answer)), None));
    let behind = on(&format!(r#"{{"input":[{HELLO},{HI},{AND}],"previous_response_id":"resp_\u0031"}}"#));
    assert_eq!(behind.conversation, Some(place));
    let plain = conversation(&[HELLO, HI, AND]);
    let other =
        on(&format!(r#"{{"previous_response_id":"resp_2","input":[{HELLO},{HI},{AND}]}}"#)).conversation.unwrap();
    assert!(place.messages != plain.messages && place.messages != other.messages);
    // a text is new as messages are
    assert_eq!(on(r#"{"previous_response_id":"resp_1","input":"and?"}"#).conversation.unwrap().earlier, place.earlier);
    // of one that is named twice the last counts
    for without in ["null", "7", r#"["resp_1"]"#, r#""resp_1","previous_response_id":null"#] {
        let read = on(&format!(r#"{{"previous_response_id":{without},"input":[{HELLO},{HI},{AND}]}}"#));
        assert_eq!(read.conversation, Some(plain), "{without}");
    }
    let elsewhere = format!(r#"{{"previous_response_id":"resp_1","messages":[{HELLO},{HI},{AND}]}}"#);
    let elsewhere = read(Endpoint::CHAT_COMPLETIONS, &elsewhere).conversation.unwrap();
    assert_eq!(elsewhere, plain);
}

#[test]
fn what_clients_change_between_calls_does_not_count() {
    for same in [
        r#"{ "content" : "hello", "role":"user" }"#,
        r#"{"role":"user","content":"\u0068ello"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hello"}]}"#,
        r#"{"role":"user","content":[{"text":"hello","cache_control":{"type":"ephemeral"},"type":"text"}]}"#,
        r#"{"role":"user","content":"hello\n<system-reminder>\nmind</system-reminder>"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"<system-reminder>a</system-reminder>"},
            {"type":"text","text":"hello"}]}"#,
    ] {
        assert_eq!(conversation(&[same]), conversation(&[HELLO]), "{same}");
    }
}

#[test]
fn a_message_with_a_key_that_is_no_text_is_hashed_as_it_is_written() {
    let message = r#"{"\ud800":1}"#;
    let mut hash = json_tape::Feed::default();
    hash.push(b"tollgate conversation 2\nw");
    hash.push(&(message.len() as u64).to_le_bytes());
    hash.push(message.as_bytes());
    assert_eq!(conversation(&[message]).messages, hash.finish());
}

#[test]
fn the_rows_that_are_kept_know_a_message_by_the_same_hash() {
    let hex = |message| conversation(&[message]).messages.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (message, hash) in [
        (HELLO, "a067bd01f4b5523ed4fbc8be4f35627996f96770bc49030eafc3996bdae8fbd8"),
        (
            r#"{"role":"assistant","content":[{"type":"text","text":"hi\n"},{"type":"tool_use","id":"t","name":"f",
                "input":{"b":[1,-2,0.5,true,null],"a":"\u00e9"}}]}"#,
            "7a1956aef510e2b8cb03c0ff20310f1af0e66b64c8a53b65d5d6c7bfc68f2eab",
        ),
        (r#"{"role":"user","content":"\ud800"}"#, "a0fc861a8efe1850bc7f50ee68d7e187c612af3043454013080a0713c39858f1"),
    ] {
        assert_eq!(hex(message), hash, "{message}");
    }
}

#[test]
fn a_message_that_is_hashed_as_it_is_written_stands_for_itself() {
    let half = r#"{"role":"user","content":["a","\ud800"]}"#;
    let mut seen = Vec::new();
    for list in
        [&[half][..], &[HELLO, half], &[half, HELLO], &[half, half], &[r#"{"role":"user","content":["a","\ud801"]}"#]]
    {
        let turn = conversation(list).messages;
        assert!(!seen.contains(&turn), "{list:?}");
        seen.push(turn);
        let longer: Vec<_> = list.iter().copied().chain([HI, AND]).collect();
        assert_eq!(earlier(&longer).map(|earlier| earlier.0), Some(turn), "{list:?}");
    }
}

#[test]
fn a_long_string_is_the_same_however_it_is_written() {
    let plain = "ab ".repeat(20_000);
    let escaped = "\\u0061b ".repeat(20_000);
    for content in ["{}", r#"[{"type":"tool_result","content":{}}]"#, r#"[{"type":"text","text":{}}]"#] {
        let message = |string: &str| {
            format!(r#"{{"role":"user","content":{}}}"#, content.replace("{}", &format!("\"{string}\"")))
        };
        assert_eq!(conversation(&[&message(&escaped)]), conversation(&[&message(&plain)]), "{content}");
    }
}

#[test]
fn a_message_beyond_the_bounds_leaves_its_call_without_a_place() {
    let keys = (0..=Open::MOST).map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"role":"user","content":[{{{keys}}}]}}"#);
    let mut turns = ConversationHasher::new(Hashing::ConversationAndDigest).unwrap();
    // of a key that stands twice the last counts
    read(&mut turns, &[HELLO, &many, HELLO]);
    read(&mut turns, &[HELLO]);
    let (again, once) = (turns.finish(), hashes(&[HELLO], Hashing::ConversationAndDigest));
    assert_eq!((again.conversation, again.digest.unwrap().form), (once.conversation, once.digest.unwrap().form));
    assert_eq!(hashes(&[HELLO, &many, HELLO], Hashing::ConversationAndDigest), MessageHashes::default());
    let list = vec!["1"; Tape::MOST + 1].join(",");
    let body = format!(r#"{{"messages":[{list}]}}"#);
    let headers = http::HeaderMap::new();
    let (parsed, hashes) = crate::parse(Endpoint::MESSAGES, &headers, body.as_bytes(), Hashing::ConversationAndDigest);
    assert_eq!(hashes, MessageHashes::default());
    assert!(matches!(parsed, crate::ParsedBody::Calls(calls) if calls[0].messages == Tape::MOST + 1));
    // nested too deep to be read, it is hashed as it is written
    let deep = format!(r#"{{"role":"user","content":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_ne!(conversation(&[&deep]), conversation(&[&deep.replace("[[", "[ [")]));
}

#[test]
fn anything_else_is_another_message() {
    let mut seen = vec![conversation(&[HELLO, AND]).messages];
    for other in [
        r#"{"role":"user","content":"hello "}"#,
        r#"{"role":"assistant","content":"hello"}"#,
        r#"{"role":"user","content":["hello"]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}"#,
        r#"{"role":"user","content":[{"type":"image","text":"hello"}]}"#,
        r#"{"role":"user","content":"hello <system-reminder>"}"#,
        r#"{"role":"user","content":"hello","n":1}"#,
        r#"{"role":"user","content":"hello","n":1.0}"#,
        r#"{"role":"user","content":"hello","n":"1"}"#,
        r#"{"role":"user","content":"hello","n":1e400}"#,
        r#"{"role":"user","content":"\ud800"}"#,
        "7",
    ] {
        let turn = conversation(&[other, AND]).messages;
        assert!(!seen.contains(&turn), "{other}");
        seen.push(turn);
    }
}
