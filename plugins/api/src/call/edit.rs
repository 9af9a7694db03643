//! Changes to the text of a call: the bytes they name and no others, and the facts along with them.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    CallFacts, Endpoint, MessagesDigest, StreamOptions, ThinkingBudget, TokenField, TokenLimit, TokenLimitValue,
};

/// One change to the text of a call.
#[derive(Debug)]
pub struct Edit {
    at: Range<usize>,
    change: Change,
}

/// What is put there.
#[derive(Debug)]
enum Change {
    /// This many tokens, for a limit or a budget that stands there.
    Limit(u64),
    /// A new member for a limit, with a comma behind it if others follow.
    NewLimit { field: TokenField, comma: bool, tokens: u64 },
    /// A model's name.
    Model(String),
    /// A text that no fact follows.
    Text(String),
}

impl Edit {
    /// Puts `tokens` in the place of a limit's value.
    #[must_use]
    pub fn replace(limit: &TokenLimit, tokens: u64) -> Self {
        Self { at: limit.at.clone(), change: Change::Limit(tokens) }
    }

    /// Puts `tokens` in the place of a thinking budget.
    #[must_use]
    pub fn lower_budget(budget: &ThinkingBudget, tokens: u64) -> Self {
        Self { at: budget.at.clone(), change: Change::Limit(tokens) }
    }

    /// Gives a call a limit as its first member, under the name of its endpoint's API; none where that
    /// generates nothing.
    #[must_use]
    pub fn add(endpoint: Endpoint, call: &CallFacts, tokens: u64) -> Option<Self> {
        endpoint.token_fields.first().map(|field| Self::add_as(*field, call, tokens))
    }

    /// Gives a call a limit as its first member, under this name.
    #[must_use]
    pub fn add_as(field: TokenField, call: &CallFacts, tokens: u64) -> Self {
        let at = call.members_at..call.members_at;
        Self { at, change: Change::NewLimit { field, comma: call.has_members, tokens } }
    }

    /// Puts a text in the place of these bytes. Their facts are the caller's to mend.
    pub(super) fn put(at: Range<usize>, text: String) -> Self {
        Self { at, change: Change::Text(text) }
    }

    /// Puts another model's name wherever a server might read the call's; nothing where it names none.
    pub fn rename_model(call: &CallFacts, model: &str) -> impl Iterator<Item = Self> {
        call.models_at.iter().map(move |at| Self { at: at.clone(), change: Change::Model(model.to_owned()) })
    }

    /// How many bytes it puts in at most.
    fn longest(&self) -> usize {
        match &self.change {
            Change::Limit(_) => 20,
            // quotes, a colon, a comma, and as many digits as there can be
            Change::NewLimit { field, .. } => field.as_str().len() + 24,
            // every byte may be written as an escape of six
            Change::Model(name) => 6 * name.len() + 2,
            Change::Text(text) => text.len(),
        }
    }

    /// The bytes to put in, and where in them the value stands.
    fn text(&self) -> (String, Range<usize>) {
        let (field, comma, tokens) = match &self.change {
            Change::Limit(tokens) => {
                let number = tokens.to_string();
                let at = 0..number.len();
                return (number, at);
            }
            Change::Model(name) => {
                let text = serde_json::Value::from(name.as_str()).to_string();
                let at = 0..text.len();
                return (text, at);
            }
            Change::Text(text) => return (text.clone(), 0..0),
            Change::NewLimit { field, comma, tokens } => (field, *comma, tokens.to_string()),
        };
        let from = field.as_str().len() + 3;
        let comma = if comma { "," } else { "" };
        (format!("\"{}\":{tokens}{comma}", field.as_str()), from..from + tokens.len())
    }
}

/// An edit that was made: what it replaced in the old text, and where its value stands in the new one.
struct Made {
    old: Range<usize>,
    new_end: usize,
    value: Range<usize>,
    change: Change,
}

/// The edited text, with the facts brought up to it; `None` if there is nothing to edit.
pub(super) fn apply(
    old: &[u8],
    calls: &mut [CallFacts],
    messages: &mut Option<MessagesDigest>,
    mut edits: Vec<Edit>,
) -> Option<Bytes> {
    edits.sort_by_key(|edit| edit.at.start);
    let added: usize = edits.iter().map(|edit| edit.longest().saturating_sub(edit.at.len())).sum();
    let mut new = Vec::new();
    let mut made: Vec<Made> = Vec::with_capacity(edits.len());
    let mut copied = 0;
    for edit in edits {
        let again = made.last().is_some_and(|last| last.old == edit.at);
        let (Some(kept), false) = (old.get(copied..edit.at.start), again) else { continue };
        if edit.at.end > old.len() {
            continue;
        }
        if made.is_empty() {
            new.reserve_exact(old.len() + added);
        }
        new.extend_from_slice(kept);
        let (text, value) = edit.text();
        let value = new.len() + value.start..new.len() + value.end;
        new.extend_from_slice(text.as_bytes());
        copied = edit.at.end;
        made.push(Made { old: edit.at, new_end: new.len(), value, change: edit.change });
    }
    if made.is_empty() {
        return None;
    }
    new.extend_from_slice(&old[copied..]);
    for call in calls {
        follow(call, &made);
    }
    *messages = messages.take().and_then(|messages| follow_messages(messages, &made));
    Some(new.into())
}

