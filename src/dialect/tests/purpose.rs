//! What a call is for, whether it asks for its usage, and its place in a conversation.

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{Endpoint, Hashing, StreamOptions};

use super::{MAX, message, one, read, read_at};

#[test]
fn what_a_call_is_for_is_read_by_the_rule_of_claude_nexus() {
    use plugin_api::RequestType::{Inference, QueryEvaluation as Query, Quota};
    for (endpoint, body, purpose) in [
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":"hi"}]}"#, Query),
        (Endpoint::MESSAGES, r#"{"system":"be","messages":[{"role":"user","content":"hi"}]}"#, Query),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":"hi"}],"system":[{},{}]}"#, Inference),
        (
            Endpoint::MESSAGES,
            r#"{"system":"be","messages":[{"content":"x","role":"system"},{"role":"user"}]}"#,
            Inference,
        ),
        (Endpoint::MESSAGES, r#"{"system":[{},{}],"messages":[{"role":"user","content":" Quota\n"}]}"#, Quota),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"user","content":[{"type":"text","text":"quota"}]}]}"#, Quota),
        (
            Endpoint::MESSAGES,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"user","content":"x"}]}"#,
            Query,
        ),
        (
            Endpoint::MESSAGES,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"assistant","content":"x"}]}"#,
            Quota,
        ),
        (Endpoint::MESSAGES, r#"{"messages":[{"role":"assistant","content":"quota"},7,null,"quota"]}"#, Query),
        (
            Endpoint::CHAT_COMPLETIONS,
            r#"{"messages":[{"role":"developer"},{"role":"system"},{"role":"user"}]}"#,
            Inference,
        ),
        (Endpoint::CHAT_COMPLETIONS, r#"{"messages":[{"role":"system"},{"role":"user","content":"quota"}]}"#, Quota),
        (Endpoint::RESPONSES, r#"{"instructions":"be","input":[{"role":"developer","content":"x"}]}"#, Inference),
        (Endpoint::RESPONSES, r#"{"instructions":"be","input":"hi"}"#, Query),
        (Endpoint::RESPONSES, r#"{"input":"quota"}"#, Quota),
        (Endpoint::COMPLETIONS, r#"{"prompt":"quota"}"#, Quota),
        (Endpoint::EMBEDDINGS, r#"{"input":["a","b"]}"#, Query),
    ] {
        assert_eq!(read_at(endpoint, body).request_type(), purpose, "{body}");
    }
    assert_eq!(message("no call").request_type(), Inference);
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
fn a_call_has_its_place_in_a_thread_where_that_is_wanted() {
    let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#);
    let thread = |endpoint, hashing| read(endpoint, &HeaderMap::new(), body.clone(), MAX, hashing).thread();
    assert!(
        thread(Endpoint::MESSAGES, Hashing::Conversation).is_some()
            && thread(Endpoint::CHAT_COMPLETIONS, Hashing::Conversation).is_some()
    );
    assert!(
        thread(Endpoint::MESSAGES, Hashing::Nothing).is_none()
            && thread(Endpoint::COUNT_TOKENS, Hashing::Conversation).is_none()
    );
}
