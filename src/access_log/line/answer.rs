//! What a JSON line says of an answer that was read as it passed.

use plugin_api::{Answer, AnswerState, Record};

use super::{milliseconds, number, text, word};

/// Appends the answer's members. All of them are there where the answer was read, and none where it was not.
pub(super) fn json(out: &mut Vec<u8>, record: &Record) {
    let Some(answer) = &record.answer else { return };
    milliseconds(out, b",\"first_token_ms\":", record.first_token);
    text(out, b",\"served_model\":", answer.model.as_deref());
    text(out, b",\"stop_reason\":", answer.stop_reason.as_deref());
    text(out, b",\"error_type\":", answer.error_type.as_deref());
    word(out, b",\"usage_source\":", Some(source(answer)));
    let tokens = answer.usage.as_ref().map(|usage| usage.tokens).unwrap_or_default();
    number(out, b",\"input_tokens\":", tokens.input);
    number(out, b",\"cache_read_input_tokens\":", tokens.cache_read);
    number(out, b",\"cache_creation_input_tokens\":", tokens.cache_creation);
    number(out, b",\"output_tokens\":", tokens.output);
    number(out, b",\"reasoning_tokens\":", tokens.reasoning);
}

/// How far the figures can be relied on: of an answer that was not seen to its end they are the least that it cost.
fn source(answer: &Answer) -> &'static str {
    match (&answer.usage, answer.state) {
        (None, _) => "none",
        (Some(_), AnswerState::Complete | AnswerState::Unrecognized) => "reported",
        (Some(_), AnswerState::Partial | AnswerState::Failed) => "partial",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use plugin_api::{Tokens, Usage, Uuid};

    use super::*;

    #[test]
    fn a_line_tells_what_the_answer_said_and_null_where_it_said_nothing() {
        let tokens = Tokens { input: Some(3), output: Some(0), cache_read: Some(9), ..Tokens::default() };
        let answer = Answer {
            state: AnswerState::Complete,
            model: Some("m".into()),
            usage: Some(Usage { tokens, ..Usage::default() }),
            ..Answer::default()
        };
        let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
        record.answer = Some(answer.into());
        record.first_token = Some(Duration::from_micros(1_500));
        let mut out = Vec::new();
        json(&mut out, &record);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#","first_token_ms":1.500,"served_model":"m","stop_reason":null,"error_type":null,"#,
                r#""usage_source":"reported","input_tokens":3,"cache_read_input_tokens":9,"#,
                r#""cache_creation_input_tokens":null,"output_tokens":0,"reasoning_tokens":null"#
            )
        );
    }

    #[test]
    fn figures_of_an_answer_that_did_not_end_well_are_partial() {
        let answer = |state, usage| Answer { state, usage, ..Answer::default() };
        for (state, word) in
            [(AnswerState::Complete, "reported"), (AnswerState::Partial, "partial"), (AnswerState::Failed, "partial")]
        {
            assert_eq!(source(&answer(state, Some(Usage::default()))), word);
            assert_eq!(source(&answer(state, None)), "none");
        }
    }
}
