//! Calls in the form in which Claude Code sends them: large, with tools, reminders and the session in two places.

use plugin_api::Hashing;

use super::*;

/// A call of this session, of about 49 kB, with these members beside those that each call has.
fn call(session: &str, members: &str, hashing: Hashing) -> ModelCall {
    let tool = |number: u8| {
        let description = "Does what its name says, with all that a model has to know of it.\\n".repeat(50);
        let schema = r#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"],"additionalProperties":false}"#;
        format!(r#"{{"name":"Tool{number}","description":"{description}","input_schema":{schema}}}"#)
    };
    let tools = (0..12).map(tool).collect::<Vec<_>>().join(",");
    let user = format!(r#"{{\"device_id\":\"d1\",\"account_uuid\":\"\",\"session_id\":\"{session}\"}}"#);
    let text = format!(
        r#"{{"model":"claude-opus-4-1","messages":[{{"role":"user","content":[{{"type":"text","text":"<system-reminder>\nThe date is 2026-11-28.\n</system-reminder>"}},{{"type":"text","text":"say hello","cache_control":{{"type":"ephemeral"}}}}]}}],"system":[{{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.332; cc_entrypoint=sdk-cli;"}},{{"type":"text","text":"You are an agent.","cache_control":{{"type":"ephemeral"}}}}],"tools":[{tools}],"metadata":{{"user_id":"{user}"}},"max_tokens":128000,"stream":true{members}}}"#
    );
    assert!((40_000..60_000).contains(&text.len()), "{}", text.len());
    let (parsed, hashes) = protocols::parse(Endpoint::MESSAGES, &HeaderMap::new(), text.as_bytes(), hashing);
    ModelCall::new(Endpoint::MESSAGES, text.into(), None, parsed).hashed(hashes)
}

fn request(key: &'static str, session: &'static str) -> TestRequest {
    TestRequest::to(Endpoint::MESSAGES)
        .header("authorization", key)
        .header("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14")
        .header("x-claude-code-session-id", session)
}

#[tokio::test]
async fn equal_calls_of_two_sessions_share_an_answer_within_their_tenant() {
    for hashing in [Hashing::Nothing, Hashing::ConversationAndDigest] {
        let (_, cache) = cache(|_| {});
        for (key, session, mark) in [
            ("Bearer a", "3f6c0d5e-0000-4000-8000-000000000001", "MISS"),
            ("Bearer a", "3f6c0d5e-0000-4000-8000-000000000002", "HIT"),
            ("Bearer b", "3f6c0d5e-0000-4000-8000-000000000002", "MISS"),
        ] {
            assert_eq!(ask(&cache, &request(key, session), call(session, "", hashing), "hello").await.0, mark, "{key}");
        }
    }
}

#[tokio::test]
async fn calls_with_thinking_or_managed_context_bypass_the_cache() {
    let (_, cache) = cache(|_| {});
    for members in [
        r#","thinking":{"type":"adaptive"}"#,
        r#","context_management":{"edits":[{"type":"clear_thinking_20251015"}]}"#,
    ] {
        let call = call("s", members, Hashing::ConversationAndDigest);
        assert_eq!(ask(&cache, &request("Bearer a", "s"), call, "hello").await.0, "BYPASS", "{members}");
    }
}
