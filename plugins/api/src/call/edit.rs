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
    /// `stream_options`, or a part of it, with which a stream reports its usage.
    StreamUsage(String),
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

    /// Has a stream report its usage: puts `stream_options.include_usage` into a call that asks for a stream and not for its
    /// usage. `None` for other calls, for endpoints that report it anyway, and where `stream_options` is no object or stands
    /// twice.
    #[must_use]
    pub fn report_usage(endpoint: Endpoint, call: &CallFacts) -> Option<Self> {
        if !endpoint.reports_usage_on_request || !call.stream {
            return None;
        }
        let comma = |has_members: bool| if has_members { "," } else { "" };
        let (at, text) = match &call.stream_options {
            StreamOptions::Absent => {
                let text = format!(r#""stream_options":{{"include_usage":true}}{}"#, comma(call.has_members));
                (call.members_at..call.members_at, text)
            }
            StreamOptions::Null(at) => (at.clone(), r#"{"include_usage":true}"#.to_owned()),
            StreamOptions::Silent { members_at, has_members } => {
                (*members_at..*members_at, format!(r#""include_usage":true{}"#, comma(*has_members)))
            }
            StreamOptions::NoUsage(at) => (at.clone(), "true".to_owned()),
            StreamOptions::Usage | StreamOptions::Unclear => return None,
        };
        Some(Self { at, change: Change::StreamUsage(text) })
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
            Change::StreamUsage(text) => text.len(),
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
            Change::StreamUsage(text) => return (text.clone(), 0..0),
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
    follow_stream_options(call, made);
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
        Some(Made { old, new_end, change: Change::StreamUsage(text), .. }) if old.is_empty() => {
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

/// The same for its `stream_options`. Must come before `members_at` is moved.
fn follow_stream_options(call: &mut CallFacts, made: &[Made]) {
    let place = match &call.stream_options {
        StreamOptions::Absent => call.members_at..call.members_at,
        StreamOptions::Null(at) | StreamOptions::NoUsage(at) => at.clone(),
        StreamOptions::Silent { members_at, .. } => *members_at..*members_at,
        StreamOptions::Usage | StreamOptions::Unclear => return,
    };
    if edit_of(&place, made).is_some_and(|made| matches!(made.change, Change::StreamUsage(_))) {
        call.stream_options = StreamOptions::Usage;
        return;
    }
    match &mut call.stream_options {
        StreamOptions::Null(at) | StreamOptions::NoUsage(at) => *at = moved(at.start, made)..moved(at.end, made),
        StreamOptions::Silent { members_at, .. } => *members_at = moved(*members_at, made),
        StreamOptions::Absent | StreamOptions::Usage | StreamOptions::Unclear => {}
    }
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
mod tests;
