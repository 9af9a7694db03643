//! A `PgBouncer` in transaction mode: two transactions in a row run in two sessions, which other gateways use too.

use usage_log::report::{By, Report};
use usage_log::{Conversation, PoolSettings, Record, Row, StoreError, Written};

use super::book::{at, connected, housekept, keeping, migrated, records, rows, settings};
use crate::harness::{Folder, eventually, gateway, http1, origin, pgbouncer, postgres};

const GATEWAYS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_gateways_make_one_schema_and_write_each_row_once() {
    let server = postgres().await;
    let bouncer = pgbouncer(&server, 3).await;
    let settings = settings(&bouncer.url());
    let shared = records(rows(200));
    let writing = (0..GATEWAYS).map(|gateway| {
        let (settings, mut shared) = (settings.clone(), shared.clone());
        tokio::spawn(async move {
            // few connections among many gateways: one that has to wait for too long tries again, as the shipper does
            let mut store = loop {
                match migrated(&settings).await {
                    Ok(store) => break store,
                    Err(error) => assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}"),
                }
            };
            shared.rotate_left(gateway * 17);
            for part in shared.chunks(50) {
                // what is there already, what is new, and what corrects a row
                let own = rows(30);
                let corrected = own[..5].iter().map(|row| Row { revision: 1, ..row.clone() });
                let batch: Vec<Record> = part.iter().cloned().chain(records(own.iter().cloned())).collect();
                let again = records(corrected);
                for batch in [batch, again] {
                    while let Err(error) = store.write(&batch).await {
                        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
                        tokio::task::yield_now().await;
                    }
                }
            }
        })
    });
    for gateway in writing.collect::<Vec<_>>() {
        gateway.await.unwrap();
    }
    let all = 200 + GATEWAYS * 4 * 30;
    assert_eq!(server.sql("SELECT count(*), count(DISTINCT id) FROM api_requests"), format!("{all}|{all}"));
    assert_eq!(server.sql("SELECT count(*) = max(version) FROM ledger_schema"), "t");
    // nothing is left in the sessions
    assert_eq!(server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'staged%'"), "0");
    assert_eq!(server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    let log = server.log();
    assert!(!log.contains("prepared statement"), "{log}");
}

#[tokio::test]
async fn turns_are_found_sums_are_made_and_months_go_in_utc_whatever_the_sessions_are_set_to() {
    let server = postgres().await;
    server.sql("ALTER DATABASE ledger SET timezone = 'America/New_York'");
    server.sql("ALTER DATABASE ledger SET standard_conforming_strings = off");
    let bouncer = pgbouncer(&server, 2).await;
    let mut store = migrated(&settings(&bouncer.url())).await.unwrap();
    let mut old = rows(12);
    for (row, micros) in old[..10].iter_mut().zip([-1, 0, 1, 2, 3, 4, 5, 6, 7, 8]) {
        row.created_at = at("2026-02-01", micros);
    }
    (old[10].turn_hash, old[10].domain) = (Some([2; 32]), "it's a \\ host ü".into());
    let id = old[10].id;
    assert_eq!(store.write(&records(old)).await, Ok(Written { new: 12, known: 0 }));
    let known = Conversation { id, parent: None };
    assert_eq!(store.conversations(&[[2; 32], [1; 32]]).await, Ok(vec![Some(known), None]));
    let report = Report::open(&bouncer.url().parse().unwrap(), &PoolSettings::default()).unwrap();
    for _ in 0..5 {
        assert_eq!(report.first().await, Ok(Some(at("2026-02-01", -1))));
        let lines = report.sums(&[By::Month], at("2026-01-01", 0), at("2026-03-01", 0)).await.unwrap();
        let found: Vec<_> = lines.iter().map(|line| (line.group[0].as_deref(), line.sums.requests)).collect();
        assert_eq!(found, [(Some("2026-01"), 1), (Some("2026-02"), 9)]);
        assert_eq!(report.gaps().await, Ok(vec![]));
    }
    let archive = Folder::new();
    let mut settings = keeping(&bouncer.url(), Some("100days"), None);
    settings.archive = Some(archive.path().into());
    let mut keeper = connected(&settings).await.unwrap();
    housekept(&mut keeper).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM api_requests"), "2");
    let file = std::fs::File::open(archive.path().join("api_requests_2026_01.csv.zst")).unwrap();
    let csv = String::from_utf8(zstd::decode_all(file).unwrap()).unwrap();
    assert!(csv.contains(",2026-01-31 23:59:59.999999+00,"), "{csv}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

#[tokio::test]
async fn a_gateway_and_its_commands_work_by_way_of_it() {
    let server = postgres().await;
    let bouncer = pgbouncer(&server, 2).await;
    let origin = origin().await;
    let plugins = format!("plugins: [{{ usage_log: {{ database: \"{}\" }} }}]", bouncer.url());
    let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
    let mut client = http1(gateway.address()).await;
    for number in 0..50 {
        assert_eq!(client.get(&format!("/{number}")).await.status, 200);
    }
    eventually("all rows", async || {
        server
            .ask("ledger", "SELECT count(*), count(DISTINCT id) FROM api_requests")
            .is_ok_and(|found| found == "50|50")
    })
    .await;
    for command in [&["migrate"][..], &["usage"], &["usage", "verify"], &["usage", "requeue"]] {
        for _ in 0..3 {
            let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
            let output = program.args(command).arg("-c").arg(gateway.file()).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
