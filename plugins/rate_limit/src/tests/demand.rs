//! How much is reserved for a call.

use super::*;

#[tokio::test]
async fn the_largest_of_all_spellings_is_reserved_for_each_answer() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "all", "tokens": "1000000000/m" }], "reserve": "max_tokens" }));
    let several = || {
        let call = TestCall::new().model("m").max_tokens(10);
        call.limit(TokenField::MAX_COMPLETION_TOKENS, "7000", TokenLimitValue::Tokens(7000)).max_tokens(20)
    };
    for (body, tokens) in [
        (message(500), 500),
        (several().to(Endpoint::CHAT_COMPLETIONS), 7000),
        (several().answers(3).to(Endpoint::CHAT_COMPLETIONS), 21_000),
        (batch(vec![TestCall::new().max_tokens(100), TestCall::new().max_tokens(200)]), 300),
        (TestCall::new().model("m").to(Endpoint::EMBEDDINGS), 0),
        (
            TestCall::new().limit(TokenField::MAX_TOKENS, "\"9\"", TokenLimitValue::NotANumber).to(Endpoint::MESSAGES),
            1_000_000_000,
        ),
        (TestCall::new().to(Endpoint::MESSAGES), 1_000_000_000),
    ] {
        let what = String::from_utf8_lossy(body.text()).into_owned();
        let reserved = call(&limits, context(), body).await.ok().unwrap().reserved()[0];
        let input = 250.min(1_000_000_000 - tokens);
        assert!((tokens..=tokens + input).contains(&reserved), "{what}: {reserved}");
    }
    for body in [unreadable(Endpoint::MESSAGES, "x"), not_a_call(Endpoint::MESSAGES, "[]")] {
        assert_eq!(call(&limits, context(), body).await.ok().unwrap().reserved(), [4096]);
    }
    let counted = call(&limits, context(), TestCall::new().to(Endpoint::COUNT_TOKENS)).await.ok().unwrap();
    assert!(counted.reserved().is_empty());
}

#[tokio::test]
async fn the_expected_answer_is_what_calls_of_this_key_and_model_have_had() {
    let host = Host::default();
    let limits = host.limits(json!({ "limits": [{ "by": "key", "tokens": "400000/m" }] }));
    let asks = |tokens| call(&limits, by_key("alice"), message(tokens));
    // what an agent asks for is not what it uses
    assert!((4096..4150).contains(&asks(128_000).await.ok().unwrap().reserved()[0]));
    assert!((100..150).contains(&asks(100).await.ok().unwrap().reserved()[0]));
    for _ in 0..20 {
        asks(128_000).await.ok().unwrap().costs(&limits, 10, 300);
    }
    let reserved = asks(128_000).await.ok().unwrap().reserved()[0];
    assert!((300..450).contains(&reserved), "{reserved}");
    let other = TestCall::new().model("other").max_tokens(128_000).to(Endpoint::MESSAGES);
    assert!(call(&limits, by_key("alice"), other).await.ok().unwrap().reserved()[0] >= 4096);
}

#[tokio::test]
async fn no_estimate_makes_a_call_impossible_and_a_debt_is_paid_before_the_next() {
    let host = Host::default();
    for reserve in ["expected", "max_tokens"] {
        let limits = host
            .limits(json!({ "limits": [{ "name": reserve, "by": "key", "tokens": "1000/m" }], "reserve": reserve }));
        let going = call(&limits, by_key("alice"), message(128_000)).await.ok().unwrap();
        assert_eq!(going.reserved(), [1000]);
        assert!(call(&limits, by_key("alice"), message(1)).await.is_err());
        going.costs(&limits, 10, 2990);
        let refused = call(&limits, by_key("alice"), message(1)).await.err().unwrap();
        // a bucket that drains by the minute is waited for, a minute at a time
        assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), (Some("60"), None));
        assert_eq!(refused.header("anthropic-ratelimit-tokens-remaining"), Some("0"));
    }
}
