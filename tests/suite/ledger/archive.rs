//! What goes by way of the archive: all that retention deletes, however late it came.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use plugin_api::Uuid;
use usage_log::{BatchRow, Body, Piece, Record, Row, StoreError};

use super::book::{Book, at, connected, housekept, keeping, records, rows};
use crate::harness::Folder;

/// A file of the archive.
fn read(folder: &Path, name: &str) -> String {
    String::from_utf8(zstd::decode_all(std::fs::File::open(folder.join(name)).unwrap()).unwrap()).unwrap()
}

/// How many rows the files have whose names begin so.
fn archived(folder: &Path, table: &str) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.starts_with(table));
    names.map(|name| read(folder, &name).lines().count() - 1).sum()
}

/// So many rows of a day in January, each with a body and a piece of its answer.
fn old(count: usize) -> Vec<Row> {
    let mut rows = rows(count);
    for row in &mut rows {
        row.created_at = at("2026-01-31", row.sequence);
        row.request_body = Some(Body { bytes: b"body".to_vec(), ..Body::default() });
        row.chunks = vec![Piece { after_ms: 1, bytes: b"chunk".to_vec() }];
    }
    rows
}

#[tokio::test]
async fn pieces_of_answers_and_results_of_batches_go_there_too() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut batch = records(old(10));
        let new = rows(10).into_iter().map(|row| Row { chunks: old(1).remove(0).chunks, ..row });
        batch.extend(records(new));
        for (custom_id, day) in [("old", "2026-01-15"), ("other month", "2026-02-01"), ("new", "2026-11-24")] {
            batch.push(Record::Batch(Box::new(BatchRow {
                batch: "msgbatch_1".into(),
                custom_id: custom_id.into(),
                request_id: Uuid::now_v7(),
                created_at: if custom_id == "new" { rows(1)[0].created_at } else { at(day, 0) },
                domain: "test.example.com".into(),
                ..BatchRow::default()
            })));
        }
        store.write(&batch).await.unwrap();
        let archive = Folder::new();
        let mut settings = keeping(&book.url(), Some("60days"), None);
        settings.archive = Some(archive.path().into());
        housekept(&mut connected(&settings).await.unwrap()).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM streaming_chunks"), "10");
        assert_eq!(book.sql("SELECT custom_id FROM batch_results"), "new");
        for file in std::fs::read_dir(archive.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o137, 0, "{mode:o}");
        }
        let chunks = read(archive.path(), "streaming_chunks_2026_01_31.csv.zst");
        assert!(chunks.starts_with("request_id,chunk_index,created_at,timestamp,data\n"), "{chunks}");
        assert_eq!(chunks.matches(",\\x6368756e6b\n").count(), 10, "{chunks}");
        for (month, custom_id) in [("01", "old"), ("02", "other month")] {
            let results = read(archive.path(), &format!("batch_results_2026_{month}.csv.zst"));
            assert!(
                results.lines().count() == 2 && results.contains(&format!("\nmsgbatch_1,{custom_id},")),
                "{results}"
            );
        }
    }
}

#[tokio::test]
async fn a_row_that_comes_while_others_go_is_not_deleted_unseen() {
    for book in Book::both().await {
        let mut store = book.store().await;
        store.write(&records(old(5000))).await.unwrap();
        store.write(&records(rows(1))).await.unwrap();
        let archive = Folder::new();
        let mut settings = keeping(&book.url(), Some("60days"), None);
        settings.archive = Some(archive.path().into());
        let mut keeper = connected(&settings).await.unwrap();
        let done = AtomicBool::new(false);
        let late = async {
            let mut count = 0;
            // they come to an end, or a slow keeper would find more each time it believes to be through
            while !done.load(Ordering::Relaxed) && count < 500 {
                let batch = records(old(5));
                // its partition may go once more before it is written: it is worth another try then
                while let Err(error) = store.write(&batch).await {
                    let passing = matches!(error, StoreError::Unavailable(_)) || error.to_string().ends_with("(23514)");
                    assert!(passing, "{error}");
                }
                count += 5;
            }
            count
        };
        let keeping = async {
            housekept(&mut keeper).await.unwrap();
            done.store(true, Ordering::Relaxed);
        };
        let (late, ()) = tokio::join!(late, keeping);
        housekept(&mut keeper).await.unwrap();
        for (table, left) in [("api_requests", "1"), ("api_request_bodies", "0"), ("streaming_chunks", "0")] {
            assert_eq!(book.sql(&format!("SELECT count(*) FROM {table}")), left, "{table}");
            assert_eq!(archived(archive.path(), &format!("{table}_2026")), 5000 + late, "{table}");
        }
    }
}
