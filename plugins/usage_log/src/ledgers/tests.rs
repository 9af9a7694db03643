use std::fs;

use plugin_api::{BuildContext, Plugin};

use super::*;
use crate::UsageLog;
use crate::tests::Folder;

/// What a configuration with these settings has for a plugin, before it is in force. Its database is not there.
fn build(folder: &Folder, ledgers: &Arc<Ledgers>, json: &str) -> UsageLog {
    fs::create_dir_all(folder.0.join("ledger.db")).unwrap();
    let config = serde_json::from_str::<Config>(json).unwrap();
    UsageLog::build(
        &config,
        &BuildContext { base: &folder.0, shared: ledgers, secrets: &Default::default(), common: &Default::default() },
    )
    .unwrap()
}

/// In how many seconds a statement is slow, by the settings of the ledger.
fn slow_query(plugin: &UsageLog) -> u64 {
    plugin.ledger.ledger.shipping.borrow().settings.slow_query.as_secs()
}

#[test]
fn a_ledger_is_taken_on_by_the_next_configuration() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let first = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    let same = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db", "slow_query": "1s" }"#);
    let other = build(&folder, &ledgers, r#"{ "database": "sqlite://other.db" }"#);
    let one = |one: &UsageLog, other: &UsageLog| Arc::ptr_eq(&one.ledger.ledger, &other.ledger.ledger);
    assert!(one(&first, &same) && !one(&first, &other));
    assert_eq!(first.ledger.instance(), same.ledger.instance());
}

#[test]
fn a_ledger_does_as_a_configuration_says_from_when_that_is_in_force() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let settings = |slow: u8| format!(r#"{{ "database": "sqlite://ledger.db", "slow_query": "{slow}s" }}"#);
    let first = build(&folder, &ledgers, &settings(1));
    first.activate();
    drop(build(&folder, &ledgers, &settings(2)));
    assert_eq!(slow_query(&first), 1, "the other was refused");
    let next = build(&folder, &ledgers, &settings(3));
    assert_eq!(slow_query(&first), 1);
    next.activate();
    assert_eq!(slow_query(&first), 3);
    ledgers.finish(Instant::now());
}

#[test]
fn a_ledger_of_a_configuration_that_is_refused_is_let_go_of() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    drop(build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#));
    let journal = LedgerJournal::open(&folder.0.join("ledger.db.journal"), 1 << 30, Arc::new(LedgerMetrics::new()));
    assert!(journal.is_ok(), "another may have it at once");
}

#[test]
fn a_ledger_ends_with_those_that_it_is_one_of() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let plugin = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    plugin.activate();
    drop((plugin, ledgers));
    assert_eq!(folder.rows(), []);
}

#[test]
fn a_ledger_that_no_configuration_names_any_more_does_no_housekeeping() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let first = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    first.activate();
    let next = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    next.activate();
    let ledger = next.ledger.ledger.clone();
    drop(first);
    assert!(ledger.shipping.borrow().housekeeping().is_some());
    drop(next);
    assert!(ledger.shipping.borrow().housekeeping().is_none());
    ledgers.finish(Instant::now());
}
