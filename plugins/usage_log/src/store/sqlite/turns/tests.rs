//! Rows found by their turns: across steps, parts, deletions and schemas.

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

/// The same, put into parts.
async fn insert_and_put(connection: &mut SqliteConnection, from: i64, to: i64) {
    insert(connection, from, to).await;
    put_all(connection, &watch()).await.unwrap();
}

/// The row that a database knows by the turn of this number.
async fn found(connection: &mut SqliteConnection, number: u64) -> Option<u128> {
    let mut turn = [0; 32];
    turn[24..].copy_from_slice(&(number * 7919 % 1_000_003).to_be_bytes());
    let mut recent = RecentTurns::default();
    recent.look(connection, &watch()).await.unwrap();
    let conversation = recent.conversation(connection, turn, &watch()).await.unwrap();
    conversation.map(|conversation| conversation.id.as_u128())
}

#[tokio::test]
async fn rows_of_many_steps_are_found_by_their_turns() {
    let (mut connection, rows) = (database(SQLITE.len()).await, 2 * STEP + 5);
    insert_and_put(&mut connection, 1, rows).await;
    put_all(&mut connection, &watch()).await.unwrap();
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
    insert_and_put(&mut connection, 1, 10).await;
    sql(&mut connection, &format!("UPDATE turn_parts SET turns = {PART}")).await;
    insert_and_put(&mut connection, 11, 20).await;
    assert_eq!((found(&mut connection, 10).await, found(&mut connection, 11).await), (Some(10), Some(11)));
    drop_parts(&mut connection, &watch()).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT count(DISTINCT part) FROM turns").await, 2);
    sql(&mut connection, "DELETE FROM api_requests WHERE sequence <= 10").await;
    drop_parts(&mut connection, &watch()).await.unwrap();
    assert_eq!((found(&mut connection, 10).await, found(&mut connection, 11).await), (None, Some(11)));
    assert_eq!(number(&mut connection, "SELECT 100 * count(*) + max(part) FROM turns").await, 1001);
    assert_eq!(number(&mut connection, "SELECT count(*) FROM turn_parts").await, 1);
}

#[tokio::test]
async fn rows_that_get_the_numbers_of_others_are_found() {
    let mut connection = database(SQLITE.len()).await;
    insert_and_put(&mut connection, 1, 10).await;
    sql(&mut connection, "DELETE FROM api_requests").await;
    insert_and_put(&mut connection, 11, 15).await;
    assert_eq!((found(&mut connection, 3).await, found(&mut connection, 13).await), (None, Some(13)));
}

#[tokio::test]
async fn rows_that_get_the_numbers_of_retired_ones_are_found_though_more_have_come() {
    let mut connection = database(SQLITE.len()).await;
    insert_and_put(&mut connection, 1, 100).await;
    sql(&mut connection, "DELETE FROM api_requests WHERE sequence > 80").await;
    release_numbers(&mut connection, &watch()).await.unwrap();
    insert_and_put(&mut connection, 201, 230).await;
    for (number, row) in [(80, Some(80)), (81, None), (201, Some(201)), (220, Some(220)), (230, Some(230))] {
        assert_eq!(found(&mut connection, number).await, row);
    }
}

#[tokio::test]
async fn a_database_without_the_table_finds_rows_by_its_index() {
    let mut connection = database(15).await;
    insert(&mut connection, 1, 10).await;
    assert_eq!((found(&mut connection, 3).await, found(&mut connection, 11).await), (Some(3), None));
}

#[tokio::test]
async fn rows_of_an_earlier_schema_are_found() {
    let mut connection = database(15).await;
    insert(&mut connection, 1, 300).await;
    sql(&mut connection, "DELETE FROM api_requests WHERE sequence = 7").await;
    sql(&mut connection, SQLITE[15].sql).await;
    insert_and_put(&mut connection, 301, 310).await;
    for (number, row) in [(1, Some(1)), (7, None), (300, Some(300)), (301, Some(301)), (310, Some(310))] {
        assert_eq!(found(&mut connection, number).await, row);
    }
    assert_eq!(number(&mut connection, "SELECT count(*) FROM turns").await, 309);
}

#[tokio::test]
async fn a_row_that_is_corrected_in_a_part_is_found_by_its_turn() {
    let mut connection = database(SQLITE.len()).await;
    insert_and_put(&mut connection, 1, 10).await;
    sql(&mut connection, &format!("UPDATE api_requests SET turn_hash = x'{:064x}' WHERE sequence = 4", 20 * 7919))
        .await;
    let row = Row { id: Uuid::from_u128(4), turn_hash: Some([0; 32]), ..Row::default() };
    put_corrected(&mut connection, &[&row], &watch()).await.unwrap();
    assert_eq!((found(&mut connection, 20).await, found(&mut connection, 4).await), (Some(4), None));
}
