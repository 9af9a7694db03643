//! Rows by the hash of their turn, in a table of their own: a step of many rows at a time, in the order of their hashes. An index of the
//! hashes, which are random, changes a page for each row; a step changes a page for many.
//!
//! The rows behind the last step are known in memory, by the process that wrote them. What another left is put into the table before
//! anything is looked up.

use std::collections::HashMap;

use ahash::RandomState;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::{LIMIT, run};
use crate::conversation::place::half;
use crate::store::StoreError;
use crate::store::query_timer::QueryTimer;
use crate::{Conversation, Row};

/// As many rows are a step.
const STEP: i64 = 16_384;
/// A part that has so many turns takes no more. The more it takes, the fewer there are to look in, and the more pages a step changes: with
/// half a million, one for ten rows.
const PART: i64 = 500_000;
/// As many turns of a part are deleted at a time.
const DELETED_AT_A_TIME: i64 = 20_000;

/// The rows that are in no part yet, by their turns.
#[derive(Debug, Default)]
pub(super) struct RecentTurns {
    conversations: HashMap<[u8; 16], Conversation, RandomState>,
    /// Whether the database has the table. One of an earlier release that is not to be migrated has an index in its place.
    has_table: bool,
}

/// Where the next step goes.
struct Next {
    part: i64,
    /// The rowids of its rows: those behind the one, up to the other.
    after: i64,
    to: i64,
}

impl RecentTurns {
    /// Notes rows that are committed.
    pub(super) fn note(&mut self, rows: &[&Row]) {
        for row in rows {
            if let Some(turn) = row.turn_hash {
                let conversation =
                    Conversation { id: row.conversation_id.unwrap_or(row.id), parent: row.parent_conversation_id };
                self.conversations.insert(half(turn), conversation);
            }
        }
    }

    /// Looks whether the database has the table.
    pub(super) async fn look(
        &mut self,
        connection: &mut SqliteConnection,
        watch: &QueryTimer,
    ) -> Result<(), StoreError> {
        const IS_THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'turn_parts'";
        let read = sqlx::query_scalar::<_, i64>(IS_THERE).fetch_one(connection);
        self.has_table = watch.statement(IS_THERE, LIMIT, read).await? > 0;
        Ok(())
    }

    /// Whether the database has the table.
    pub(super) fn has_table(&self) -> bool {
        self.has_table
    }

    /// Whether they are as many as a step has.
    pub(super) fn are_many(&self) -> bool {
        self.conversations.len() >= usize::try_from(STEP).unwrap_or(usize::MAX)
    }

    /// Forgets them: all rows are in parts.
    pub(super) fn clear(&mut self) {
        self.conversations.clear();
    }

    /// The conversation of a turn, be it of a row that is in no part yet or of one that is. Of several of the latter, the latest.
    pub(super) async fn conversation(
        &self,
        connection: &mut SqliteConnection,
        turn: [u8; 32],
        watch: &QueryTimer,
    ) -> Result<Option<Conversation>, StoreError> {
        const BY_INDEX: &str = "SELECT coalesce(conversation_id, id), parent_conversation_id FROM api_requests
            WHERE turn_hash = ? ORDER BY created_at DESC LIMIT 1";
        const BY_PART: &str = "SELECT coalesce(r.conversation_id, r.id), r.parent_conversation_id
            FROM turn_parts p CROSS JOIN turns t CROSS JOIN api_requests r
            WHERE t.part = p.part AND t.hash = ? AND r.rowid = t.request AND r.turn_hash = ?
            ORDER BY r.created_at DESC LIMIT 1";
        if let Some(known) = self.conversations.get(&half(turn)) {
            return Ok(Some(*known));
        }
        let (statement, query) = if self.has_table {
            (BY_PART, sqlx::query(BY_PART).bind(half(turn).to_vec()).bind(turn.to_vec()))
        } else {
            (BY_INDEX, sqlx::query(BY_INDEX).bind(turn.to_vec()))
        };
        let query = query.fetch_optional(connection);
        let read = async {
            let ids = |row: SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
            query.await?.map(ids).transpose()
        };
        let ids: Option<(String, Option<String>)> = watch.statement(statement, LIMIT, read).await?;
        let id = |text: &str| Uuid::try_parse(text).ok();
        Ok(ids.and_then(|(conversation, parent)| {
            Some(Conversation { id: id(&conversation)?, parent: parent.as_deref().and_then(id) })
        }))
    }
}

