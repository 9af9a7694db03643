use std::fs;

use plugin_api::{BuildContext, Common, JournalIn, LedgerId, OpenLedger, Plugin, SpendingReader, Spent, StoredCounts};
use uuid::Uuid;

use super::*;
use crate::ledger_journal::LedgerJournal;
use crate::tests::Folder;
use crate::{Row, UsageLog};

/// What a configuration with these settings has for a plugin, before it is in force. Its database is not there.
fn build(folder: &Folder, ledgers: &Arc<Ledgers>, json: &str) -> UsageLog {
    build_beside(&Arc::default(), folder, ledgers, json)
}

/// The same beside plugins that read what is spent.
fn build_beside(common: &Arc<Common>, folder: &Folder, ledgers: &Arc<Ledgers>, json: &str) -> UsageLog {
    fs::create_dir_all(folder.0.join("ledger.db")).unwrap();
    let config = serde_json::from_str::<Config>(json).unwrap();
    UsageLog::build(&config, &BuildContext { base: &folder.0, shared: ledgers, secrets: &Default::default(), common })
        .unwrap()
}

impl UsageLog {
    /// Its ledger, which it has where it does not only explain.
    pub(crate) fn opened(&self) -> &LedgerHandle {
        self.ledger.as_ref().unwrap()
    }
}

/// In how many seconds a statement is slow, by the settings of the ledger.
fn slow_query(plugin: &UsageLog) -> u64 {
    plugin.opened().ledger.shipping.borrow().settings.slow_query.as_secs()
}

#[test]
fn a_ledger_is_taken_on_by_the_next_configuration() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let first = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    let same = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db", "slow_query": "1s" }"#);
    let other = build(&folder, &ledgers, r#"{ "database": "sqlite://other.db" }"#);
    let one = |one: &UsageLog, other: &UsageLog| Arc::ptr_eq(&one.opened().ledger, &other.opened().ledger);
    assert!(one(&first, &same) && !one(&first, &other));
    assert_eq!(first.opened().instance(), same.opened().instance());
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
    let ledger = next.opened().ledger.clone();
    drop(first);
    assert!(ledger.shipping.borrow().housekeeping().is_some());
    drop(next);
    assert!(ledger.shipping.borrow().housekeeping().is_none());
    ledgers.finish(Instant::now());
}

#[test]
fn what_is_kept_while_another_process_has_the_journal_comes_to_the_journal_in_the_end() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let plugin = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    plugin.activate();
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    let keep = |at: usize| {
        let mut record = Record::Request(Box::new(Row { id: ids[at], ..Row::default() }));
        let place = plugin.opened().keep(&mut record);
        let Record::Request(row) = record else { unreachable!() };
        (place, (row.instance, row.sequence))
    };
    let mut kept = vec![keep(0)];
    ledgers.hand_over(Handover::Give).unwrap();
    kept.push(keep(1));
    let path = folder.0.join("ledger.db.journal");
    let other = LedgerJournal::open(&path, 1 << 30, Arc::new(LedgerMetrics::new())).unwrap();
    ledgers.hand_over(Handover::TakeBack).unwrap();
    kept.push(keep(2));
    assert_eq!(fs::read_dir(path.join("draining")).unwrap().count(), 1, "the other has the journal");
    drop(other);
    ledgers.hand_over(Handover::TakeBack).unwrap();
    assert_eq!(fs::read_dir(path.join("draining")).unwrap().count(), 0);
    kept.push(keep(3));
    // once more, and nobody takes it
    ledgers.hand_over(Handover::Give).unwrap();
    kept.push(keep(4));
    assert!(kept.is_sorted_by(|(one, _), (next, _)| one < next), "places count on: {kept:?}");
    drop((plugin, ledgers));
    // the next process
    let ledgers = Arc::new(Ledgers::default());
    let plugin = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    plugin.activate();
    drop((plugin, ledgers));
    let mut rows: Vec<_> = folder.rows().into_iter().map(|row| (row.id, (row.instance, row.sequence))).collect();
    rows.sort_unstable();
    assert_eq!(rows, ids.iter().zip(&kept).map(|(id, (_, number))| (*id, *number)).collect::<Vec<_>>());
}

