//! The ledger's column `request_type`: the purpose of a call in the three words of Claude Nexus, derived from the call's facts.

use plugin_api::{Endpoint, Record};

/// A request that is no call to a model.
const NO_CALL: &str = "other";
/// A conversation with a system prompt of two blocks or more.
const INFERENCE: &str = "inference";
/// A call with at most one system block.
const QUERY_EVALUATION: &str = "query_evaluation";
/// The last user's text is `quota`: Claude Code asks whether it may go on.
const QUOTA: &str = "quota";

/// The request type of an exchange. A body that is not exactly one readable call counts as inference; one that was not read
/// counts as most calls to its endpoint do.
pub(crate) fn of(record: &Record) -> &'static str {
    match (record.endpoint, record.system_blocks) {
        (Some(endpoint), Some(blocks)) => of_call(endpoint, blocks, record.asks_quota),
        (_, None) if record.body_read => INFERENCE,
        (Some(endpoint), None) if endpoint.converses => INFERENCE,
        (Some(_), None) => QUERY_EVALUATION,
        (None, _) => NO_CALL,
    }
}

/// The rule of Claude Nexus, which knows Anthropic's calls only: `OpenAI`'s instructions and developer messages count as system
/// blocks. A call that holds no conversation is a query.
fn of_call(endpoint: Endpoint, system_blocks: usize, asks_quota: bool) -> &'static str {
    match system_blocks {
        _ if asks_quota => QUOTA,
        2.. if endpoint.converses => INFERENCE,
        _ => QUERY_EVALUATION,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use plugin_api::Uuid;

    use super::*;

    #[test]
    fn a_call_is_named_by_the_rule_of_claude_nexus() {
        for (endpoint, blocks, asks_quota, word) in [
            (Endpoint::MESSAGES, 0, false, "query_evaluation"),
            (Endpoint::MESSAGES, 1, false, "query_evaluation"),
            (Endpoint::MESSAGES, 2, false, "inference"),
            (Endpoint::MESSAGES, 2, true, "quota"),
            (Endpoint::MESSAGES, 0, true, "quota"),
            (Endpoint::CHAT_COMPLETIONS, 2, false, "inference"),
            (Endpoint::CHAT_COMPLETIONS, 1, true, "quota"),
            (Endpoint::RESPONSES, 2, false, "inference"),
            (Endpoint::RESPONSES, 1, false, "query_evaluation"),
            (Endpoint::COMPLETIONS, 0, true, "quota"),
            (Endpoint::EMBEDDINGS, 0, false, "query_evaluation"),
            (Endpoint::EMBEDDINGS, 2, false, "query_evaluation"),
        ] {
            assert_eq!(of_call(endpoint, blocks, asks_quota), word, "{endpoint:?} {blocks} {asks_quota}");
        }
    }

    #[test]
    fn a_request_without_facts_is_named_by_what_is_known_of_its_body_and_its_endpoint() {
        for (endpoint, body_read, word) in [
            (None, false, "other"),
            (Some(Endpoint::MESSAGES), false, "inference"),
            (Some(Endpoint::EMBEDDINGS), false, "query_evaluation"),
            (Some(Endpoint::IMAGE_EDITS), false, "query_evaluation"),
            // a batch, or a body that cannot be read
            (Some(Endpoint::MESSAGE_BATCHES), true, "inference"),
            (Some(Endpoint::MESSAGES), true, "inference"),
            (Some(Endpoint::EMBEDDINGS), true, "inference"),
        ] {
            let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
            (record.endpoint, record.body_read) = (endpoint, body_read);
            assert_eq!(of(&record), word, "{endpoint:?} {body_read}");
        }
    }

    #[test]
    fn the_facts_of_a_call_decide_where_there_are_some() {
        let mut record = Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH);
        (record.endpoint, record.body_read) = (Some(Endpoint::EMBEDDINGS), true);
        record.system_blocks = Some(0);
        assert_eq!(of(&record), "query_evaluation");
        record.asks_quota = true;
        assert_eq!(of(&record), "quota");
    }
}
