//! Answers taken apart, as upstreams write them.

use proptest::prelude::*;

use super::*;

fn apart(answer: &str, parts: &[(usize, u64)]) -> Option<Vec<String>> {
    let parts: Vec<Part> = parts.iter().map(|(inputs, tokens)| Part { inputs: *inputs, tokens: *tokens }).collect();
    let apart = take_apart(&Bytes::from(answer.to_owned()), &parts)?;
    Some(apart.iter().map(|own| String::from_utf8(own.to_vec()).unwrap()).collect())
}

#[test]
fn each_call_gets_its_embeddings_as_they_are_written_and_its_share_of_the_usage() {
    let answer = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]},{"object":"embedding","index":1,"embedding":"AAA="},{"index":2,"x":{"index":9},"embedding":[]}],"model":"m","usage":{"prompt_tokens":10,"total_tokens":10,"details":{"cached":3}},"x":1}"#;
    let own = apart(answer, &[(1, 3), (2, 7)]).unwrap();
    assert_eq!(
        own[0],
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3,"details":{"cached":1}},"x":1}"#
    );
    assert_eq!(
        own[1],
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAA="},{"index":1,"x":{"index":9},"embedding":[]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7,"details":{"cached":2}},"x":1}"#
    );
}

#[test]
fn a_cost_with_an_exponent_is_shared_as_any_other() {
    let answer = r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":4,"cost":2e-8}}"#;
    let own = r#"{"data":[{"index":0}],"usage":{"prompt_tokens":2,"cost":0.00000001}}"#;
    assert_eq!(apart(answer, &[(1, 1), (1, 1)]).unwrap(), [own, own]);
}

#[test]
fn what_every_part_would_repeat_is_bounded() {
    let beside = |bytes: usize| {
        let rest = "x".repeat(bytes);
        let answer =
            format!(r#"{{"data":[{{"index":0,"embedding":[1]}},{{"index":1,"embedding":[2]}}],"rest":"{rest}"}}"#);
        apart(&answer, &[(1, 1), (1, 1)]).is_some()
    };
    assert!(beside(MOST_REPEATED / 2 - 100));
    assert!(!beside(MOST_REPEATED / 2));
}

#[test]
fn an_answer_without_an_embedding_for_each_input_in_its_order_is_not_taken_apart() {
    for answer in [
        "",
        "[]",
        "{}",
        r#"{"data":{}}"#,
        r#"{"data":[]}"#,
        r#"{"data":[1,2]}"#,
        r#"{"data":[{"index":0}]}"#,
        r#"{"data":[{"index":0},{"index":1},{"index":2}]}"#,
        r#"{"data":[{"index":1},{"index":0}]}"#,
        r#"{"data":[{"index":0},{"index":0}]}"#,
        r#"{"data":[{"index":0},{}]}"#,
        r#"{"data":[{"index":0},{"index":"1"}]}"#,
        r#"{"data":[{"index":0},{"index":1.0}]}"#,
        r#"{"data":[{"index":0},{"index":+1}]}"#,
        r#"{"data":[{"index":0},{"index":1,"index":1}]}"#,
        r#"{"data":[{"index":0},{"index":1}],"data":[]}"#,
        r#"{"data":[{"index":0},{"index":1}]} x"#,
        r#"{"data":[{"index":0},{"index":1}]"#,
        r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":-1}}"#,
        r#"{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":1e99}}"#,
    ] {
        assert_eq!(apart(answer, &[(1, 1), (1, 1)]), None, "{answer}");
    }
    assert!(apart(r#"{"data":[{"index":0},{"index":1}]}"#, &[(1, 1), (1, 1)]).is_some());
    assert!(apart(r#"{"usage":null,"data":[{"index":0},{"index":1}]}"#, &[(1, 1), (1, 1)]).is_some());
    assert!(take_apart(&Bytes::from_static(b"{\"data\":[{\"index\":0,\"a\":\"\xff\"}]}"), &[]).is_none());
}

/// How an upstream writes an answer.
#[derive(Clone, Copy, Debug)]
enum Style {
    Dense,
    Pretty,
    UsageFirst,
}

/// What an upstream answers that has these embeddings, and used so many tokens.
fn written(style: Style, embeddings: &[String], tokens: u64) -> String {
    let (list, comma) = match style {
        Style::Dense | Style::UsageFirst => (("[", "]"), ","),
        Style::Pretty => (("[\n    ", "\n  ]"), ",\n    "),
    };
    let own: Vec<String> = embeddings
        .iter()
        .enumerate()
        .map(|(index, embedding)| match style {
            Style::Pretty => format!("{{\n      \"object\": \"embedding\",\n      \"index\": {index},\n      \"embedding\": {embedding}\n    }}"),
            Style::Dense => format!(r#"{{"embedding":{embedding},"index":{index}}}"#),
            Style::UsageFirst => format!(r#"{{"index":{index} ,"embedding":{embedding}}}"#),
        })
        .collect();
    let data = format!("{}{}{}", list.0, own.join(comma), list.1);
    match style {
        Style::Dense => {
            format!(r#"{{"data":{data},"model":"m","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#)
        }
        Style::Pretty => format!(
            "{{\n  \"object\": \"list\",\n  \"data\": {data},\n  \"usage\": {{\n    \"prompt_tokens\": {tokens},\n    \"total_tokens\": {tokens}\n  }}\n}}\n"
        ),
        Style::UsageFirst => format!(r#" {{"usage":{{"total_tokens":{tokens}}},"a":["data"],"data" : {data} }}"#),
    }
}

fn embedding() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9+/]{0,40}={0,2}".prop_map(|base64| format!("\"{base64}\"")),
        prop::collection::vec("-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?", 0..12)
            .prop_map(|numbers| format!("[{}]", numbers.join(", "))),
    ]
}

proptest! {
    #[test]
    fn each_call_gets_the_bytes_that_it_would_have_got_alone(
        calls in prop::collection::vec(prop::collection::vec((embedding(), 1..3000_u64), 1..6), 1..12),
        style in prop_oneof![Just(Style::Dense), Just(Style::Pretty), Just(Style::UsageFirst)],
    ) {
        let tokens = |call: &[(String, u64)]| call.iter().map(|(_, tokens)| tokens).sum::<u64>();
        let embeddings = |call: &[(String, u64)]| call.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
        let all: Vec<(String, u64)> = calls.concat();
        let merged = written(style, &embeddings(&all), tokens(&all));
        let parts: Vec<(usize, u64)> = calls.iter().map(|call| (call.len(), tokens(call))).collect();
        let own = apart(&merged, &parts).unwrap();
        for (own, call) in own.iter().zip(&calls) {
            prop_assert_eq!(own, &written(style, &embeddings(call), tokens(call)));
        }
    }
}
