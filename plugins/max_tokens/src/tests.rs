//! Calls against settings, as a gateway would hand them to the plugin.

use plugin_api::http::StatusCode;
use plugin_api::http::header::CONTENT_TYPE;
use plugin_api::testing::{self, ID, TestCall, TestRequest, batch, context, not_a_call, unreadable};
use plugin_api::{Call, Endpoint, Flow, ModelCall, Plugin, Refusal, TokenField, TokenLimitValue};

use super::{ChatName, Config, ErrorFormat, Head, MaxTokens, Mode};

const PLAIN: &str = r#"{"error":"max_tokens too high","message":"Maximum allowed tokens is 4000"}"#;

fn plugin(change: impl FnOnce(&mut Config)) -> MaxTokens {
    let mut config = Config { limit: Some(4000), ..Config::default() };
    change(&mut config);
    MaxTokens::new(&config).unwrap()
}

/// Runs the hooks of a request; the refusal, if there is one.
async fn run(plugin: &MaxTokens, call: &mut ModelCall) -> Option<Refusal> {
    run_with(plugin, call, "").await
}

/// The same for a client that names these betas.
async fn run_with(plugin: &MaxTokens, body: &mut ModelCall, betas: &'static str) -> Option<Refusal> {
    let (mut state, mut context) = (Head::default(), context());
    let request = TestRequest::to(body.endpoint()).header("anthropic-beta", betas);
    assert!(matches!(
        testing::on_request(plugin, &mut state, &mut request.request(&mut context)).await,
        Flow::Continue
    ));
    match testing::on_call(plugin, &mut state, &mut Call { context: &mut context, body }).await {
        Flow::Continue => None,
        Flow::Refuse(refusal) => Some(*refusal),
        Flow::Answer(reply) => panic!("{reply:?}"),
    }
}

async fn refused(plugin: &MaxTokens, mut call: ModelCall) -> String {
    let refusal = run(plugin, &mut call).await.expect("refused");
    assert!(["too_high", "not_a_number", "no_room", "unreadable"].contains(&refusal.reason()));
    let reply = refusal.into_reply(call.protocol(), ID);
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
    assert_eq!(reply.headers["x-should-retry"], "false");
    assert!(!call.is_edited());
    String::from_utf8(reply.body.whole().unwrap().to_vec()).unwrap()
}

async fn passed(plugin: &MaxTokens, mut call: ModelCall) -> String {
    assert!(run(plugin, &mut call).await.is_none(), "refused");
    String::from_utf8(call.into_body().to_vec()).unwrap()
}

fn asks(tokens: u64) -> TestCall {
    TestCall::new().model("claude-opus-5").max_tokens(tokens)
}

fn odd(spelling: &str, asked: TokenLimitValue) -> TestCall {
    TestCall::new().limit(TokenField::MAX_TOKENS, spelling, asked)
}

#[tokio::test]
async fn only_more_than_the_limit_is_refused() {
    let plugin = plugin(|_| {});
    for tokens in [0, 1, 3999, 4000] {
        passed(&plugin, asks(tokens).to(Endpoint::MESSAGES)).await;
    }
    for tokens in [4001, 128_000, u64::MAX] {
        refused(&plugin, asks(tokens).to(Endpoint::MESSAGES)).await;
    }
    passed(&plugin, TestCall::new().to(Endpoint::MESSAGES)).await;
}

