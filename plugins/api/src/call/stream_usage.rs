//! Asks a stream of `OpenAI`'s for its usage in the place of a client that does not. What comes of it is taken out of the
//! answer by the gateway.

use super::{Edit, ModelCall};
use crate::{ParsedBody, StreamOptions};

impl ModelCall {
    /// Has the provider report what a stream costs: puts `stream_options.include_usage` into a call of `OpenAI`'s chat or
    /// completions that asks for a stream and does not ask for its usage itself. The client sees nothing of it: the gateway
    /// takes the extra chunk, and the `"usage":null` of the others, out of the answer, which it asks the upstream not to
    /// encode.
    ///
    /// Does nothing to other calls, nor where `stream_options` are no object or stand twice. Whether it did.
    pub fn ask_for_stream_usage(&mut self) -> bool {
        if !self.endpoint.reports_usage_on_request {
            return false;
        }
        let Some(call) = self.call().filter(|call| call.stream) else { return false };
        let edit = match &call.stream_options {
            StreamOptions::Absent => {
                let comma = if call.has_members { "," } else { "" };
                let text = format!(r#""stream_options":{{"include_usage":true}}{comma}"#);
                Edit::put(call.members_at..call.members_at, text)
            }
            StreamOptions::Null(at) => Edit::put(at.clone(), r#"{"include_usage":true}"#.to_owned()),
            StreamOptions::Silent { members_at, has_members } => {
                let comma = if *has_members { "," } else { "" };
                Edit::put(*members_at..*members_at, format!(r#""include_usage":true{comma}"#))
            }
            StreamOptions::NoUsage(at) => Edit::put(at.clone(), "true".to_owned()),
            StreamOptions::Usage | StreamOptions::Unclear => return false,
        };
        self.edit(vec![edit]);
        if let ParsedBody::Calls(calls) = &mut self.reading
            && let Some(call) = calls.first_mut()
        {
            call.stream_options = StreamOptions::Usage;
        }
        self.adds_stream_usage = true;
        true
    }

    /// Whether usage was asked for here, so that it has to be taken out of the answer.
    #[must_use]
    pub fn adds_stream_usage(&self) -> bool {
        self.adds_stream_usage
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{CallFacts, Endpoint, TokenField, TokenLimit, TokenLimitValue};

    fn call(text: &'static str, stream_options: StreamOptions) -> ModelCall {
        let call = CallFacts {
            stream: true,
            members_at: 1,
            has_members: text.len() > 2,
            stream_options,
            ..CallFacts::default()
        };
        ModelCall::new(
            Endpoint::CHAT_COMPLETIONS,
            Bytes::from_static(text.as_bytes()),
            None,
            ParsedBody::Calls(vec![call]),
        )
    }

    fn at(text: &str, part: &str) -> std::ops::Range<usize> {
        let start = text.find(part).unwrap();
        start..start + part.len()
    }

    #[test]
    fn usage_is_asked_for_where_the_call_does_not_and_nothing_else_changes() {
        const NULL: &str = r#"{"a":1, "stream_options" : null }"#;
        const EMPTY: &str = r#"{"stream_options":{ }}"#;
        const SILENT: &str = r#"{"stream_options":{"include_obfuscation":false}}"#;
        const NO: &str = r#"{"stream_options":{"include_usage":false}}"#;
        let silent = |has_members| StreamOptions::Silent { members_at: 19, has_members };
        for (text, options, edited) in [
            (r#"{"a":1}"#, StreamOptions::Absent, r#"{"stream_options":{"include_usage":true},"a":1}"#),
            (NULL, StreamOptions::Null(at(NULL, "null")), r#"{"a":1, "stream_options" : {"include_usage":true} }"#),
            (EMPTY, silent(false), r#"{"stream_options":{"include_usage":true }}"#),
            (SILENT, silent(true), r#"{"stream_options":{"include_usage":true,"include_obfuscation":false}}"#),
            (NO, StreamOptions::NoUsage(at(NO, "false")), r#"{"stream_options":{"include_usage":true}}"#),
        ] {
            let mut call = call(text, options);
            assert!(call.ask_for_stream_usage() && call.adds_stream_usage(), "{text}");
            assert!(!call.ask_for_stream_usage(), "it is asked for by now");
            assert_eq!(call.into_body(), edited);
        }
    }

    #[test]
    fn a_call_that_asks_itself_or_streams_nothing_stays_as_it_is() {
        for options in [StreamOptions::Usage, StreamOptions::Unclear] {
            let mut call = call("{}", options);
            assert!(!call.ask_for_stream_usage() && !call.adds_stream_usage() && !call.is_edited());
        }
        for (endpoint, stream) in
            [(Endpoint::CHAT_COMPLETIONS, false), (Endpoint::MESSAGES, true), (Endpoint::RESPONSES, true)]
        {
            let facts = CallFacts { stream, members_at: 1, ..CallFacts::default() };
            let mut call = ModelCall::new(endpoint, Bytes::from_static(b"{}"), None, ParsedBody::Calls(vec![facts]));
            assert!(!call.ask_for_stream_usage() && !call.is_edited());
        }
    }

    #[test]
    fn it_finds_its_place_behind_the_edits_of_others_and_they_theirs() {
        const TEXT: &str = r#"{"max_tokens":99999,"stream_options":{"include_usage":null}}"#;
        let mut call = call(TEXT, StreamOptions::NoUsage(at(TEXT, "null")));
        let limit = TokenLimit {
            field: TokenField::MAX_TOKENS,
            exact: true,
            asked: TokenLimitValue::Tokens(99_999),
            at: at(TEXT, "99999"),
        };
        if let ParsedBody::Calls(calls) = &mut call.reading {
            calls[0].token_limits.push(limit.clone());
        }
        let add = Edit::add(Endpoint::CHAT_COMPLETIONS, &call.calls()[0], 7).unwrap();
        call.edit(vec![Edit::replace(&limit, 4), add]);
        assert!(call.ask_for_stream_usage());
        let limits = call.calls()[0].token_limits.clone();
        call.edit(limits.iter().map(|limit| Edit::replace(limit, 55)).collect());
        assert_eq!(
            call.into_body(),
            r#"{"max_completion_tokens":55,"max_tokens":55,"stream_options":{"include_usage":true}}"#
        );
    }

    #[test]
    fn a_limit_goes_in_front_of_what_was_put_first() {
        let mut call = call("{}", StreamOptions::Absent);
        assert!(call.ask_for_stream_usage());
        call.edit(Edit::add(Endpoint::CHAT_COMPLETIONS, &call.calls()[0], 7).into_iter().collect());
        assert_eq!(call.into_body(), r#"{"max_completion_tokens":7,"stream_options":{"include_usage":true}}"#);
    }
}
