//! Ollama's own answers.

use super::*;

const PIECE: &str =
    r#"{"model":"llama3.2","created_at":"t","message":{"role":"assistant","content":"hi"},"done":false}"#;
const LAST: &str = r#"{"model":"llama3.2","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":4883583458,"prompt_eval_count":26,"eval_count":282,"eval_duration":4535599000}"#;

#[test]
fn the_last_line_tells_what_all_of_it_cost() {
    for body in [
        format!("{PIECE}\n{PIECE}\n{LAST}\n"),
        format!("{PIECE}\r\n{LAST}"),
        LAST.to_owned(),
        LAST.replace(',', ",\n "),
    ] {
        let answer = read(Endpoint::OLLAMA, &body);
        assert_eq!((answer.state, answer.stop_reason.as_deref()), (AnswerState::Complete, Some("stop")), "{body}");
        assert_eq!((answer.model.as_deref(), usage(&answer).tokens), (Some("llama3.2"), tokens(26, 282)));
        assert_eq!(usage(&answer).raw.as_ref().unwrap().get(), r#"{"prompt_eval_count":26,"eval_count":282}"#);
    }
    assert!(read_in(Endpoint::OLLAMA, 200, format!("{PIECE}\n").as_bytes(), 7).1);
    let embedded = r#"{"model":"e","embeddings":[[0.1]],"prompt_eval_count":8}"#;
    let answer = read(Endpoint::OLLAMA, embedded);
    assert_eq!((answer.state, usage(&answer).tokens.input), (AnswerState::Complete, Some(8)));
}

#[test]
fn one_that_breaks_off_is_partial_and_one_with_an_error_has_failed() {
    let answer = read(Endpoint::OLLAMA, &format!("{PIECE}\n{}", &LAST[..LAST.len() - 3]));
    assert_eq!((answer.state, answer.usage.is_none()), (AnswerState::Partial, true));
    let answer = read(Endpoint::OLLAMA, &format!("{PIECE}\n{{\"error\":\"an error\"}}\n"));
    assert_eq!((answer.state, answer.error_type.as_deref()), (AnswerState::Failed, Some("error")));
}

#[test]
fn what_others_serve_there_is_neither_an_answer_nor_an_error() {
    for body in [r#"{"message":"welcome","code":7}"#, "hello", r#"{"detail":"x"}"#] {
        let answer = read(Endpoint::OLLAMA, body);
        assert!(matches!(answer.state, AnswerState::Unrecognized | AnswerState::Partial), "{body}");
        assert!(answer.usage.is_none() && answer.error_type.is_none(), "{body}");
    }
}