/// Puts all rows into parts that are in none, step by step, each in a transaction of its own.
pub(super) async fn put_all(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    loop {
        run(watch, connection, "BEGIN IMMEDIATE").await?;
        let Some(Next { part, after, to }) = next(connection, watch).await? else {
            // the parts of rows that are gone may have been deleted
            return run(watch, connection, "COMMIT").await.map(drop);
        };
        let insert = format!(
            "INSERT OR IGNORE INTO turns (part, hash, request) SELECT {part}, substr(turn_hash, 1, 16), rowid FROM api_requests
             WHERE rowid > {after} AND rowid <= {to} AND turn_hash IS NOT NULL ORDER BY 2, 3"
        );
        let turns = run(watch, connection, &insert).await?;
        let note = format!(
            "INSERT INTO turn_parts (part, turns, last_request) VALUES ({part}, {turns}, {to})
             ON CONFLICT (part) DO UPDATE SET turns = turns + excluded.turns, last_request = excluded.last_request;
             COMMIT"
        );
        run(watch, connection, &note).await?;
    }
}

/// Puts rows into the last part that have replaced others, whose turns may have been others.
pub(super) async fn put_corrected(
    connection: &mut SqliteConnection,
    rows: &[&Row],
    watch: &QueryTimer,
) -> Result<(), StoreError> {
    let ids: Vec<String> =
        rows.iter().filter(|row| row.turn_hash.is_some()).map(|row| format!("'{}'", row.id)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT OR IGNORE INTO turns (part, hash, request)
         SELECT (SELECT coalesce(max(part), 0) FROM turn_parts), substr(turn_hash, 1, 16), rowid FROM api_requests
         WHERE id IN ({}) AND turn_hash IS NOT NULL",
        ids.join(", ")
    );
    run(watch, connection, &insert).await.map(drop)
}

/// The next step, within a transaction that writes; none where all rows are in parts.
async fn next(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<Option<Next>, StoreError> {
    const LAST: &str = "SELECT part, turns, last_request FROM turn_parts ORDER BY part DESC LIMIT 1";
    // one query for both would read all rows
    const ENDS: &str =
        "SELECT coalesce((SELECT min(rowid) FROM api_requests), 1), coalesce((SELECT max(rowid) FROM api_requests), 0)";
    let read = async {
        let last = sqlx::query(LAST).fetch_optional(&mut *connection).await?;
        let last: Option<(i64, i64, i64)> =
            last.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()?;
        let ends = sqlx::query(ENDS).fetch_one(&mut *connection).await?;
        let ends: (i64, i64) = (ends.try_get(0)?, ends.try_get(1)?);
        Ok((last.unwrap_or_default(), ends))
    };
    let ((mut part, turns, mut after), (oldest, newest)) = watch.statement(LAST, LIMIT, read).await?;
    if newest < after {
        // somebody has deleted the last rows, and others may have got their numbers: all again, which adds what is not there
        release_numbers(connection, watch).await?;
        after = oldest - 1;
    } else if turns >= PART {
        part += 1;
    }
    let to = newest.min(after.saturating_add(STEP));
    Ok((to > after).then_some(Next { part, after, to }))
}

/// Notes within the transaction that has deleted the last rows that others may get their numbers.
pub(super) async fn release_numbers(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    const NEWEST: &str = "(SELECT coalesce(max(rowid), 0) FROM api_requests)";
    let release = format!("UPDATE turn_parts SET last_request = {NEWEST} WHERE last_request > {NEWEST}");
    run(watch, connection, &release).await.map(drop)
}

/// Deletes the parts whose rows are all gone.
pub(super) async fn drop_parts(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
    const GONE: &str = "SELECT part FROM turn_parts
        WHERE part < (SELECT max(part) FROM turn_parts) AND last_request < (SELECT min(rowid) FROM api_requests)";
    let gone = watch.statement(GONE, LIMIT, sqlx::query_scalar::<_, i64>(GONE).fetch_all(&mut *connection)).await?;
    for part in gone {
        let first = format!(
            "SELECT max(hash) FROM (SELECT hash FROM turns WHERE part = {part} ORDER BY hash LIMIT {DELETED_AT_A_TIME})"
        );
        let delete = format!("DELETE FROM turns WHERE part = {part} AND hash <= ({first})");
        while run(watch, connection, &delete).await? > 0 {}
        run(watch, connection, &format!("DELETE FROM turn_parts WHERE part = {part}")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
