//! Bodies as clients and attackers send them, and what is read from them.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use plugin_api::{CallFacts, Endpoint, Hashing, ModelCall, ParsedBody, TokenField, TokenLimitValue};

use super::read;

mod any_object;
mod hostile;
mod purpose;
mod unreadable;

const MAX: usize = 32 << 20;

fn read_at(endpoint: Endpoint, body: impl Into<Bytes>) -> ModelCall {
    read(endpoint, &HeaderMap::new(), body.into(), MAX, Hashing::Nothing)
}

fn read_typed(content_type: &'static str, body: impl Into<Bytes>) -> ModelCall {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    read(Endpoint::MESSAGES, &headers, body.into(), MAX, Hashing::Nothing)
}

fn message(body: impl Into<Bytes>) -> ModelCall {
    read_at(Endpoint::MESSAGES, body)
}

fn one(call: &ModelCall) -> &CallFacts {
    match call.parsed() {
        ParsedBody::Calls(calls) => &calls[0],
        other => panic!("not read: {other:?}"),
    }
}

fn asked(call: &ModelCall) -> Vec<TokenLimitValue> {
    call.calls().iter().flat_map(|call| &call.token_limits).map(|limit| limit.asked).collect()
}

#[test]
fn the_facts_of_a_message_are_read() {
    let call = message(
        r#"{"model":"claude-opus-5","max_tokens":1024,"stream":true,"tools":[{"name":"f","input_schema":
            {"properties":{"max_tokens":{"type":"integer"},"model":{}}}}],
            "messages":[{"role":"user","content":"set \"max_tokens\":99999"},{"role":"assistant","content":[]}]}"#,
    );
    let call = one(&call);
    assert_eq!(call.model.as_deref(), Some("claude-opus-5"));
    assert_eq!((call.stream, call.tools, call.messages), (true, true, 2));
    assert_eq!((call.members_at, call.has_members, call.duplicate_keys, call.place), (1, true, false, None));
    assert_eq!(call.token_limits.len(), 1);
    assert_eq!(call.token_limits[0].asked, TokenLimitValue::Tokens(1024));
}

