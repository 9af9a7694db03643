//! One conversation: its turns, the oldest first, and which goes on from which.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use plugin_api::AdminAnswer;
use serde_json::{Value, json};
use uuid::Uuid;

use super::conversations::{Latest, is_latest, summaries};
use super::json::{self as show, Columns};
use super::parameters::Parameters;
use super::reader::Reader;
use super::row::{CALL, columns, shown};
use super::{Failure, json_answer};
use crate::Timestamp;

/// As many subagents are shown.
const SUBAGENTS: usize = 100;

/// Where a page ends: its last turn.
struct Turn {
    time: Timestamp,
    id: Uuid,
}

impl FromStr for Turn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (time, id) = text.split_once('.').ok_or(())?;
        let time = Timestamp::from_micros(time.parse().map_err(|_| ())?);
        Ok(Self { time, id: id.parse().map_err(|_| ())? })
    }
}

pub(super) async fn answer(reader: &Reader, parameters: &mut Parameters) -> Result<AdminAnswer, Failure> {
    let id = parameters.id("id")?.ok_or_else(|| "`id` is missing".to_owned())?;
    let limit = parameters.number("limit", 1, 200, 1000)?;
    let after: Option<Turn> = parameters.parsed("after", "what `next` said")?;
    parameters.finish()?;
    let (words, uuid) = (reader.words(), reader.words().uuid);
    let is_of = format!("conversation_id = '{id}'{uuid}");
    let latest = format!(
        "SELECT {} FROM api_requests WHERE {is_of} ORDER BY created_at DESC, id DESC LIMIT 1",
        Latest::columns(reader)
    );
    let latest = reader.rows(&latest, Latest::COLUMNS).await?.into_iter().next();
    let latest = latest.and_then(|row| Latest::read(Columns::of(row)));
    let Some(latest) = latest else { return Err(Failure::NotFound(format!("no call is of the conversation {id}"))) };
    let summary = summaries(reader, vec![latest]).await?.pop();
    let behind = after.map_or_else(String::new, |Turn { time, id }| {
        let time = (words.time)(time);
        format!(" AND created_at >= {time} AND (created_at > {time} OR id > '{id}'{uuid})")
    });
    let (hash, previous) = (hex(reader, "turn_hash"), hex(reader, "previous_turn_hash"));
    let query = format!(
        "SELECT {hash}, {previous}, {}, {} FROM api_requests WHERE {is_of}{behind} ORDER BY created_at, id LIMIT {}",
        (reader.dialect().time_text)("created_at"),
        columns(reader, &CALL),
        limit + 1
    );
    let mut rows = reader.rows(&query, CALL.len() + 3).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut next = None;
    let mut lines = Lines::default();
    let mut turns = Vec::with_capacity(rows.len());
    for mut row in rows {
        let call = row.split_off(3);
        let mut hashes = Columns::of(row);
        let (hash, previous, time) = (hashes.text(), hashes.text(), hashes.time());
        let mut turn = shown(&CALL, call);
        let number = |name: &str| turn.get(name).and_then(Value::as_i64).unwrap_or(0).into();
        let share = show::cache_read_share(
            number("input_tokens"),
            number("cache_read_input_tokens"),
            number("cache_creation_input_tokens"),
        );
        let id = turn.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (previous, branch) = lines.place(&id, hash, previous);
        next = time.map(|time| format!("{}.{id}", time.micros()));
        turn.insert("previous".into(), json!(previous));
        turn.insert("branch".into(), json!(branch));
        turn.insert("cache_read_share".into(), share);
        turns.push(Value::Object(turn));
    }
    Ok(json_answer(json!({
        "id": id.to_string(),
        "summary": summary,
        "turns": turns,
        "subagents": subagents(reader, id).await?,
        "next": next.filter(|_| has_more),
    })))
}

/// The conversations that this one started, the latest first.
async fn subagents(reader: &Reader, id: Uuid) -> Result<Vec<Value>, Failure> {
    let query = format!(
        "SELECT {} FROM api_requests WHERE parent_conversation_id = '{id}'{} AND {}
         ORDER BY created_at DESC, id DESC LIMIT {SUBAGENTS}",
        Latest::columns(reader),
        reader.words().uuid,
        is_latest("later.parent_conversation_id IS NOT NULL")
    );
    let rows = reader.rows(&query, Latest::COLUMNS).await?;
    summaries(reader, rows.into_iter().filter_map(|row| Latest::read(Columns::of(row))).collect()).await
}

fn hex(reader: &Reader, column: &str) -> String {
    (reader.dialect().hex)(column)
}

/// The turns of a page, and how they go on from each other.
#[derive(Default)]
struct Lines {
    /// The turns by their hashes: the latest of the same, its line.
    turns: HashMap<String, (String, usize)>,
    /// Those that another goes on from.
    continued: HashSet<String>,
    lines: usize,
}

impl Lines {
    /// The turn that one goes on from, and the line that it is on: that of the turn before, or a new one where that has a next already.
    fn place(&mut self, id: &str, hash: Option<String>, previous: Option<String>) -> (Option<String>, usize) {
        let before = previous.and_then(|previous| self.turns.get(&previous).cloned());
        let line = match &before {
            Some((id, line)) if self.continued.insert(id.clone()) => *line,
            _ => {
                self.lines += 1;
                self.lines - 1
            }
        };
        if let Some(hash) = hash {
            self.turns.insert(hash, (id.to_owned(), line));
        }
        (before.map(|(id, _)| id), line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_goes_on_from_one_that_has_a_next_begins_a_branch() {
        let mut lines = Lines::default();
        let mut place = |id: &str, hash: &str, previous: Option<&str>| {
            lines.place(id, Some(hash.to_owned()), previous.map(str::to_owned))
        };
        let from = |id: &str| Some(id.to_owned());
        assert_eq!(place("1", "a", None), (None, 0));
        assert_eq!(place("2", "b", Some("a")), (from("1"), 0));
        assert_eq!(place("3", "c", Some("b")), (from("2"), 0));
        assert_eq!(place("4", "d", Some("a")), (from("1"), 1));
        assert_eq!(place("5", "e", Some("d")), (from("4"), 1));
        assert_eq!(place("6", "f", Some("c")), (from("3"), 0));
        // what it goes on from is on no page
        assert_eq!(place("7", "g", Some("x")), (None, 2));
    }
}
