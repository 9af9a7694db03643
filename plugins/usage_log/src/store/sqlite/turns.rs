//! Rows by the hash of their turn, in a table of their own: a step of many rows at a time, in the order of their hashes. An index of the
//! hashes, which are random, changes a page for each row; a step changes a page for many.
//!
//! The rows behind the last step are known in memory, by the process that wrote them. What another left is put into the table before
//! anything is looked up.

use std::collections::HashMap;

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
    conversations: HashMap<[u8; 16], Conversation>,
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

    /// Whether they are as many as a step has.
    pub(super) fn are_many(&self) -> bool {
        self.conversations.len() >= usize::try_from(STEP).unwrap_or(usize::MAX)
    }

    /// Forgets them: all rows are in parts.
    pub(super) fn clear(&mut self) {
        self.conversations.clear();
    }

    /// The conversation of a turn, be it of a row of late or of one in a part. Of several, the latest.
    pub(super) async fn conversation(
        &self,
        connection: &mut SqliteConnection,
        turn: [u8; 32],
        watch: &QueryTimer,
    ) -> Result<Option<Conversation>, StoreError> {
        const QUERY: &str = "SELECT coalesce(r.conversation_id, r.id), r.parent_conversation_id
            FROM turn_parts p CROSS JOIN turns t CROSS JOIN api_requests r
            WHERE t.part = p.part AND t.hash = ? AND r.rowid = t.request AND r.turn_hash = ?
            ORDER BY r.created_at DESC LIMIT 1";
        if let Some(known) = self.conversations.get(&half(turn)) {
            return Ok(Some(*known));
        }
        let query = sqlx::query(QUERY).bind(half(turn).to_vec()).bind(turn.to_vec()).fetch_optional(connection);
        let read = async {
            let ids = |row: SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
            query.await?.map(ids).transpose()
        };
        let ids: Option<(String, Option<String>)> = watch.statement(QUERY, LIMIT, read).await?;
        let id = |text: &str| Uuid::try_parse(text).ok();
        Ok(ids.and_then(|(conversation, parent)| {
            Some(Conversation { id: id(&conversation)?, parent: parent.as_deref().and_then(id) })
        }))
    }
}

