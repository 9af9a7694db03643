//! What a refusal says, and in which headers.

use super::*;

#[tokio::test]
async fn a_throttled_caller_is_told_by_whom_for_what_and_for_how_long_in_its_own_dialect() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "key", "requests": "2/m" }] }));
    for _ in 0..2 {
        assert!(call(&limits, by_key("alice"), message(1)).await.is_ok());
    }
    let refused = call(&limits, by_key("alice"), message(1)).await.err().unwrap();
    assert!(
        refused.message.starts_with("Rate limit `key` reached: 2 requests per minute for key alice. Try again in ")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-should-retry"), None);
    assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("2"));
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!(refused.header("anthropic-ratelimit-requests-reset").unwrap().ends_with('Z'));
    let chat = TestCall::new().model("m").to(Endpoint::CHAT_COMPLETIONS);
    let refused = call(&limits, by_key("alice"), chat).await.err().unwrap();
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(refused.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
    // another caller is not held to it
    assert!(call(&limits, by_key("bob"), message(1)).await.is_ok());
}

#[tokio::test]
async fn a_day_that_is_used_up_says_when_it_ends_and_is_not_to_be_retried() {
    let host = Host::default();
    let limits = host
        .limits(json!({ "limits": [{ "by": ["tenant", "model"], "tokens": "1000/d" }], "time_zone": "Asia/Tokyo" }));
    let context = || {
        let mut context = context();
        context.principal_mut().tenant = Some("team-a".into());
        context
    };
    call(&limits, context(), message(10)).await.ok().unwrap().costs(&limits, 5000, 10);
    let refused = call(&limits, context(), message(10)).await.err().unwrap();
    let (begin, end) = (
        "Limit `tenant+model` is used up: 1000 tokens per day for tenant team-a and model m. It resets at ",
        "T15:00:00Z.",
    );
    assert!(refused.message.starts_with(begin) && refused.message.ends_with(end), "{}", refused.message);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // in the last minute of the day in Tokyo it is worth waiting for
    assert!(wait <= 86_400 && (wait <= 60 || refused.header("x-should-retry") == Some("false")), "{refused:?}");
    assert!(refused.header("anthropic-ratelimit-tokens-reset").unwrap().ends_with("T15:00:00Z"));
    assert_eq!(refused.header("anthropic-ratelimit-tokens-limit"), Some("1000"));
}