/// Brings the facts of one call up to the new text.
fn follow(call: &mut CallFacts, made: &[Made]) {
    for limit in &mut call.token_limits {
        match edit_of(&limit.at, made) {
            Some(Made { value, change: Change::Limit(tokens), .. }) => {
                limit.at = value.clone();
                limit.asked = TokenLimitValue::Tokens(*tokens);
            }
            _ => limit.at = moved(limit.at.start, made)..moved(limit.at.end, made),
        }
    }
    for budget in &mut call.thinking_budgets {
        match edit_of(&budget.at, made) {
            Some(Made { value, change: Change::Limit(tokens), .. }) => {
                budget.at = value.clone();
                budget.tokens = *tokens;
            }
            _ => budget.at = moved(budget.at.start, made)..moved(budget.at.end, made),
        }
    }
    for place in &mut call.models_at {
        match edit_of(place, made) {
            Some(Made { value, change: Change::Model(name), .. }) => {
                *place = value.clone();
                call.model = call.model.is_some().then(|| name.clone());
                call.other_models.fill(Some(name.clone()));
            }
            _ => *place = moved(place.start, made)..moved(place.end, made),
        }
    }
    call.stream_options = match std::mem::take(&mut call.stream_options) {
        StreamOptions::Null(at) => StreamOptions::Null(moved(at.start, made)..moved(at.end, made)),
        StreamOptions::NoUsage(at) => StreamOptions::NoUsage(moved(at.start, made)..moved(at.end, made)),
        StreamOptions::Silent { members_at, has_members } => {
            StreamOptions::Silent { members_at: moved(members_at, made), has_members }
        }
        same @ (StreamOptions::Absent | StreamOptions::Usage | StreamOptions::Unclear) => same,
    };
    // an insertion stands behind the `{`, so the place itself moves only by the edits before it
    let insertion = made.binary_search_by_key(&call.members_at, |made| made.old.start).ok().map(|at| &made[at]);
    match insertion {
        Some(Made { value: number, change: Change::NewLimit { field, tokens, .. }, .. }) => {
            let limit =
                TokenLimit { field: *field, exact: true, asked: TokenLimitValue::Tokens(*tokens), at: number.clone() };
            call.token_limits.insert(0, limit);
            call.has_members = true;
            call.members_at = number.start - field.as_str().len() - 3;
        }
        Some(Made { old, new_end, change: Change::Text(text), .. }) if old.is_empty() => {
            call.has_members = true;
            call.members_at = new_end - text.len();
        }
        _ => call.members_at = moved(call.members_at, made),
    }
}

/// Brings the place of the messages up to the new text; `None` if they were edited.
fn follow_messages(mut messages: MessagesDigest, made: &[Made]) -> Option<MessagesDigest> {
    let Range { start, end } = messages.at;
    if made.iter().any(|made| made.old.start < end && made.old.end > start) {
        return None;
    }
    let at = moved(start, made);
    messages.at = at..at + (end - start);
    Some(messages)
}

/// The edit that replaced exactly these bytes.
fn edit_of<'m>(place: &Range<usize>, made: &'m [Made]) -> Option<&'m Made> {
    let at = made.binary_search_by_key(&place.start, |made| made.old.start).ok()?;
    Some(&made[at]).filter(|made| made.old == *place)
}