#[tokio::test]
async fn a_refusal_speaks_the_callers_dialect() {
    let plugin = plugin(|_| {});
    let anthropic = refused(&plugin, asks(5000).to(Endpoint::MESSAGES)).await;
    let message = "max_tokens too high: 5000. Maximum allowed tokens is 4000";
    assert_eq!(
        anthropic,
        format!(
            r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}},"request_id":"{ID}"}}"#
        )
    );
    let openai = TestCall::new().limit(TokenField::MAX_COMPLETION_TOKENS, "5e3", TokenLimitValue::Tokens(5000));
    let openai = refused(&plugin, openai.to(Endpoint::CHAT_COMPLETIONS)).await;
    let message = "max_tokens too high: 5e3 in max_completion_tokens. Maximum allowed tokens is 4000";
    assert!(openai.starts_with(&format!(r#"{{"error":{{"message":"{message}","type":"#)), "{openai}");
}

#[tokio::test]
async fn a_plain_refusal_is_the_same_to_the_byte_for_everyone() {
    let plugin = plugin(|config| config.error_format = ErrorFormat::Plain);
    for endpoint in [Endpoint::MESSAGES, Endpoint::CHAT_COMPLETIONS, Endpoint::RESPONSES] {
        assert_eq!(refused(&plugin, asks(4001).to(endpoint)).await, PLAIN);
    }
    assert_eq!(refused(&plugin, batch(vec![asks(4001)])).await, PLAIN);
    let invalid = refused(&plugin, odd("-1", TokenLimitValue::NotANumber).to(Endpoint::MESSAGES)).await;
    assert_eq!(
        invalid,
        r#"{"error":"max_tokens invalid","message":"max_tokens: must be a whole number of tokens, 0 or more"}"#
    );
    assert!(refused(&plugin, unreadable(Endpoint::MESSAGES, "a \"quote\"")).await.contains(r#"a \"quote\""}"#));
}

#[tokio::test]
async fn every_name_of_a_limit_counts_at_every_endpoint() {
    let plugin = plugin(|_| {});
    for field in TokenField::all().iter().copied() {
        for endpoint in [Endpoint::MESSAGES, Endpoint::COUNT_TOKENS, Endpoint::RESPONSES, Endpoint::EMBEDDINGS] {
            let call = TestCall::new().limit(field, "4001", TokenLimitValue::Tokens(4001));
            refused(&plugin, call.to(endpoint)).await;
        }
    }
}

#[tokio::test]
async fn any_of_several_limits_is_enough_to_refuse() {
    let plugin = plugin(|_| {});
    for (first, second) in [(5, 4001), (4001, 5)] {
        refused(&plugin, asks(first).max_tokens(second).to(Endpoint::MESSAGES)).await;
        let both =
            asks(first).limit(TokenField::MAX_OUTPUT_TOKENS, &second.to_string(), TokenLimitValue::Tokens(second));
        refused(&plugin, both.to(Endpoint::CHAT_COMPLETIONS)).await;
    }
}

#[tokio::test]
async fn what_is_no_number_of_tokens_is_refused_in_either_mode() {
    for mode in [Mode::Reject, Mode::Clamp] {
        let plugin = plugin(|config| config.mode = mode);
        for spelling in ["-1", "0.5", "\"4\"", "true", "{}"] {
            let body = refused(&plugin, odd(spelling, TokenLimitValue::NotANumber).to(Endpoint::MESSAGES)).await;
            assert!(body.contains("max_tokens: must be a whole number of tokens, 0 or more"), "{body}");
        }
        refused(&plugin, odd("null", TokenLimitValue::Null).to(Endpoint::MESSAGES)).await;
        passed(&plugin, odd("null", TokenLimitValue::Null).to(Endpoint::CHAT_COMPLETIONS)).await;
        let body = refused(&plugin, unreadable(Endpoint::RESPONSES, "it is not UTF-8")).await;
        assert!(body.contains("its max_tokens is not known: it is not UTF-8"), "{body}");
    }
}

#[tokio::test]
async fn what_is_no_call_is_left_to_the_upstream() {
    assert_eq!(passed(&plugin(|_| {}), not_a_call(Endpoint::MESSAGES, "[1]")).await, "[1]");
}

#[tokio::test]
async fn a_batch_is_refused_for_any_of_its_calls_and_says_for_which() {
    let plugin = plugin(|_| {});
    let body = refused(&plugin, batch(vec![asks(1), asks(4000), asks(4001)])).await;
    assert!(body.contains("max_tokens too high: 4001 in requests.2.params.max_tokens. Maximum allowed tokens is 4000"));
    let body = refused(&plugin, batch(vec![asks(1), odd("-1", TokenLimitValue::NotANumber)])).await;
    assert!(body.contains("requests.1.params.max_tokens: must be"), "{body}");
    passed(&plugin, batch(vec![asks(1), asks(4000)])).await;
    passed(&plugin, batch(Vec::new())).await;
}

#[tokio::test]
async fn a_number_of_very_many_digits_is_not_quoted() {
    let call = odd(&"9".repeat(100_000), TokenLimitValue::Tokens(u64::MAX)).to(Endpoint::MESSAGES);
    let body = refused(&plugin(|_| {}), call).await;
    assert!(body.contains("max_tokens too high: a number of many digits. Maximum") && body.len() < 300);
}

#[tokio::test]
async fn clamping_lowers_each_number_above_the_limit_and_changes_no_other_byte() {
    let plugin = plugin(|config| config.mode = Mode::Clamp);
    let call = TestCall::new()
        .with("a", r#"[1e400, "max_tokens" ]"#)
        .limit(TokenField::MAX_TOKENS, "5e3", TokenLimitValue::Tokens(5000))
        .limit(TokenField::MAX_OUTPUT_TOKENS, "39", TokenLimitValue::Tokens(39))
        .limit(TokenField::MAX_TOKENS, "128000.0", TokenLimitValue::Tokens(128_000))
        .with("z", "{}");
    assert_eq!(
        passed(&plugin, call.to(Endpoint::MESSAGES)).await,
        r#"{"a":[1e400, "max_tokens" ],"max_tokens":4000,"max_output_tokens":39,"max_tokens":4000,"z":{}}"#
    );
    let body = passed(&plugin, batch(vec![asks(1), asks(9999), asks(4000), asks(10_000)])).await;
    assert_eq!(body.replace("\"max_tokens\":4000", "X").matches("X}").count(), 3, "{body}");
}

#[tokio::test]
async fn the_default_is_filled_in_where_the_endpoint_reads_no_number() {
    let plugin = plugin(|config| config.default = Some(1000));
    for (endpoint, call, body) in [
        (Endpoint::MESSAGES, TestCall::new(), r#"{"max_tokens":1000}"#),
        (Endpoint::MESSAGES, TestCall::new().model("m"), r#"{"max_tokens":1000,"model":"m"}"#),
        (Endpoint::MESSAGES, asks(5), r#"{"model":"claude-opus-5","max_tokens":5}"#),
        (Endpoint::MESSAGES, asks(0), r#"{"model":"claude-opus-5","max_tokens":0}"#),
        (Endpoint::COMPLETIONS, TestCall::new(), r#"{"max_tokens":1000}"#),
        (Endpoint::CHAT_COMPLETIONS, TestCall::new(), r#"{"max_completion_tokens":1000}"#),
        (Endpoint::CHAT_COMPLETIONS, TestCall::new().max_tokens(5), r#"{"max_tokens":5}"#),
        (Endpoint::CHAT_COMPLETIONS, odd("null", TokenLimitValue::Null), r#"{"max_tokens":1000}"#),
        (
            Endpoint::CHAT_COMPLETIONS,
            odd("null", TokenLimitValue::Null).max_tokens(5),
            r#"{"max_tokens":1000,"max_tokens":5}"#,
        ),
        (
            Endpoint::CHAT_COMPLETIONS,
            odd("null", TokenLimitValue::Null).limit(
                TokenField::MAX_COMPLETION_TOKENS,
                "5",
                TokenLimitValue::Tokens(5),
            ),
            r#"{"max_tokens":null,"max_completion_tokens":5}"#,
        ),
        (
            Endpoint::CHAT_COMPLETIONS,
            TestCall::new().limit(TokenField::MAX_OUTPUT_TOKENS, "5", TokenLimitValue::Tokens(5)),
            r#"{"max_completion_tokens":1000,"max_output_tokens":5}"#,
        ),
        (Endpoint::RESPONSES, TestCall::new(), r#"{"max_output_tokens":1000}"#),
        (Endpoint::COUNT_TOKENS, TestCall::new(), "{}"),
        (Endpoint::EMBEDDINGS, TestCall::new(), "{}"),
    ] {
        assert_eq!(passed(&plugin, call.to(endpoint)).await, body, "{endpoint:?}");
    }
    let body = passed(&plugin, batch(vec![TestCall::new(), TestCall::new().max_tokens(5)])).await;
    let requests = r#"{"custom_id":"c0","params":{"max_tokens":1000}},{"custom_id":"c1","params":{"max_tokens":5}}"#;
    assert_eq!(body, format!(r#"{{"requests":[{requests}]}}"#));
}

#[tokio::test]
async fn the_name_that_is_filled_into_a_chat_can_be_chosen() {
    let plugin = plugin(|config| (config.default, config.default_as) = (Some(1000), ChatName::MaxTokens));
    for (endpoint, body) in [
        (Endpoint::CHAT_COMPLETIONS, r#"{"max_tokens":1000}"#),
        (Endpoint::RESPONSES, r#"{"max_output_tokens":1000}"#),
        (Endpoint::MESSAGES, r#"{"max_tokens":1000}"#),
    ] {
        assert_eq!(passed(&plugin, TestCall::new().to(endpoint)).await, body);
    }
}

#[tokio::test]
async fn a_thinking_budget_is_lowered_with_the_number_above_it() {
    let clamp = |limit| plugin(|config| (config.limit, config.mode) = (Some(limit), Mode::Clamp));
    let call = || TestCall::new().max_tokens(32_000).thinking(31_999).with("z", "1e400");
    let body = passed(&clamp(4000), call().to(Endpoint::MESSAGES)).await;
    let thinking = r#""thinking":{"type":"enabled","budget_tokens":3999}"#;
    assert_eq!(body, format!(r#"{{"max_tokens":4000,{thinking},"z":1e400}}"#));
    let body = passed(&clamp(4000), batch(vec![asks(5).thinking(3), call(), asks(9999).thinking(2048)])).await;
    assert!(body.contains(thinking) && body.contains(":2048}") && body.contains(":3}"), "{body}");
    // twice in one call
    let body = passed(&clamp(4000), call().thinking(5000).thinking(1024).to(Endpoint::CHAT_COMPLETIONS)).await;
    assert_eq!((body.matches(":3999}").count(), body.matches(":1024}").count()), (2, 1), "{body}");
    // the smallest that the API takes
    let body = passed(&clamp(1025), call().to(Endpoint::MESSAGES)).await;
    assert!(body.contains(r#""max_tokens":1025"#) && body.contains(r#""budget_tokens":1024"#), "{body}");
    let body = refused(&clamp(1024), call().to(Endpoint::MESSAGES)).await;
    assert!(body.contains("max_tokens too high: thinking.budget_tokens is 31999, which leaves no room below the 1024"));
    let body = refused(&clamp(1024), batch(vec![asks(1), call()])).await;
    assert!(body.contains("requests.1.params.thinking.budget_tokens"), "{body}");
}

#[tokio::test]
async fn a_budget_that_is_not_in_the_way_stays_as_it_is() {
    let clamp = plugin(|config| config.mode = Mode::Clamp);
    for (call, number) in [
        (asks(4000).thinking(3999), "3999"),
        (asks(32_000).thinking(3999), "3999"),
        // wrong as it came: the upstream says so
        (asks(32_000).thinking(32_000), "32000"),
        (asks(100).thinking(2048), "2048"),
    ] {
        let body = passed(&clamp, call.to(Endpoint::MESSAGES)).await;
        assert!(body.contains(&format!(r#""budget_tokens":{number}}}"#)), "{body}");
    }
    // thinking between calls of tools may take more than one answer
    let betas = "a-beta, interleaved-thinking-2025-05-14";
    let mut call = asks(32_000).thinking(31_999).tools().to(Endpoint::MESSAGES);
    assert!(run_with(&clamp, &mut call, betas).await.is_none());
    let body = String::from_utf8(call.into_body().to_vec()).unwrap();
    assert!(body.contains(r#""max_tokens":4000"#) && body.contains(r#""budget_tokens":31999"#), "{body}");
    let mut call = asks(32_000).thinking(31_999).to(Endpoint::MESSAGES);
    assert!(run_with(&clamp, &mut call, betas).await.is_none());
    assert!(String::from_utf8(call.into_body().to_vec()).unwrap().contains(r#""budget_tokens":3999"#), "without tools");
}

#[tokio::test]
async fn what_is_filled_in_leaves_room_for_thinking() {
    let plugin = |limit| plugin(|config| (config.limit, config.default) = (limit, Some(1000)));
    for (limit, budget, filled) in [
        (None, 2048, r#"{"max_tokens":3048,"thinking":{"type":"enabled","budget_tokens":2048}}"#),
        (Some(4000), 2048, r#"{"max_tokens":3048,"thinking":{"type":"enabled","budget_tokens":2048}}"#),
        (Some(2500), 2048, r#"{"max_tokens":2500,"thinking":{"type":"enabled","budget_tokens":2048}}"#),
        (Some(4000), 31_999, r#"{"max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":3999}}"#),
    ] {
        assert_eq!(passed(&plugin(limit), TestCall::new().thinking(budget).to(Endpoint::MESSAGES)).await, filled);
    }
    let body = refused(&plugin(Some(1000)), TestCall::new().thinking(2048).to(Endpoint::MESSAGES)).await;
    assert!(body.contains("thinking.budget_tokens is 2048"), "{body}");
}

#[tokio::test]
async fn no_edit_goes_below_what_the_responses_api_takes() {
    let clamp = |limit| plugin(|config| (config.limit, config.mode) = (Some(limit), Mode::Clamp));
    let call = || TestCall::new().limit(TokenField::MAX_OUTPUT_TOKENS, "20", TokenLimitValue::Tokens(20));
    assert_eq!(passed(&clamp(16), call().to(Endpoint::RESPONSES)).await, r#"{"max_output_tokens":16}"#);
    assert!(refused(&clamp(15), call().to(Endpoint::RESPONSES)).await.contains("20 in max_output_tokens"));
    let filled = plugin(|config| config.default = Some(5));
    assert_eq!(passed(&filled, TestCall::new().to(Endpoint::RESPONSES)).await, r#"{"max_output_tokens":16}"#);
    let few = plugin(|config| (config.limit, config.default) = (Some(10), Some(5)));
    assert!(refused(&few, TestCall::new().to(Endpoint::RESPONSES)).await.contains("must be at least 16"));
    assert_eq!(passed(&few, TestCall::new().to(Endpoint::MESSAGES)).await, r#"{"max_tokens":5}"#);
}

#[tokio::test]
async fn a_model_has_its_own_limit_and_a_second_model_does_not_raise_it() {
    let plugin = plugin(|config| {
        config.models = [("claude-opus-*".to_owned(), 100), ("gpt-*".to_owned(), 9000)].into();
        config.default = Some(2000);
    });
    passed(&plugin, asks(100).to(Endpoint::MESSAGES)).await;
    assert!(refused(&plugin, asks(101).to(Endpoint::MESSAGES)).await.contains("allowed tokens is 100\""));
    passed(&plugin, TestCall::new().model("gpt-5").max_tokens(9000).to(Endpoint::CHAT_COMPLETIONS)).await;
    refused(&plugin, TestCall::new().model("gpt-5").model("claude-opus-5").max_tokens(101).to(Endpoint::MESSAGES))
        .await;
    refused(&plugin, asks(101).model("gpt-5").to(Endpoint::MESSAGES)).await;
    refused(&plugin, TestCall::new().max_tokens(101).to(Endpoint::MESSAGES)).await;
    let filled = passed(&plugin, TestCall::new().model("claude-opus-5").to(Endpoint::MESSAGES)).await;
    assert_eq!(filled, r#"{"max_tokens":100,"model":"claude-opus-5"}"#, "the default is lowered to the model's limit");
}

#[test]
fn settings_that_make_no_sense_are_errors() {
    let check = |config: &Config| MaxTokens::check(config).map_err(String::from);
    let error = check(&Config::default()).unwrap_err();
    assert!(error.contains("`limit`, `models` and `default`"), "{error}");
    let error = check(&Config { limit: Some(4000), default: Some(5000), ..Config::default() }).unwrap_err();
    assert_eq!(error, "`default` is 5000, above `limit`, which is 4000");
    let models = [("*".to_owned(), 1), ("gpt-*".to_owned(), 2)].into();
    assert!(check(&Config { models, ..Config::default() }).is_err());
    assert!(check(&Config { limit: Some(0), default: Some(0), ..Config::default() }).is_ok());
}

#[test]
fn settings_read_as_they_are_written() {
    let text =
        r#"{"limit":4000,"models":{"claude-opus-*":64000},"mode":"clamp","default":1000,"error_format":"plain"}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!((config.mode, config.error_format), (Mode::Clamp, ErrorFormat::Plain));
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    assert!(serde_json::from_str::<Config>(r#"{"limits":4000}"#).unwrap_err().to_string().contains("limits"));
    assert!(serde_json::from_str::<Config>(r#"{"limit":-1}"#).is_err());
}