#[test]
fn the_answers_that_a_call_asks_for_are_counted_however_it_says_so() {
    for (body, answers) in [
        (r#"{"model":"m"}"#, None),
        (r#"{"n":null}"#, None),
        (r#"{"n":3}"#, Some(3)),
        (r#"{"N":3,"n":2}"#, Some(3)),
        (r#"{"n":2,"best_of":5}"#, Some(5)),
        (r#"{"n":"3"}"#, Some(u64::MAX)),
        (r#"{"prompt":"a"}"#, None),
        (r#"{"prompt":[1,2,3]}"#, None),
        (r#"{"prompt":[ "a","b"],"n":4}"#, Some(8)),
        (r#"{"prompt":[[1,2],[3],[4]]}"#, Some(3)),
    ] {
        assert_eq!(one(&read_at(Endpoint::COMPLETIONS, body)).answers, answers, "{body}");
    }
}

#[test]
fn thinking_budgets_are_read_with_their_places() {
    let budgets = |body: &'static str| -> Vec<(&str, u64, &str)> {
        let call = read_at(Endpoint::CHAT_COMPLETIONS, body);
        let budgets = one(&call).thinking_budgets.iter();
        budgets.map(|budget| (budget.member, budget.tokens, &body[budget.at.clone()])).collect()
    };
    assert_eq!(
        budgets(r#"{"max_tokens":32000,"thinking" : { "budget_tokens": 31999 ,"type":"enabled"}}"#),
        [("thinking", 31_999, "31999")]
    );
    assert_eq!(
        budgets(r#"{"thinking":{"budget_tokens":1,"BUDGET_TOKENS":2e3},"reasoning":{"max_tokens":3,"effort":"low"}}"#),
        [("thinking", 1, "1"), ("thinking", 2000, "2e3"), ("reasoning", 3, "3")]
    );
    for body in [
        r#"{"thinking":{"type":"adaptive"}}"#,
        r#"{"thinking":{"type":"disabled","budget_tokens":5000}}"#,
        r#"{"thinking":{"budget_tokens":"5000"}}"#,
        r#"{"thinking":null,"reasoning":{"effort":"high"},"x":{"budget_tokens":1}}"#,
        r#"{"thinking":[{"budget_tokens":1}]}"#,
    ] {
        assert_eq!(budgets(body), [], "{body}");
    }
    let batch = read_at(
        Endpoint::MESSAGE_BATCHES,
        r#"{"requests":[{"params":{}},{"params":{"thinking":{"type":"enabled","budget_tokens":2048}}}]}"#,
    );
    assert_eq!((batch.calls()[0].thinking_budgets.len(), batch.calls()[1].thinking_budgets[0].tokens), (0, 2048));
}

#[test]
fn each_endpoint_is_read_in_its_own_words() {
    for (endpoint, body, messages) in [
        (Endpoint::COUNT_TOKENS, r#"{"model":"m","messages":[1]}"#, 1),
        (Endpoint::CHAT_COMPLETIONS, r#"{"model":"m","messages":[1,2],"max_completion_tokens":7}"#, 2),
        (Endpoint::COMPLETIONS, r#"{"model":"m","prompt":"p","max_tokens":7}"#, 0),
        (Endpoint::RESPONSES, r#"{"model":"m","input":[1,2,3],"max_output_tokens":7}"#, 3),
        (Endpoint::RESPONSES, r#"{"model":"m","input":"text"}"#, 0),
        (Endpoint::EMBEDDINGS, r#"{"model":"m","input":["a","b"]}"#, 0),
    ] {
        let call = read_at(endpoint, body);
        assert_eq!(one(&call).messages, messages, "{body}");
        assert_eq!(one(&call).model.as_deref(), Some("m"), "{body}");
        assert_eq!(asked(&call), vec![TokenLimitValue::Tokens(7); usize::from(body.contains("tokens\""))], "{body}");
    }
}

#[test]
fn the_names_of_all_token_limits_count_everywhere() {
    let call = read_at(
        Endpoint::EMBEDDINGS,
        r#"{"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"max_response_output_tokens":4}"#,
    );
    let fields: Vec<_> = one(&call).token_limits.iter().map(|limit| limit.field).collect();
    assert_eq!(fields, TokenField::all());
}

#[test]
fn members_of_other_kinds_than_expected_are_no_facts() {
    for body in [
        r#"{"model":7,"stream":1,"tools":{},"messages":"x"}"#,
        r#"{"model":null,"stream":null,"tools":null,"messages":null}"#,
        r#"{"model":["m"],"stream":"true","tools":[],"messages":1e400}"#,
        r#"{"model":{"a":"m"},"tools":-1e400,"messages":"\ud800"}"#,
        r#"{"model":"\ud800","tools":"\udfff"}"#,
        "{}",
        " \t\r\n{ }\n",
    ] {
        let call = message(body);
        let call = one(&call);
        assert_eq!((&call.model, call.stream, call.tools, call.messages), (&None, false, false, 0), "{body}");
    }
}

#[test]
fn a_limit_is_found_in_every_spelling_and_place() {
    for body in [
        r#"{"max_tokens":5000}"#,
        "\u{FEFF}{\"max_tokens\":5000}",
        "\n\t { \"max_tokens\"\r\n:\t5000 } \n",
        r#"{"max\u005ftokens":5e3}"#,
        r#"{"\u006d\u0061\u0078\u005F\u0074\u006f\u006b\u0065\u006e\u0073":5000.0}"#,
        r#"{"\ud800":1,"max_tokens":0.5E+4}"#,
        r#"{"max_completion_tokens":5000}"#,
        r#"{"MAX_TOKENS":5000}"#,
        r#"{"Max_Output_Tokens":5000}"#,
        r#"{"max_to\u212Aen\u017f":5000}"#,
        "{\"max_tokenſ\":5000}",
        r#"{"a":{"max_tokens":1},"b":[{"max_tokens":1}],"c":"max_tokens","max_tokens":5000}"#,
        r#"{"a":1e999999,"b":123456789012345678901234567890,"max_tokens":5000}"#,
    ] {
        let call = message(body);
        assert_eq!(asked(&call), [TokenLimitValue::Tokens(5000)], "{body}");
        let at = one(&call).token_limits[0].at.clone();
        assert!(
            ["5000", "5e3", "5000.0", "0.5E+4"].iter().any(|number| call.text()[at.clone()] == *number.as_bytes()),
            "{body}"
        );
        assert_eq!(call.text()[one(&call).members_at - 1], b'{', "{body}");
    }
}

#[test]
fn only_the_apis_own_letters_are_exact() {
    let call = message(r#"{"max_tokens":1,"MAX_TOKENS":2,"max\u005ftokens":3}"#);
    let exact: Vec<_> = one(&call).token_limits.iter().map(|limit| limit.exact).collect();
    assert_eq!(exact, [true, false, true]);
}

#[test]
fn names_that_only_resemble_a_limit_are_none() {
    for key in
        ["max_token", "max_tokens ", " max_tokens", "max-tokens", "max_tokens\\u0000", "maxtokens", "mäx_tokens", ""]
    {
        let call = message(format!(r#"{{"{key}":5000}}"#));
        assert!(asked(&call).is_empty() && one(&call).has_members, "{key}");
    }
}

#[test]
fn of_keys_that_stand_twice_every_limit_and_every_model_is_kept() {
    let call = message(r#"{"max_tokens":1,"model":"a","max_tokens":99,"model":"b","MODEL":"c","model":7,"model":"d"}"#);
    assert_eq!(asked(&call), [TokenLimitValue::Tokens(1), TokenLimitValue::Tokens(99)]);
    let call = one(&call);
    assert!(call.duplicate_keys);
    assert_eq!(call.model.as_deref(), Some("d"));
    assert_eq!(call.other_models, [Some("a".into()), Some("c".into()), Some("b".into()), None]);
}

#[test]
fn keys_that_stand_twice_are_noticed_however_they_are_written() {
    for (body, twice) in [
        (r#"{"a":1,"b":2}"#, false),
        (r#"{"a":1,"b":2,"\u0061":3}"#, true),
        (r#"{"a":{"a":1},"b":{"a":1}}"#, false),
        (r#"{"a":1,"A":2}"#, false),
    ] {
        assert_eq!(one(&message(body)).duplicate_keys, twice, "{body}");
    }
    let long = |escape: &str| one(&message(format!(r#"{{"{}":1,"max_tokens":2}}"#, escape.repeat(1000)))).clone();
    assert!(long("\\u0061").duplicate_keys, "too long to tell");
    assert!(!long("a").duplicate_keys && long("\\u0061").token_limits.len() == 1);
    let many: Vec<_> = (0..10_000).map(|key| format!("\"{key}\":0")).collect();
    assert!(one(&message(format!("{{{}}}", many.join(",")))).duplicate_keys, "too many to tell");
}

#[test]
fn a_long_name_of_a_model_is_none_and_a_call_names_no_more_than_a_few() {
    let named = |length: usize| one(&message(format!(r#"{{"model":"{}"}}"#, "m".repeat(length)))).model.clone();
    assert_eq!(named(512).map(|name| name.len()), Some(512));
    assert_eq!(named(513), None);
    for member in [r#""model":"m""#, r#""max_tokens":1"#, r#""Model":"m""#] {
        let call = message(format!("{{{}}}", vec![member; 17].join(",")));
        assert!(matches!(call.parsed(), ParsedBody::Unreadable(reason) if reason.contains("more than 16")));
    }
}

#[test]
fn a_batch_holds_many_calls_each_at_its_place() {
    let call = read_at(
        Endpoint::MESSAGE_BATCHES,
        r#" {"requests": [ {"custom_id":"a","params" : {"model":"m","max_tokens":1}}, {}, {"params":null},
            {"par\u0061ms":{},"params":{"max_tokens":3,"messages":[1]}} ], "max_tokens": 9} "#,
    );
    let places: Vec<_> = call.calls().iter().map(|call| call.place).collect();
    assert_eq!(places, [Some(0), Some(3), Some(3)]);
    assert_eq!(asked(&call), [TokenLimitValue::Tokens(1), TokenLimitValue::Tokens(3)]);
    for one in call.calls() {
        assert_eq!(call.text()[one.members_at - 1], b'{');
        for limit in &one.token_limits {
            assert!(matches!(call.text()[limit.at.clone()], [b'1' | b'3']));
        }
    }
    for empty in ["{}", r#"{"requests":7}"#, r#"{"requests":[]}"#] {
        assert!(
            matches!(read_at(Endpoint::MESSAGE_BATCHES, empty).parsed(), ParsedBody::Calls(calls) if calls.is_empty())
        );
    }
}

#[test]
fn a_batch_of_anything_but_objects_or_of_too_many_is_not_read() {
    let long = format!(r#"{{"requests":["{}"]}}"#, "x".repeat(10_000));
    let batch = |call: &str, count| format!(r#"{{"requests":[{}]}}"#, vec![call; count].join(","));
    let many = batch(r#"{"params":{"model":"m","max_tokens":1}}"#, 100_001);
    let tiny = batch(r#"{"params":{}}"#, 100_000);
    let again = batch(r#"{"params":{"model":"m","max_tokens":1,"max_tokens":1}}"#, 1001);
    for (body, wanted) in [
        (r#"{"requests":[7]}"#, "object"),
        (&long, "xxx"),
        (&many, "more than 100000"),
        (&tiny, "fewer than 32 bytes"),
        (&again, "again more than 1000 times"),
    ] {
        match read_at(Endpoint::MESSAGE_BATCHES, body.to_owned()).parsed() {
            ParsedBody::Unreadable(reason) => assert!(reason.contains(wanted) && reason.len() <= 200, "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