#[test]
fn the_journal_of_a_process_that_drains_is_brought_to_the_disk_too() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    let json = r#"{ "database": "sqlite://ledger.db", "journal": { "sync": "interval" } }"#;
    let plugin = build(&folder, &ledgers, json);
    plugin.activate();
    ledgers.hand_over(Handover::Give).unwrap();
    plugin.opened().keep(&mut Record::Request(Box::default()));
    let journal = plugin.opened().journal().get();
    let end = Instant::now() + Duration::from_secs(20);
    while !journal.is_synced() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    ledgers.finish(Instant::now());
}

#[test]
fn who_limits_spending_knows_every_run_and_whether_another_process_has_the_journal() {
    #[derive(Debug, Default)]
    struct Runs(Mutex<Vec<(Uuid, JournalIn)>>);
    impl SpendingReader for Runs {
        fn opened(&self, open: &OpenLedger, _: bool) {
            lock(&self.0).extend(open.runs.iter().map(|run| (*run, open.journal)));
        }
        fn spent(&self, _: &Spent<'_>) {}
        fn stored(&self, _: LedgerId, _: Option<u64>, _: &[StoredCounts<'_>]) {}
        fn goes_on(&self, _: LedgerId, run: Uuid, journal: JournalIn) {
            lock(&self.0).push((run, journal));
        }
    }
    let (folder, ledgers, common) = (Folder::new(), Arc::new(Ledgers::default()), Arc::<Common>::default());
    let (early, late) = (Arc::<Runs>::default(), Arc::<Runs>::default());
    let subscribe = |runs: &Arc<Runs>| {
        let reader: Weak<Runs> = Arc::downgrade(runs);
        common.spending.subscribe(reader);
    };
    subscribe(&early);
    let plugin = build_beside(&common, &folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    plugin.activate();
    let mut wanted = vec![(plugin.opened().instance(), JournalIn::Folder)];
    assert_eq!(*lock(&early.0), wanted);
    ledgers.hand_over(Handover::Give).unwrap();
    wanted.push((plugin.opened().instance(), JournalIn::Draining));
    assert_eq!(*lock(&early.0), wanted);
    subscribe(&late);
    assert_eq!(*lock(&late.0), wanted.iter().map(|(run, _)| (*run, JournalIn::Draining)).collect::<Vec<_>>());
    // it serves, and this process goes on only to its end
    let path = folder.0.join("ledger.db.journal");
    let other = LedgerJournal::open(&path, 1 << 30, Arc::new(LedgerMetrics::new())).unwrap();
    ledgers.hand_over(Handover::TakeBack).unwrap();
    assert_eq!(*lock(&early.0), wanted);
    drop(other);
    ledgers.hand_over(Handover::TakeBack).unwrap();
    wanted.push((plugin.opened().instance(), JournalIn::Folder));
    assert_eq!(*lock(&early.0), wanted);
    let runs: Vec<_> = wanted.iter().map(|(run, _)| *run).collect();
    assert_eq!((plugin.opened().feed.own_runs(), plugin.opened().feed.all_runs()), (runs.clone(), runs));
    ledgers.finish(Instant::now());
}

#[test]
fn a_process_that_takes_over_ships_nothing_before_it_serves() {
    let (folder, ledgers) = (Folder::new(), Arc::new(Ledgers::default()));
    ledgers.hand_over(Handover::Receive).unwrap();
    let plugin = build(&folder, &ledgers, r#"{ "database": "sqlite://ledger.db" }"#);
    plugin.activate();
    assert_eq!(lock(&ledgers.receiving).as_ref().map(Vec::len), Some(1));
    ledgers.hand_over(Handover::Received).unwrap();
    assert!(lock(&ledgers.receiving).is_none());
    ledgers.finish(Instant::now());
}
