//! Retention by a clock that is wrong: nothing goes that a right clock would keep.

use std::time::{Duration, SystemTime};

use usage_log::{BatchRow, Body, Piece, Record, Row};

use super::book::{Book, connected, housekept, housekept_from, keeping, records, rows};
use crate::harness::Folder;

const DAY: Duration = Duration::from_secs(86_400);
const TABLES: [&str; 4] = ["api_requests", "api_request_bodies", "streaming_chunks", "batch_results"];

/// Rows that are so old, in all tables.
fn aged(days: u32, count: usize) -> Vec<Record> {
    let made = SystemTime::now() - DAY * days;
    let whole = rows(count).into_iter().map(|row| Row {
        created_at: made.into(),
        request_body: Some(Body { bytes: b"body".to_vec(), ..Body::default() }),
        chunks: vec![Piece { after_ms: 1, bytes: b"chunk".to_vec() }],
        ..row
    });
    let mut all = records(whole);
    all.push(Record::Batch(Box::new(BatchRow {
        batch: "msgbatch_1".into(),
        custom_id: format!("{days} days old").into(),
        created_at: made.into(),
        ..BatchRow::default()
    })));
    all
}

fn counts(book: &Book) -> [String; 4] {
    TABLES.map(|table| book.sql(&format!("SELECT count(*) FROM {table}")))
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_or_behind_deletes_nothing() {
    for book in Book::both().await {
        let mut store = book.store().await;
        for days in [0, 40, 300] {
            store.write(&aged(days, 3)).await.unwrap();
        }
        let (all, archive) = (counts(&book), Folder::new());
        assert_eq!(all, ["9", "9", "9", "3"]);
        let mut settings = keeping(&book.url(), Some("400days"), Some("350days"));
        settings.archive = Some(archive.path().into());
        let mut keeper = connected(&settings).await.unwrap();
        for start in [SystemTime::now() + DAY * 730, SystemTime::now() - DAY * 730] {
            housekept_from(&mut keeper, start).await.unwrap();
            assert_eq!(counts(&book), all);
        }
        // rows of another gateway whose clock is as wrong, or that were written before it was set
        let future: Vec<Record> =
            records(rows(3).into_iter().map(|row| Row { created_at: (SystemTime::now() + DAY * 720).into(), ..row }));
        store.write(&future).await.unwrap();
        housekept(&mut keeper).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "12");
        if let Book::Postgres(_) = book {
            // the database knows the time
            housekept_from(&mut keeper, SystemTime::now() + DAY * 730).await.unwrap();
            assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "12");
        }
        assert_eq!(std::fs::read_dir(archive.path()).unwrap().count(), 0);
        // by a clock that is right
        let mut keeper = connected(&keeping(&book.url(), Some("100days"), Some("20days"))).await.unwrap();
        housekept(&mut keeper).await.unwrap();
        assert_eq!(counts(&book), ["9", "3", "3", "2"]);
    }
}
