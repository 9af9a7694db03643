//! What an answer used that is given to nobody, shared out among the calls that it was for, so that their rows have it.

use plugin_api::http::{HeaderMap, StatusCode};
use plugin_api::{Endpoint, Tokens, Usage};
use protocols::AnswerReader;

use crate::answer::Part;
use crate::share::divided;

/// The usage of an answer as the shares of these parts; none where it says nothing.
pub(crate) fn usages(status: StatusCode, headers: &HeaderMap, body: &[u8], parts: &[Part]) -> Vec<Option<Usage>> {
    let mut reader = AnswerReader::new(Endpoint::EMBEDDINGS, status, headers);
    reader.feed(body);
    reader.finish();
    let usage = reader.into_answer().usage;
    usage.and_then(|usage| shares(&usage, parts)).unwrap_or_else(|| vec![None; parts.len()])
}

/// How many tokens of a usage are billed.
pub(crate) fn tokens(usage: &Usage) -> u64 {
    let Tokens { input, cache_read, cache_creation, output, .. } = usage.tokens;
    [input, cache_read, cache_creation, output].into_iter().flatten().sum()
}

fn shares(usage: &Usage, parts: &[Part]) -> Option<Vec<Option<Usage>>> {
    let weights: Vec<u64> = parts.iter().map(|part| part.tokens).collect();
    let each = |figure: Option<u64>| match figure {
        Some(figure) => {
            divided(figure.into(), &weights)?.into_iter().map(|share| Some(share.try_into().ok())).collect()
        }
        None => Some(vec![None; parts.len()]),
    };
    let Tokens { input, cache_read, output, .. } = usage.tokens;
    let (input, cache_read, output) = (each(input)?, each(cache_read)?, each(output)?);
    let charges: Vec<Option<u64>> = each(usage.provider_cost_picos)?;
    let share = |part: usize| {
        let tokens =
            Tokens { input: input[part], cache_read: cache_read[part], output: output[part], ..Tokens::default() };
        Some(Usage { tokens, provider_cost_picos: charges[part], ..Usage::default() })
    };
    Some((0..parts.len()).map(share).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Vec<Option<Tokens>> {
        let parts = [Part { inputs: 1, tokens: 3 }, Part { inputs: 2, tokens: 7 }];
        let usages = usages(StatusCode::OK, &HeaderMap::new(), answer.as_bytes(), &parts);
        usages.into_iter().map(|usage| usage.map(|usage| usage.tokens)).collect()
    }

    #[test]
    fn each_call_has_its_share_of_what_an_answer_says_and_all_is_shared() {
        let input = |input| Some(Tokens { input: Some(input), ..Tokens::default() });
        assert_eq!(read(r#"{"data":[],"usage":{"prompt_tokens":11,"total_tokens":11}}"#), [input(3), input(8)]);
        for answer in ["no JSON", r#"{"data":[{"index":0}]}"#] {
            assert_eq!(read(answer), [None, None], "{answer}");
        }
    }
}
