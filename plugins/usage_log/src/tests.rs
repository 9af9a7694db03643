use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plugin_api::http::StatusCode;
use plugin_api::testing::{self, ID, TestCall, TestRequest, context};
use plugin_api::{Answer, AnswerState, Endpoint, Outcome, Shared, Usage};
use uuid::Uuid;

use super::*;
use crate::ledger_journal::LedgerJournal;
use crate::metrics::LedgerMetrics;

/// A folder of its own, gone when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-usage-log-{}", Uuid::now_v7()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A ledger whose database is not there, so that all it keeps stays in the journal.
    fn plugin(&self, settings: &str) -> (UsageLog, Arc<Ledgers>) {
        fs::create_dir_all(self.0.join("ledger.db")).unwrap();
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap();
        let mut config = serde_json::json!({ "database": "sqlite://ledger.db" });
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(config).unwrap();
        let ledgers = Arc::new(Ledgers::default());
        let plugin = UsageLog::build(
            &config,
            &BuildContext {
                base: &self.0,
                shared: &ledgers,
                secrets: &Default::default(),
                common: &Default::default(),
            },
        )
        .unwrap();
        plugin.activate();
        (plugin, ledgers)
    }

    /// What is in the journal, once nobody has it any more.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let journal = self.0.join("ledger.db.journal");
        let end = Instant::now() + Duration::from_secs(10);
        let (_journal, mut reader) = loop {
            match LedgerJournal::open(&journal, 1 << 30, Arc::new(LedgerMetrics::new())) {
                Ok(journal) => break journal,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let batch = reader.next_batch(1000, usize::MAX).unwrap();
        let records = batch.map(|batch| batch.records).unwrap_or_default();
        let row = |record| match record {
            Record::Request(row) => *row,
            Record::Batch(row) => panic!("{row:?}"),
        };
        records.into_iter().map(row).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn completed(total: u64) -> plugin_api::Record {
    let mut record = plugin_api::Record::begun(ID, SystemTime::now());
    (record.outcome, record.status) = (Outcome::Completed, Some(StatusCode::OK));
    record.total = Duration::from_millis(total);
    let tokens = plugin_api::Tokens { input: Some(1), ..plugin_api::Tokens::default() };
    record.answer = Some(
        Answer { state: AnswerState::Complete, usage: Some(Usage { tokens, ..Usage::default() }), ..Answer::default() }
            .into(),
    );
    record
}

#[tokio::test]
async fn a_request_has_one_row_and_a_second_only_if_it_ends_otherwise() {
    let folder = Folder::new();
    {
        let (plugin, ledgers) = folder.plugin("{}");
        let request = TestRequest::to(Endpoint::MESSAGES).header("x-api-key", "secret");
        for gone in [false, true] {
            let mut entry = Entry::default();
            assert!(matches!(
                testing::on_request(&plugin, &mut entry, &mut request.request(&mut context())).await,
                Flow::Continue
            ));
            plugin.before_last_byte(&mut entry, &completed(5));
            let mut record = completed(6);
            if gone {
                record.outcome = Outcome::ClientGone;
            }
            plugin.on_complete(&mut entry, &record);
        }
        plugin.on_complete(&mut Entry::default(), &completed(7));
        ledgers.finish(Instant::now());
    }
    let found: Vec<_> = folder.rows().iter().map(|row| (row.sequence, row.revision, row.outcome.to_string())).collect();
    let row = |sequence, revision, outcome: &str| (sequence, revision, outcome.to_owned());
    assert_eq!(
        found,
        [row(1, 0, "completed"), row(2, 0, "completed"), row(2, 1, "client_gone"), row(3, 0, "completed")]
    );
    assert!(folder.rows()[0].api_key_hash.as_deref().is_some_and(|hash| hash.starts_with("2bb80d53")));
}

#[test]
fn a_row_without_room_before_the_last_byte_is_tried_once_more_at_the_end_and_counted_only_then() {
    let folder = Folder::new();
    {
        let (plugin, ledgers) = folder.plugin("{}");
        let lost = || ledgers.metrics.lost_so_far("row");
        let set_room = |bytes| plugin.opened().journal().get().set_max_bytes(bytes);
        for has_room in [true, false] {
            let mut entry = Entry::default();
            set_room(0);
            plugin.before_last_byte(&mut entry, &completed(5));
            assert_eq!(lost(), 0);
            if has_room {
                set_room(1 << 20);
            }
            // later than a correction would need
            plugin.on_complete(&mut entry, &completed(500));
        }
        assert_eq!(lost(), 1);
        ledgers.finish(Instant::now());
    }
    let found: Vec<_> = folder.rows().iter().map(|row| (row.sequence, row.revision, row.response_time_ms)).collect();
    assert_eq!(found, [(1, 0, 500)]);
}

#[tokio::test]
async fn bodies_are_kept_where_that_is_asked_for_and_no_key_in_them() {
    let folder = Folder::new();
    {
        let settings =
            r#"{ "store": { "request_body": true, "response_body": true, "chunks": true, "max_body": "10B" } }"#;
        let (plugin, ledgers) = folder.plugin(settings);
        let request = TestRequest::to(Endpoint::MESSAGES).header("x-api-key", "verysecret");
        let mut entry = Entry::default();
        let _ = testing::on_request(&plugin, &mut entry, &mut request.request(&mut context())).await;
        let mut body = TestCall::new().max_tokens(9).to(Endpoint::MESSAGES);
        let mut context = context();
        let _ = testing::on_call(&plugin, &mut entry, &mut Call { context: &mut context, body: &mut body }).await;
        for (bytes, last) in [("1234", false), ("verysecret", false), ("", true)] {
            plugin.on_chunk(&mut entry, &mut Chunk { context: &context, bytes: &bytes.into(), last, complete: false });
        }
        plugin.before_last_byte(&mut entry, &completed(5));
        plugin.on_complete(&mut entry, &completed(500));
        ledgers.finish(Instant::now());
    }
    let rows = folder.rows();
    assert_eq!(rows.len(), 2, "it took longer than was predicted");
    for row in rows {
        let (request, response) = (row.request_body.unwrap(), row.response_body.unwrap());
        assert_eq!((request.bytes.as_slice(), request.truncated), (&br#"{"max_toke"#[..], true));
        assert_eq!((response.bytes.as_slice(), response.truncated), (&b"1234******"[..], true));
        assert_eq!(row.chunks.iter().map(|chunk| chunk.bytes.len()).collect::<Vec<_>>(), [4, 6]);
    }
}

#[test]
fn settings_that_make_no_sense_are_told_of() {
    let check = |json: &str| String::from(UsageLog::check(&serde_json::from_str::<Config>(json).unwrap()).unwrap_err());
    assert!(check(r#"{ "journal": { "max_bytes": "1KiB" } }"#).contains("`journal.max_bytes` is 1KiB, below 1MiB"));
    assert!(check(r#"{ "prices": { "a*b": {} } }"#).contains("`a*b`"));
}
