//! What a call is for, whether it asks for its usage, and its place in a conversation.

use bytes::Bytes;
use http::HeaderMap;
use plugin_api::{Endpoint, StreamOptions};

use super::{MAX, message, one, read, read_at};

#[test]
fn what_a_call_is_for_is_read_by_the_rule_of_claude_nexus() {
    use plugin_api::RequestType::{Inference, QueryEvaluation as Query, Quota};
    for (endpoint, body, purpose) in [
        (Endpoint::Messages, r#"{"messages":[{"role":"user","content":"hi"}]}"#, Query),
        (Endpoint::Messages, r#"{"system":"be","messages":[{"role":"user","content":"hi"}]}"#, Query),
        (Endpoint::Messages, r#"{"messages":[{"role":"user","content":"hi"}],"system":[{},{}]}"#, Inference),
        (
            Endpoint::Messages,
            r#"{"system":"be","messages":[{"content":"x","role":"system"},{"role":"user"}]}"#,
            Inference,
        ),
        (Endpoint::Messages, r#"{"system":[{},{}],"messages":[{"role":"user","content":" Quota\n"}]}"#, Quota),
        (Endpoint::Messages, r#"{"messages":[{"role":"user","content":[{"type":"text","text":"quota"}]}]}"#, Quota),
        (
            Endpoint::Messages,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"user","content":"x"}]}"#,
            Query,
        ),
        (
            Endpoint::Messages,
            r#"{"messages":[{"role":"user","content":"quota"},{"role":"assistant","content":"x"}]}"#,
            Quota,
        ),
        (Endpoint::Messages, r#"{"messages":[{"role":"assistant","content":"quota"},7,null,"quota"]}"#, Query),
        (
            Endpoint::ChatCompletions,
            r#"{"messages":[{"role":"developer"},{"role":"system"},{"role":"user"}]}"#,
            Inference,
        ),
        (Endpoint::ChatCompletions, r#"{"messages":[{"role":"system"},{"role":"user","content":"quota"}]}"#, Quota),
        (Endpoint::Responses, r#"{"instructions":"be","input":[{"role":"developer","content":"x"}]}"#, Inference),
        (Endpoint::Responses, r#"{"instructions":"be","input":"hi"}"#, Query),
        (Endpoint::Responses, r#"{"input":"quota"}"#, Quota),
        (Endpoint::Completions, r#"{"prompt":"quota"}"#, Quota),
        (Endpoint::Embeddings, r#"{"input":["a","b"]}"#, Query),
    ] {
        assert_eq!(read_at(endpoint, body).request_type(), purpose, "{body}");
    }
    assert_eq!(message("no call").request_type(), Inference);
}

#[test]
fn stream_options_are_read_where_the_endpoint_has_them() {
    for (endpoint, options, said) in [
        (Endpoint::ChatCompletions, r#"{"include_usage":true}"#, StreamOptions::Usage),
        (Endpoint::Completions, r#"{"x":[1], "include_usage" : true}"#, StreamOptions::Usage),
        (Endpoint::ChatCompletions, r#"{"include_usage": false}"#, StreamOptions::NoUsage(36..41)),
        (Endpoint::ChatCompletions, "null", StreamOptions::Null(18..22)),
        (Endpoint::ChatCompletions, " {} ", StreamOptions::Silent { members_at: 20, has_members: false }),
        (Endpoint::ChatCompletions, r#"{"a":1}"#, StreamOptions::Silent { members_at: 19, has_members: true }),
        (Endpoint::ChatCompletions, r#"{"include_usage":true,"include_usage":false}"#, StreamOptions::Unclear),
        (Endpoint::ChatCompletions, r#"{},"stream_options":{}"#, StreamOptions::Unclear),
        (Endpoint::ChatCompletions, "[]", StreamOptions::Unclear),
        (Endpoint::Messages, "{}", StreamOptions::Absent),
    ] {
        let call = read_at(endpoint, format!(r#"{{"stream_options":{options}}}"#));
        assert_eq!(one(&call).stream_options, said, "{options}");
    }
}

#[test]
fn a_call_has_its_place_in_a_thread_where_that_is_wanted() {
    let body = Bytes::from_static(br#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#);
    let thread = |endpoint, thread| read(endpoint, &HeaderMap::new(), body.clone(), MAX, thread).thread();
    assert!(thread(Endpoint::Messages, true).is_some() && thread(Endpoint::ChatCompletions, true).is_some());
    assert!(thread(Endpoint::Messages, false).is_none() && thread(Endpoint::CountTokens, true).is_none());
}