/// Puts all rows into parts that are in none, step by step, each in a transaction of its own.
pub(super) async fn file(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
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
pub(super) async fn file_corrected(
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
    const NEWEST: &str = "SELECT coalesce(max(rowid), 0) FROM api_requests";
    let read = async {
        let last = sqlx::query(LAST).fetch_optional(&mut *connection).await?;
        let last: Option<(i64, i64, i64)> =
            last.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()?;
        let newest: i64 = sqlx::query(NEWEST).fetch_one(&mut *connection).await?.try_get(0)?;
        Ok((last.unwrap_or_default(), newest))
    };
    let ((mut part, turns, mut after), newest) = watch.statement(LAST, LIMIT, read).await?;
    if newest < after {
        // the last rows are gone, and others get their numbers: all again
        run(watch, connection, "DELETE FROM turns; DELETE FROM turn_parts").await?;
        (part, after) = (0, 0);
    } else if turns >= PART {
        part += 1;
    }
    let to = newest.min(after.saturating_add(STEP));
    Ok((to > after).then_some(Next { part, after, to }))
}

/// Deletes the parts whose rows are all gone.
pub(super) async fn forget(connection: &mut SqliteConnection, watch: &QueryTimer) -> Result<(), StoreError> {
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
mod tests {
    use sqlx::{AssertSqlSafe, Connection};

    use super::*;
    use crate::store::StoreMetrics;
    use crate::store::migration::SQLITE;

    fn watch() -> QueryTimer {
        QueryTimer { slow: LIMIT, metrics: StoreMetrics::new().unwrap() }
    }

    /// A database as it is after so many steps.
    async fn database(steps: usize) -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for step in &SQLITE[..steps] {
            sql(&mut connection, step.sql).await;
        }
        connection
    }

    async fn sql(connection: &mut SqliteConnection, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await.unwrap();
    }

    async fn number(connection: &mut SqliteConnection, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(connection).await.unwrap()
    }

    /// Rows with these numbers, each of another turn.
    async fn insert(connection: &mut SqliteConnection, from: i64, to: i64) {
        let rows = format!(
            "WITH RECURSIVE n(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM n WHERE n < {to})
             INSERT INTO api_requests (id, created_at, revision, instance, sequence, domain, method, path, request_type, turn_hash,
                response_time_ms, usage_source, attempts, outcome, request_bytes, response_bytes)
             SELECT printf('00000000-0000-0000-0000-%012x', n), '2026-11-24 13:30:00.123456', 0, '', n, '', '', '', '',
                unhex(printf('%064x', n * 7919 % 1000003)), 0, '', 0, '', 0, 0 FROM n"
        );
        sql(connection, &rows).await;
    }

    /// The row that a database knows by the turn of this number.
    async fn found(connection: &mut SqliteConnection, number: u64) -> Option<u128> {
        let mut turn = [0; 32];
        turn[24..].copy_from_slice(&(number * 7919 % 1_000_003).to_be_bytes());
        let conversation = RecentTurns::default().conversation(connection, turn, &watch()).await.unwrap();
        conversation.map(|conversation| conversation.id.as_u128())
    }

    #[tokio::test]
    async fn rows_of_many_steps_are_found_by_their_turns() {
        let (mut connection, rows) = (database(SQLITE.len()).await, 2 * STEP + 5);
        insert(&mut connection, 1, rows).await;
        file(&mut connection, &watch()).await.unwrap();
        file(&mut connection, &watch()).await.unwrap();
        for number in [1, 2, STEP, STEP + 1, rows] {
            let number = number.cast_unsigned();
            assert_eq!(found(&mut connection, number).await, Some(number.into()));
        }
        assert_eq!(found(&mut connection, 900_000).await, None);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM turns").await, rows);
    }

    #[tokio::test]
    async fn a_part_that_is_full_is_followed_by_another_and_goes_with_its_rows() {
        let mut connection = database(SQLITE.len()).await;
        insert(&mut connection, 1, 10).await;
        file(&mut connection, &watch()).await.unwrap();
        sql(&mut connection, &format!("UPDATE turn_parts SET turns = {PART}")).await;
        insert(&mut connection, 11, 20).await;
        file(&mut connection, &watch()).await.unwrap();
        assert_eq!((found(&mut connection, 10).await, found(&mut connection, 11).await), (Some(10), Some(11)));
        forget(&mut connection, &watch()).await.unwrap();
        assert_eq!(number(&mut connection, "SELECT count(DISTINCT part) FROM turns").await, 2);
        sql(&mut connection, "DELETE FROM api_requests WHERE sequence <= 10").await;
        forget(&mut connection, &watch()).await.unwrap();
        assert_eq!((found(&mut connection, 10).await, found(&mut connection, 11).await), (None, Some(11)));
        assert_eq!(number(&mut connection, "SELECT 100 * count(*) + max(part) FROM turns").await, 1001);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM turn_parts").await, 1);
    }

    #[tokio::test]
    async fn rows_that_get_the_numbers_of_others_are_found() {
        let mut connection = database(SQLITE.len()).await;
        insert(&mut connection, 1, 10).await;
        file(&mut connection, &watch()).await.unwrap();
        sql(&mut connection, "DELETE FROM api_requests").await;
        insert(&mut connection, 11, 15).await;
        file(&mut connection, &watch()).await.unwrap();
        assert_eq!((found(&mut connection, 3).await, found(&mut connection, 13).await), (None, Some(13)));
        assert_eq!(number(&mut connection, "SELECT count(*) FROM turns").await, 5);
    }

    #[tokio::test]
    async fn rows_of_an_earlier_schema_are_found() {
        let mut connection = database(15).await;
        insert(&mut connection, 1, 300).await;
        sql(&mut connection, "DELETE FROM api_requests WHERE sequence = 7").await;
        sql(&mut connection, SQLITE[15].sql).await;
        insert(&mut connection, 301, 310).await;
        file(&mut connection, &watch()).await.unwrap();
        for (number, row) in [(1, Some(1)), (7, None), (300, Some(300)), (301, Some(301)), (310, Some(310))] {
            assert_eq!(found(&mut connection, number).await, row);
        }
        assert_eq!(number(&mut connection, "SELECT count(*) FROM turns").await, 309);
    }

    #[tokio::test]
    async fn a_row_that_is_corrected_in_a_part_is_found_by_its_turn() {
        let mut connection = database(SQLITE.len()).await;
        insert(&mut connection, 1, 10).await;
        file(&mut connection, &watch()).await.unwrap();
        sql(&mut connection, &format!("UPDATE api_requests SET turn_hash = x'{:064x}' WHERE sequence = 4", 20 * 7919))
            .await;
        let row = Row { id: Uuid::from_u128(4), turn_hash: Some([0; 32]), ..Row::default() };
        file_corrected(&mut connection, &[&row], &watch()).await.unwrap();
        assert_eq!((found(&mut connection, 20).await, found(&mut connection, 4).await), (Some(4), None));
    }
}
