//! The commands that read the ledger and prepare it, as an operator runs them.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;
use usage_log::{Cost, Row};

use super::book::{Book, at, connected, only_checking, records, rows, settings};
use crate::harness::Folder;

/// A configuration whose ledger is in a book.
fn config(book: &Book) -> Folder {
    let folder = Folder::new();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ origin: {{ servers: [{{ address: \"127.0.0.1:1\" }}] }} }}\n\
         routes: [{{ upstream: origin }}]\nplugins: [{{ usage_log: {{ database: \"{}\", migrate: check }} }}]\n",
        book.url()
    );
    std::fs::write(folder.path().join("tollgate.yaml"), yaml).unwrap();
    folder
}

fn tollgate(config: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).arg("-c").arg(config.path().join("tollgate.yaml")).output().unwrap()
}

#[track_caller]
fn says(config: &Folder, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = tollgate(config, arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    String::from_utf8(stdout).unwrap()
}

#[tokio::test]
async fn usage_sums_up_what_the_ledger_has() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let models = ["claude-b", "claude-a", "claude-a", "gpt-c"];
        let used = rows(4).into_iter().zip(models).map(|(row, model)| Row {
            created_at: at("2026-10-30", row.sequence * 86_400_000_000),
            served_model: Some(model.into()),
            cost_usd: (model != "gpt-c").then_some(Cost::from_picos(10_000_000_001)),
            ..row
        });
        store.write(&records(used)).await.unwrap();
        store.close().await;
        let config = config(&book);
        let table = says(&config, &["usage", "--by", "model"]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 6, "{table}");
        assert!(lines[1].starts_with("claude-a") && lines[1].contains("0.020000000002"), "{table}");
        assert!(lines[4].starts_with("all ") && lines[4].contains("0.030000000003"), "{table}");
        assert_eq!(lines[5], "1 rows have no known price: their cost is not in the sums");
        let json = says(&config, &["usage", "--by", "month,model", "--format", "json", "--until", "2026-11-03"]);
        let json: Vec<Value> = serde_json::from_str(&json).unwrap();
        let found: Vec<_> = json.iter().map(|line| (&line["month"], &line["model"], &line["requests"])).collect();
        let found = serde_json::to_string(&found).unwrap();
        assert_eq!(found, r#"[["2026-10","claude-b",1],["2026-11","claude-a",2]]"#);
        let csv = says(&config, &["usage", "--since", "2026-11-01", "--format", "csv"]);
        assert_eq!(csv.lines().nth(1), Some("3,0,6,0,0,300,0,0.020000000002,0,1"));
        // of gpt-c no price is known
        let csv = says(&config, &["usage", "--by", "model", "--format", "csv"]);
        assert!(csv.lines().any(|line| line == "gpt-c,1,0,3,0,0,100,0,,0,1"), "{csv}");
        let table = says(&config, &["usage", "--by", "model"]);
        let row = table.lines().find(|line| line.starts_with("gpt-c")).unwrap();
        assert_eq!(row.split_whitespace().nth(4), Some("-"), "{table}");
        let file = config.path().join("usage.parquet");
        says(&config, &["usage", "--by", "domain", "--format", "parquet", "--output", file.to_str().unwrap()]);
        let bytes = std::fs::read(&file).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        let wrong = tollgate(&config, &["usage", "--by", "week"]);
        assert!(!wrong.status.success());
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("it is one of model, domain"));
    }
}

#[tokio::test]
async fn verify_says_in_one_line_whether_a_row_is_missing() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let numbered = records(rows(9));
        store.write(&numbered[..4]).await.unwrap();
        let config = config(&book);
        let line = says(&config, &["usage", "verify"]);
        assert!(line.ends_with(": no row is missing; 0 rows wait in the journal, 0 are quarantined\n"), "{line}");
        store.write(&numbered[8..]).await.unwrap();
        store.write(&numbered[5..6]).await.unwrap();
        store.close().await;
        let output = tollgate(&config, &["usage", "verify"]);
        let line = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
        assert!(line.contains(": 3 rows are missing (") && line.contains(" 5, ") && line.contains(" 7-8)"), "{line}");
    }
}

#[tokio::test]
async fn migrate_brings_the_schema_up_to_date_where_the_gateway_may_not() {
    for book in Book::both().await {
        let settings = only_checking(&settings(&book.url()));
        let config = config(&book);
        connected(&settings).await.unwrap().migrate().await.unwrap_err();
        for _ in 0..2 {
            assert!(says(&config, &["migrate"]).ends_with(": the schema is up to date\n"));
        }
        connected(&settings).await.unwrap().migrate().await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "0");
    }
}