/// Where a place of the old text stands in the new one.
fn moved(place: usize, made: &[Made]) -> usize {
    let before = made.partition_point(|made| made.old.end <= place);
    match before.checked_sub(1).map(|last| &made[last]) {
        Some(last) => last.new_end + (place - last.old.end),
        None => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageHashes, ModelCall, ParsedBody};

    fn limit(text: &str, value: &str) -> TokenLimit {
        let start = text.find(value).unwrap();
        let at = start..start + value.len();
        TokenLimit { field: TokenField::MAX_TOKENS, exact: true, asked: TokenLimitValue::Tokens(9), at }
    }

    fn call_with(text: &'static str, values: &[&str]) -> ModelCall {
        let token_limits = values.iter().map(|value| limit(text, value)).collect();
        let call = CallFacts { token_limits, members_at: 1, has_members: text.len() > 2, ..CallFacts::default() };
        ModelCall::new(Endpoint::MESSAGES, Bytes::from_static(text.as_bytes()), None, ParsedBody::Calls(vec![call]))
    }

    fn number(call: &ModelCall, limit: usize) -> &str {
        let at = call.calls()[0].token_limits[limit].at.clone();
        std::str::from_utf8(&call.text()[at]).unwrap()
    }

    #[test]
    fn an_untouched_body_is_the_very_one_that_came() {
        let mut call = call_with(r#"{ "max_tokens" : 9 }"#, &["9"]);
        let sent = call.text().as_ptr();
        call.edit(Vec::new());
        assert!(!call.is_edited());
        assert_eq!(call.into_body().as_ptr(), sent);
    }

    #[test]
    fn a_limit_is_replaced_and_no_other_byte() {
        let mut call = call_with(r#"{ "max_tokens" : 9, "x":1e400, "max_tokens":88 }"#, &["9", "88"]);
        call.edit(vec![Edit::replace(&call.calls()[0].token_limits[0], 4000)]);
        assert!(call.is_edited());
        assert_eq!((number(&call, 0), number(&call, 1)), ("4000", "88"));
        assert_eq!(call.calls()[0].token_limits[0].asked, TokenLimitValue::Tokens(4000));
        assert_eq!(call.into_body(), r#"{ "max_tokens" : 4000, "x":1e400, "max_tokens":88 }"#);
    }

    #[test]
    fn a_limit_is_added_first_with_a_comma_only_where_one_belongs() {
        for (text, edited) in [("{}", r#"{"max_tokens":7}"#), (r#"{"a":1}"#, r#"{"max_tokens":7,"a":1}"#)] {
            let mut call = call_with(text, &[]);
            call.edit(Edit::add(Endpoint::MESSAGES, &call.calls()[0], 7).into_iter().collect());
            assert_eq!((number(&call, 0), call.calls()[0].members_at), ("7", 1));
            assert_eq!(call.into_body(), edited);
        }
    }

    #[test]
    fn the_facts_follow_one_edit_after_another() {
        let mut call = call_with(r#"{"max_tokens":12345,"max_tokens":67890}"#, &["12345", "67890"]);
        let add = Edit::add(Endpoint::MESSAGES, &call.calls()[0], 1).unwrap();
        call.edit(vec![Edit::replace(&call.calls()[0].token_limits[1], 8), add]);
        assert_eq!((number(&call, 0), number(&call, 1), number(&call, 2)), ("1", "12345", "8"));
        call.edit(call.calls()[0].token_limits.iter().map(|limit| Edit::replace(limit, 4000)).collect());
        assert_eq!(call.into_body(), r#"{"max_tokens":4000,"max_tokens":4000,"max_tokens":4000}"#);
    }

    #[test]
    fn the_digest_of_the_messages_moves_with_them_and_is_gone_once_they_are_edited() {
        let text = r#"{"max_tokens":12345,"messages":[{"n":7}],"max_tokens":67890}"#;
        let list = r#"[{"n":7}]"#;
        let at = text.find(list).map(|at| at..at + list.len()).unwrap();
        let digest = MessagesDigest { at, turn: [1; 32], form: [2; 32] };
        let hashes = MessageHashes { conversation: None, digest: Some(digest) };
        let mut call = call_with(text, &["12345", "7", "67890"]).hashed(hashes);
        let add = Edit::add(Endpoint::MESSAGES, &call.calls()[0], 1).unwrap();
        call.edit(vec![Edit::replace(&call.calls()[0].token_limits[0], 8), add]);
        call.edit(vec![Edit::replace(&call.calls()[0].token_limits[3], 9)]);
        assert_eq!(&call.text()[call.messages_digest().unwrap().at.clone()], list.as_bytes());
        call.edit(vec![Edit::replace(&call.calls()[0].token_limits[2], 5)]);
        assert_eq!(call.messages_digest(), None);
    }

    #[test]
    fn of_two_edits_of_the_same_bytes_the_first_is_made() {
        let mut call = call_with(r#"{"max_tokens":9}"#, &["9"]);
        let limit = call.calls()[0].token_limits[0].clone();
        call.edit(vec![Edit::replace(&limit, 1), Edit::replace(&limit, 2)]);
        assert_eq!(call.into_body(), r#"{"max_tokens":1}"#);
    }

    #[test]
    fn a_model_is_renamed_wherever_it_stands_and_the_facts_follow() {
        let text = r#"{"model":"a","max_tokens":9,"MODEL":7}"#;
        let place = |value: &str| text.find(value).map(|at| at..at + value.len()).unwrap();
        let mut call = call_with(text, &["9"]);
        let ParsedBody::Calls(calls) = &mut call.reading else { unreachable!() };
        calls[0].model = Some("a".into());
        calls[0].other_models = vec![None];
        calls[0].models_at = vec![place("\"a\""), place("7")];
        call.edit(Edit::rename_model(&call.calls()[0], "b\"c").collect());
        let now = &call.calls()[0];
        assert_eq!((now.model.as_deref(), now.other_models[0].as_deref()), (Some("b\"c"), Some("b\"c")));
        assert!(now.models_at.iter().all(|at| &call.text()[at.clone()] == br#""b\"c""#));
        assert_eq!(number(&call, 0), "9");
        assert_eq!(call.into_body(), r#"{"model":"b\"c","max_tokens":9,"MODEL":"b\"c"}"#);
    }
}
