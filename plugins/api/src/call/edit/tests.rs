use super::*;
use crate::{MessageHashes, ModelCall, ParsedBody};

fn limit(text: &str, value: &str) -> TokenLimit {
    let start = text.find(value).unwrap();
    let at = start..start + value.len();
    TokenLimit { field: TokenField::MAX_TOKENS, exact: true, asked: TokenLimitValue::Tokens(9), at }
}

fn call_with(text: &'static str, values: &[&str]) -> ModelCall {
    let token_limits = values.iter().map(|value| limit(text, value)).collect();
    let call = CallFacts { token_limits, members_at: 1, has_members: text.len() > 2, ..CallFacts::default() };
    ModelCall::new(Endpoint::MESSAGES, Bytes::from_static(text.as_bytes()), None, ParsedBody::Calls(vec![call]))
}

fn number(call: &ModelCall, limit: usize) -> &str {
    let at = call.calls()[0].token_limits[limit].at.clone();
    std::str::from_utf8(&call.text()[at]).unwrap()
}

#[test]
fn an_untouched_body_is_the_very_one_that_came() {
    let mut call = call_with(r#"{ "max_tokens" : 9 }"#, &["9"]);
    let sent = call.text().as_ptr();
    call.edit(Vec::new());
    assert!(!call.is_edited());
    assert_eq!(call.into_body().as_ptr(), sent);
}

#[test]
fn a_limit_is_replaced_and_no_other_byte() {
    let mut call = call_with(r#"{ "max_tokens" : 9, "x":1e400, "max_tokens":88 }"#, &["9", "88"]);
    call.edit(vec![Edit::replace(&call.calls()[0].token_limits[0], 4000)]);
    assert!(call.is_edited());
    assert_eq!((number(&call, 0), number(&call, 1)), ("4000", "88"));
    assert_eq!(call.calls()[0].token_limits[0].asked, TokenLimitValue::Tokens(4000));
    assert_eq!(call.into_body(), r#"{ "max_tokens" : 4000, "x":1e400, "max_tokens":88 }"#);
}

#[test]
fn a_limit_is_added_first_with_a_comma_only_where_one_belongs() {
    for (text, edited) in [("{}", r#"{"max_tokens":7}"#), (r#"{"a":1}"#, r#"{"max_tokens":7,"a":1}"#)] {
        let mut call = call_with(text, &[]);
        call.edit(Edit::add(Endpoint::MESSAGES, &call.calls()[0], 7).into_iter().collect());
        assert_eq!((number(&call, 0), call.calls()[0].members_at), ("7", 1));
        assert_eq!(call.into_body(), edited);
    }
}

#[test]
fn the_facts_follow_one_edit_after_another() {
    let mut call = call_with(r#"{"max_tokens":12345,"max_tokens":67890}"#, &["12345", "67890"]);
    let add = Edit::add(Endpoint::MESSAGES, &call.calls()[0], 1).unwrap();
    call.edit(vec![Edit::replace(&call.calls()[0].token_limits[1], 8), add]);
    assert_eq!((number(&call, 0), number(&call, 1), number(&call, 2)), ("1", "12345", "8"));
    call.edit(call.calls()[0].token_limits.iter().map(|limit| Edit::replace(limit, 4000)).collect());
    assert_eq!(call.into_body(), r#"{"max_tokens":4000,"max_tokens":4000,"max_tokens":4000}"#);
}

#[test]
fn the_digest_of_the_messages_moves_with_them_and_is_gone_once_they_are_edited() {
    let text = r#"{"max_tokens":12345,"messages":[{"n":7}],"max_tokens":67890}"#;
    let list = r#"[{"n":7}]"#;
    let at = text.find(list).map(|at| at..at + list.len()).unwrap();
    let digest = MessagesDigest { at, turn: [1; 32], form: [2; 32] };
    let hashes = MessageHashes { conversation: None, digest: Some(digest) };
    let mut call = call_with(text, &["12345", "7", "67890"]).hashed(hashes);
    let add = Edit::add(Endpoint::MESSAGES, &call.calls()[0], 1).unwrap();
    call.edit(vec![Edit::replace(&call.calls()[0].token_limits[0], 8), add]);
    call.edit(vec![Edit::replace(&call.calls()[0].token_limits[3], 9)]);
    assert_eq!(&call.text()[call.messages_digest().unwrap().at.clone()], list.as_bytes());
    call.edit(vec![Edit::replace(&call.calls()[0].token_limits[2], 5)]);
    assert_eq!(call.messages_digest(), None);
}

#[test]
fn of_two_edits_of_the_same_bytes_the_first_is_made() {
    let mut call = call_with(r#"{"max_tokens":9}"#, &["9"]);
    let limit = call.calls()[0].token_limits[0].clone();
    call.edit(vec![Edit::replace(&limit, 1), Edit::replace(&limit, 2)]);
    assert_eq!(call.into_body(), r#"{"max_tokens":1}"#);
}

#[test]
fn a_model_is_renamed_wherever_it_stands_and_the_facts_follow() {
    let text = r#"{"model":"a","max_tokens":9,"MODEL":7}"#;
    let place = |value: &str| text.find(value).map(|at| at..at + value.len()).unwrap();
    let mut call = call_with(text, &["9"]);
    let ParsedBody::Calls(calls) = &mut call.parsed else { unreachable!() };
    calls[0].model = Some("a".into());
    calls[0].other_models = vec![None];
    calls[0].models_at = vec![place("\"a\""), place("7")];
    call.edit(Edit::rename_model(&call.calls()[0], "b\"c").collect());
    let now = &call.calls()[0];
    assert_eq!((now.model.as_deref(), now.other_models[0].as_deref()), (Some("b\"c"), Some("b\"c")));
    assert!(now.models_at.iter().all(|at| &call.text()[at.clone()] == br#""b\"c""#));
    assert_eq!(number(&call, 0), "9");
    assert_eq!(call.into_body(), r#"{"model":"b\"c","max_tokens":9,"MODEL":"b\"c"}"#);
}

/// Has the usage of a stream reported; whether the call had to be edited for that.
fn has_usage_reported(call: &mut ModelCall) -> bool {
    let edit = call.call().and_then(|facts| Edit::report_usage(call.endpoint(), facts));
    let is_edited = edit.is_some();
    call.edit(edit.into_iter().collect());
    is_edited
}

fn stream_with(text: &'static str, stream_options: StreamOptions) -> ModelCall {
    let call =
        CallFacts { stream: true, members_at: 1, has_members: text.len() > 2, stream_options, ..CallFacts::default() };
    ModelCall::new(Endpoint::CHAT_COMPLETIONS, Bytes::from_static(text.as_bytes()), None, ParsedBody::Calls(vec![call]))
}

fn at(text: &str, part: &str) -> std::ops::Range<usize> {
    let start = text.find(part).unwrap();
    start..start + part.len()
}

#[test]
fn usage_is_asked_for_where_the_call_does_not_and_nothing_else_changes() {
    const NULL: &str = r#"{"a":1, "stream_options" : null }"#;
    const EMPTY: &str = r#"{"stream_options":{ }}"#;
    const SILENT: &str = r#"{"stream_options":{"include_obfuscation":false}}"#;
    const NO: &str = r#"{"stream_options":{"include_usage":false}}"#;
    let silent = |has_members| StreamOptions::Silent { members_at: 19, has_members };
    for (text, options, edited) in [
        (r#"{"a":1}"#, StreamOptions::Absent, r#"{"stream_options":{"include_usage":true},"a":1}"#),
        (NULL, StreamOptions::Null(at(NULL, "null")), r#"{"a":1, "stream_options" : {"include_usage":true} }"#),
        (EMPTY, silent(false), r#"{"stream_options":{"include_usage":true }}"#),
        (SILENT, silent(true), r#"{"stream_options":{"include_usage":true,"include_obfuscation":false}}"#),
        (NO, StreamOptions::NoUsage(at(NO, "false")), r#"{"stream_options":{"include_usage":true}}"#),
    ] {
        let mut call = stream_with(text, options);
        assert!(has_usage_reported(&mut call), "{text}");
        assert!(!has_usage_reported(&mut call), "it is asked for by now");
        assert_eq!(call.into_body(), edited);
    }
}

#[test]
fn a_call_that_asks_itself_or_streams_nothing_stays_as_it_is() {
    for options in [StreamOptions::Usage, StreamOptions::Unclear] {
        let mut call = stream_with("{}", options);
        assert!(!has_usage_reported(&mut call) && !call.is_edited());
    }
    for (endpoint, stream) in
        [(Endpoint::CHAT_COMPLETIONS, false), (Endpoint::MESSAGES, true), (Endpoint::RESPONSES, true)]
    {
        let facts = CallFacts { stream, members_at: 1, ..CallFacts::default() };
        let mut call = ModelCall::new(endpoint, Bytes::from_static(b"{}"), None, ParsedBody::Calls(vec![facts]));
        assert!(!has_usage_reported(&mut call) && !call.is_edited());
    }
}

#[test]
fn it_finds_its_place_behind_the_edits_of_others_and_they_theirs() {
    const TEXT: &str = r#"{"max_tokens":99999,"stream_options":{"include_usage":null}}"#;
    let mut call = stream_with(TEXT, StreamOptions::NoUsage(at(TEXT, "null")));
    let limit = TokenLimit {
        field: TokenField::MAX_TOKENS,
        exact: true,
        asked: TokenLimitValue::Tokens(99_999),
        at: at(TEXT, "99999"),
    };
    if let ParsedBody::Calls(calls) = &mut call.parsed {
        calls[0].token_limits.push(limit.clone());
    }
    let add = Edit::add(Endpoint::CHAT_COMPLETIONS, &call.calls()[0], 7).unwrap();
    call.edit(vec![Edit::replace(&limit, 4), add]);
    assert!(has_usage_reported(&mut call));
    let limits = call.calls()[0].token_limits.clone();
    call.edit(limits.iter().map(|limit| Edit::replace(limit, 55)).collect());
    assert_eq!(
        call.into_body(),
        r#"{"max_completion_tokens":55,"max_tokens":55,"stream_options":{"include_usage":true}}"#
    );
}

#[test]
fn a_limit_goes_in_front_of_what_was_put_first() {
    let mut call = stream_with("{}", StreamOptions::Absent);
    assert!(has_usage_reported(&mut call));
    call.edit(Edit::add(Endpoint::CHAT_COMPLETIONS, &call.calls()[0], 7).into_iter().collect());
    assert_eq!(call.into_body(), r#"{"max_completion_tokens":7,"stream_options":{"include_usage":true}}"#);
}
