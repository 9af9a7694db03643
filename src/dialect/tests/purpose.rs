//! What tells the purpose of a call, whether it asks for its usage, and its place in a conversation.

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{Endpoint, Hashing, StreamOptions};

use super::{MAX, one, read, read_at};

#[test]
fn system_blocks_are_counted_and_a_question_for_the_quota_is_known() {
    for (endpoint, body, facts) in [
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":"hi"}]}"#, (0, false)),
        (Endpoint::MESSAGES, r#"{"system":"be","messages":[{"role":"user","content":"hi"}]}"#, (1, false)),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":"hi"}],"system":[{},{}]}"#, (2, false)),
        (
            Endpoint::MESSAGES,
            r#"{"system":"be","messages":[{"content":"x","role":"system"},{"role":"user"}]}"#,
            (2, false),
        ),
        (Endpoint::MESSAGES, r#"{"system":[{},{}],"messages":[{"role":"user","content":" Quota\n"}]}"#, (2, true)),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":[{"type":"text","text":"quota"}]}]}"#, (0, true)),
        (
            Endpoint::MESSAGES,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"user","content":"x"}]}"#,
            (0, false),
        ),
        (
            Endpoint::MESSAGES,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"assistant","content":"x"}]}"#,
            (0, true),
        ),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"assistant","content":"quota"},7,null,"quota"]}"#, (0, false)),
        (
            Endpoint::CHAT_COMPLETIONS,
            r#"{"messages":[{"role":"developer"},{"role":"system"},{"role":"user"}]}"#,
            (2, false),
        ),
        (
            Endpoint::CHAT_COMPLETIONS,
            r#"{"messages":[{"role":"system"},{"role":"user","content":"quota"}]}"#,
            (1, true),
        ),
        (Endpoint::RESPONSES, r#"{"instructions":"be","input":[{"role":"developer","content":"x"}]}"#, (2, false)),
        (Endpoint::RESPONSES, r#"{"instructions":"be","input":"hi"}"#, (1, false)),
        (Endpoint::RESPONSES, r#"{"input":"quota"}"#, (0, true)),
        (Endpoint::COMPLETIONS, r#"{"prompt":"quota"}"#, (0, true)),
        (Endpoint::EMBEDDINGS, r#"{"input":["a","b"]}"#, (0, false)),
    ] {
        let call = read_at(endpoint, body);
        assert_eq!((one(&call).system_blocks, one(&call).asks_quota), facts, "{body}");
    }
}

#[test]
fn stream_options_are_read_where_the_endpoint_has_them() {
    for (endpoint, options, said) in [
        (Endpoint::CHAT_COMPLETIONS, r#"{"include_usage":true}"#, StreamOptions::Usage),
        (Endpoint::COMPLETIONS, r#"{"x":[1], "include_usage" : true}"#, StreamOptions::Usage),
        (Endpoint::CHAT_COMPLETIONS, r#"{"include_usage": false}"#, StreamOptions::NoUsage(36..41)),
        (Endpoint::CHAT_COMPLETIONS, "null", StreamOptions::Null(18..22)),
        (Endpoint::CHAT_COMPLETIONS, " {} ", StreamOptions::Silent { members_at: 20, has_members: false }),
        (Endpoint::CHAT_COMPLETIONS, r#"{"a":1}"#, StreamOptions::Silent { members_at: 19, has_members: true }),
        (Endpoint::CHAT_COMPLETIONS, r#"{"include_usage":true,"include_usage":false}"#, StreamOptions::Unclear),
        (Endpoint::CHAT_COMPLETIONS, r#"{},"stream_options":{}"#, StreamOptions::Unclear),
        (Endpoint::CHAT_COMPLETIONS, "[]", StreamOptions::Unclear),
        (Endpoint::MESSAGES, "{}", StreamOptions::Absent),
    ] {
        let call = read_at(endpoint, format!(r#"{{"stream_options":{options}}}"#));
        assert_eq!(one(&call).stream_options, said, "{options}");
    }
}

#[test]
fn a_call_has_its_place_in_a_conversation_where_that_is_wanted() {
    let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#);
    let place = |endpoint, hashing| read(endpoint, &HeaderMap::new(), body.clone(), MAX, hashing).conversation();
    assert!(
        place(Endpoint::MESSAGES, Hashing::Conversation).is_some()
            && place(Endpoint::CHAT_COMPLETIONS, Hashing::Conversation).is_some()
    );
    assert!(
        place(Endpoint::MESSAGES, Hashing::Nothing).is_none()
            && place(Endpoint::COUNT_TOKENS, Hashing::Conversation).is_none()
    );
}
