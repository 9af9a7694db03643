use std::fs;

use sqlx::{Connection as _, SqliteConnection};

use super::*;
use crate::metrics::LedgerMetrics;
use crate::tests::Folder;
use crate::{BatchRow, Body, Config, Cost, Piece, Row, Store};

fn row(number: i64) -> Row {
    Row {
        id: Uuid::now_v7(),
        instance: Uuid::from_u128(1),
        sequence: number,
        turn_hash: Some([7; 32]),
        cost_usd: Some(Cost::from_picos(i64::MAX.into())),
        usage_data: Some("{\"a\":\"\\u0000\"}".into()),
        client_ip: Some("2001:db8::7".parse().unwrap()),
        request_body: Some(Body { bytes: (0..=255).collect(), encoding: Some("gzip".into()), truncated: true }),
        chunks: vec![Piece { after_ms: 5, bytes: b"\0\xff".to_vec() }],
        method: "POST".into(),
        outcome: "completed".into(),
        request_type: "inference".into(),
        ..Row::default()
    }
}

fn request(number: i64) -> Record {
    Record::Request(Box::new(row(number)))
}

async fn store(folder: &Folder) -> Store {
    let settings = Config { database: "sqlite://new.db".parse().unwrap(), ..Config::default() };
    let mut settings = settings.store_settings(&folder.0);
    // a busy machine may take a while
    settings.pool.connect_timeout = "60s".parse().unwrap();
    let mut store = Store::connect(&settings, LedgerMetrics::new().store()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

#[test]
fn a_record_comes_back_from_its_line_as_it_was() {
    #[derive(Deserialize)]
    struct Line {
        record: Record,
    }
    let batch = BatchRow { batch: "b".into(), usage_data: Some("{}".into()), ..BatchRow::default() };
    for record in [request(1), Record::Batch(Box::new(batch))] {
        let text = line(&record, "no").unwrap();
        let back: Line = serde_json::from_slice(&text).unwrap();
        assert_eq!(back.record, record);
    }
}

#[tokio::test]
async fn what_was_put_aside_is_in_the_database_once_whatever_stopped_an_earlier_run() {
    let folder = Folder::new();
    let mut store = store(&folder).await;
    let records: Vec<Record> = (1..=7).map(request).collect();
    // two were taken away by a run that had written one of them; five came since, one of them again
    records[..2].iter().for_each(|record| append(&folder.0, record, "no").unwrap());
    assert!(take(&folder.0).unwrap());
    store.write(&records[..1]).await.unwrap();
    records[1..].iter().for_each(|record| append(&folder.0, record, "no").unwrap());
    let found = quarantined(&folder.0).unwrap();
    assert_eq!((found.rows.len(), found.others), (7, 0));
    let requeued = requeue(&folder.0, &mut store).await.unwrap();
    assert_eq!(requeued, Requeued { new: 6, known: 2, ..Requeued::default() });
    assert_eq!(quarantined(&folder.0).unwrap().rows.len(), 0);
    assert_eq!(requeue(&folder.0, &mut store).await.unwrap(), Requeued::default());
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_kept_and_spoils_no_other() {
    let folder = Folder::new();
    let mut store = store(&folder).await;
    append(&folder.0, &request(1), "no").unwrap();
    let whole = fs::read(path(&folder.0)).unwrap();
    fs::write(path(&folder.0), [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
    append(&folder.0, &request(2), "no").unwrap();
    assert_eq!(quarantined(&folder.0).unwrap().others, 1);
    let requeued = requeue(&folder.0, &mut store).await.unwrap();
    assert_eq!(requeued, Requeued { new: 2, unreadable: 1, ..Requeued::default() });
    let found = quarantined(&folder.0).unwrap();
    assert_eq!((found.rows.len(), found.others), (0, 1));
}

#[tokio::test]
async fn what_is_refused_again_after_a_run_that_was_stopped_is_kept_once() {
    let folder = Folder::new();
    let mut store = store(&folder).await;
    let mut database = SqliteConnection::connect(&format!("sqlite://{}/new.db", folder.0.display())).await.unwrap();
    let trigger = "CREATE TRIGGER no BEFORE INSERT ON api_requests BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(trigger).execute(&mut database).await.unwrap();
    append(&folder.0, &request(1), "no").unwrap();
    fs::OpenOptions::new().append(true).open(path(&folder.0)).unwrap().write_all(b"{\"cut\n").unwrap();
    // the run was stopped when it had kept what was refused again
    let whole = fs::read(path(&folder.0)).unwrap();
    assert!(take(&folder.0).unwrap());
    fs::write(path(&folder.0), whole).unwrap();
    for _ in 0..3 {
        let requeued = requeue(&folder.0, &mut store).await.unwrap();
        assert_eq!((requeued.new, requeued.refused, requeued.unreadable), (0, 1, 1));
        let found = quarantined(&folder.0).unwrap();
        assert_eq!((found.rows.len(), found.others), (1, 1));
    }
}

#[test]
fn what_is_put_aside_while_the_file_is_taken_away_is_in_one_of_the_two() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        let putting = scope.spawn(|| (1..=300).for_each(|number| append(&folder.0, &request(number), "no").unwrap()));
        let mut found = HashSet::new();
        loop {
            let last = putting.is_finished();
            if take(&folder.0).unwrap() {
                found.extend(put_aside_in(&taken_path(&folder.0)));
            }
            if last {
                break;
            }
        }
        assert_eq!(found.len(), 300);
    });
}

fn put_aside_in(file: &Path) -> HashSet<(Uuid, i64)> {
    let folder = Folder::new();
    fs::copy(file, path(&folder.0)).unwrap();
    quarantined(&folder.0).unwrap().rows
}

#[tokio::test]
async fn two_runs_do_not_mix() {
    let folder = Folder::new();
    let mut store = store(&folder).await;
    append(&folder.0, &request(1), "no").unwrap();
    let lock = File::create(folder.0.join("requeue.lock")).unwrap();
    lock.lock().unwrap();
    let error = requeue(&folder.0, &mut store).await.unwrap_err();
    assert!(error.contains("another `usage requeue` is at work"), "{error}");
    assert_eq!(quarantined(&folder.0).unwrap().rows.len(), 1);
}
