//! What goes on over restarts and reloads, and what other gateways add to it.

use super::*;
use crate::account::Raised;

#[tokio::test]
async fn a_restart_without_a_database_goes_on_with_the_checkpoint_and_the_journal() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[("unknown", json!("refuse"))]));
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    // nothing is known, and nothing is said of what was
    assert_eq!(call(&budgets, by_key("alice"), message(1)).await.unwrap_err().reason(), "unknown_spending");
    host.answers("alice", 1_000, 0, 0);
    assert!(call(&budgets, by_key("alice"), message(1)).await.is_ok());
    host.record(Uuid::now_v7(), of_key("alice"), 200, 0);
    let stored = host.record(Uuid::now_v7(), of_key("alice"), 30, 0);
    host.feed.stored(Some(stored), &[]);
    host.record(Uuid::now_v7(), of_key("alice"), 4, 0);
    drop(budgets);
    let host = host.killed();
    let budgets = host.budgets(budget(10_000, &[("unknown", json!("refuse"))]));
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    assert_eq!(used(&budgets, "alice"), 1_230);
    // the record that was not stored waits in the journal
    let old = Spent {
        id: Uuid::now_v7(),
        ledger: host.feed.ledger(),
        place: 0,
        is_old: true,
        is_adopted: false,
        began: shared::unix_now(),
        spender: of_key("alice"),
        picos: 4 * MICRO,
        unpriced: 0,
        number: RecordNumber::default(),
        counts: &[],
    };
    host.feed.spent(&old);
    assert_eq!(used(&budgets, "alice"), 1_234);
    assert!(call(&budgets, by_key("alice"), message(1)).await.is_ok());
    host.answers("alice", 1_234, 0, 0);
    assert_eq!(used(&budgets, "alice"), 1_234);
}

#[tokio::test]
async fn what_other_gateways_spent_is_taken_over_and_no_reload_forgets_it() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    let place = host.record(Uuid::now_v7(), of_key("alice"), 100, 0);
    host.answers("alice", 9_100, 100, place);
    assert_eq!(used(&budgets, "alice"), 9_100);
    let reloaded = host.budgets(budget(9_200, &[]));
    drop(budgets);
    assert_eq!(used(&reloaded, "alice"), 9_100);
    assert!(call(&reloaded, by_key("alice"), message(1_000)).await.is_err());
    assert_eq!(host.shared.budgets()[0].drift(), 0);
    host.answers("alice", 9_100, 40, place);
    assert_eq!(host.shared.budgets()[0].drift().abs(), 60 * MICRO);
}

#[tokio::test]
async fn another_database_takes_the_place_of_the_one_before() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    let other = DatabaseId::of(&"b");
    let place = host.record(Uuid::now_v7(), of_key("alice"), 100, 0);
    host.answers("alice", 5_100, 100, place);
    // the same rows at another address
    host.answers_from(other, "alice", 5_100, 100, place);
    assert_eq!((used(&budgets, "alice"), host.shared.budgets()[0].drift()), (5_100, 0));
    // what it lacks does not count, and of this run that is drift
    host.answers_from(other, "bob", 7, 0, place);
    assert_eq!((used(&budgets, "alice"), used(&budgets, "bob")), (0, 7));
    assert_eq!(host.shared.budgets()[0].drift(), 100 * MICRO);
}

#[tokio::test]
async fn a_checkpoint_after_a_reload_to_another_database_lacks_nothing_before_all_budgets_have_an_answer() {
    let host = Host::new();
    let limit = |by: &str| json!({ "by": by, "usd": "0.01/month" });
    let config = json!({ "limits": [limit("key"), limit("tenant")] });
    let _budgets = host.budgets(config.clone());
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    let sum = Sum { cost: Cost::from_picos((5_000 * MICRO).into()), unpriced: 0 };
    let sums = [StoredSum { spender: vec![Some("alice".to_owned())], own: Sum::default(), rest: sum }];
    for query in host.feed.queries() {
        host.feed.answered(database(), &query, &sums, 0);
    }
    host.feed.answered(DatabaseId::of(&"b"), &host.feed.queries()[0], &sums, 0);
    let host = host.killed();
    let budgets = host.budgets(config);
    host.feed.opened(&host.folder, Uuid::nil(), DatabaseId::of(&"b"));
    host.feed.caught_up();
    let spender = Spender { tenant: Some("alice"), ..of_key("alice") };
    for Rule { budget, terms } in &budgets.rules {
        assert_eq!(budget.account(&spender).meter.used(&terms.limit, budgets.shared.now()), 5_000 * MICRO as u64);
    }
}

/// The ledger reports a record of an earlier run, which waits in the journal.
fn report_old(feed: &SpendingFeed, sequence: i64, micros: i64) -> RecordNumber {
    let number = RecordNumber { instance: Uuid::nil(), sequence, revision: 0 };
    feed.spent(&Spent {
        id: Uuid::now_v7(),
        ledger: feed.ledger(),
        place: 0,
        is_old: true,
        is_adopted: false,
        began: shared::unix_now(),
        spender: of_key("alice"),
        picos: micros * MICRO,
        unpriced: 0,
        number,
        counts: &[],
    });
    number
}

fn stored(numbers: &[RecordNumber]) -> Vec<StoredCounts<'static>> {
    numbers.iter().map(|number| StoredCounts { number: *number, counts: &[] }).collect()
}

#[tokio::test]
async fn a_kill_while_the_rows_of_an_earlier_run_are_shipped_loses_none_and_counts_none_twice() {
    let mut host = Host::new();
    let start = |host: &Host, waiting: &[(i64, i64)]| {
        let budgets = host.budgets(budget(10_000, &[]));
        host.feed.opened(&host.folder, Uuid::nil(), database());
        let numbers: Vec<_> =
            waiting.iter().map(|(sequence, micros)| report_old(&host.feed, *sequence, *micros)).collect();
        host.feed.caught_up();
        (budgets, numbers)
    };
    let (budgets, _) = start(&host, &[]);
    host.answers("alice", 1_000, 0, 0);
    drop(budgets);
    host = host.killed();
    let (budgets, numbers) = start(&host, &[(1, 100), (2, 20), (3, 3), (4, 4)]);
    assert_eq!(used(&budgets, "alice"), 1_127);
    host.feed.stored(None, &stored(&numbers[..2]));
    assert_eq!(used(&budgets, "alice"), 1_127);
    drop(budgets);
    // before the journal has forgotten what is stored
    host = host.killed();
    let (budgets, numbers) = start(&host, &[(1, 100), (2, 20), (3, 3), (4, 4)]);
    assert_eq!(used(&budgets, "alice"), 1_127);
    host.feed.stored(None, &stored(&numbers[..1]));
    drop(budgets);
    host = host.killed();
    let (budgets, numbers) = start(&host, &[(2, 20), (3, 3), (4, 4)]);
    assert_eq!(used(&budgets, "alice"), 1_127);
    host.feed.stored(None, &stored(&numbers[..2]));
    drop(budgets);
    // and after that
    host = host.killed();
    let (budgets, _) = start(&host, &[(4, 4)]);
    assert_eq!(used(&budgets, "alice"), 1_127);
    host.answers("alice", 1_127, 0, 0);
    assert_eq!((used(&budgets, "alice"), host.shared.budgets()[0].drift()), (1_127, 0));
}

#[tokio::test]
async fn rows_of_an_earlier_run_of_another_journal_count_once_while_they_are_shipped() {
    let host = Host::new();
    let budgets = host.budgets(budget(10_000, &[]));
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    host.answers("alice", 1_000, 0, 0);
    let (other, folder) = (host.common.spending.feed(), host.folder.join("other"));
    std::fs::create_dir_all(&folder).unwrap();
    other.opened(&folder, Uuid::nil(), database());
    let numbers = [report_old(&other, 1, 50), report_old(&other, 2, 7)];
    other.caught_up();
    other.stored(None, &stored(&numbers[..1]));
    assert_eq!(used(&budgets, "alice"), 1_057);
    host.answers("alice", 1_050, 0, 0);
    assert_eq!(used(&budgets, "alice"), 1_057);
    other.stored(None, &stored(&numbers[1..]));
    host.answers("alice", 1_057, 0, 0);
    assert_eq!(used(&budgets, "alice"), 1_057);
}

#[tokio::test]
async fn more_callers_than_there_is_room_for_share_one_account_and_none_is_free() {
    let host = Host::new();
    let budgets = host.budgets(budget(1_000, &[("max_subjects", json!(16))]));
    for number in 0..40 {
        host.record(Uuid::now_v7(), of_key(&format!("key-{number}")), 100, 0);
    }
    assert_eq!(host.shared.budgets()[0].accounts().len(), 17);
    assert!(call(&budgets, by_key("key-0"), message(500)).await.is_ok());
    assert!(call(&budgets, by_key("another"), message(1)).await.is_err());
    // the database knows all of them, too: the largest are counted apart
    let sum = |micros: i64| Sum { cost: Cost::from_picos((micros * MICRO).into()), unpriced: 0 };
    let host = Host::new();
    let budgets = host.budgets(budget(1_000, &[("max_subjects", json!(16))]));
    let sums: Vec<_> = (0..40)
        .map(|number| StoredSum { spender: vec![Some(format!("key-{number}"))], own: sum(0), rest: sum(number) })
        .collect();
    let query: SpendingQuery = host.shared.queries().remove(0);
    host.feed.answered(database(), &query, &sums, 0);
    assert_eq!((used(&budgets, "key-39"), used(&budgets, "another")), (39, (0..24).sum()));
}

#[tokio::test]
async fn an_alert_waits_for_its_webhook_over_a_restart_and_is_raised_once() {
    let host = Host::new();
    let config = json!({
        "limits": [{ "by": "key", "usd": "0.01/month", "alerts": ["80%", "50%"] }],
        "webhook": { "url": "http://127.0.0.1:1/secret" },
    });
    let _budgets = host.budgets(config.clone());
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    host.answers("bob", 0, 0, 0);
    host.record(Uuid::now_v7(), of_key("alice"), 4_999, 0);
    assert_eq!(host.shared.alerts.waiting(), 0);
    let place = host.record(Uuid::now_v7(), of_key("alice"), 1, 0);
    assert_eq!(host.shared.alerts.waiting(), 1);
    host.shared.alerts.save(shared::unix_now());
    host.feed.stored(Some(place), &[]);
    let host = host.killed();
    let _budgets = host.budgets(config);
    host.feed.opened(&host.folder, Uuid::nil(), database());
    host.feed.caught_up();
    assert_eq!(host.shared.alerts.waiting(), 1, "the restored sum raises it no second time");
    host.record(Uuid::now_v7(), of_key("alice"), 5_000, 0);
    assert_eq!(host.shared.alerts.waiting(), 2);
    let alert = serde_json::to_value(host.shared.alerts.next().unwrap()).unwrap();
    assert_eq!(
        (&alert["limit"], &alert["share"], &alert["subject"]),
        (&json!("key"), &json!("50%"), &json!(["alice"]))
    );
    assert_eq!(
        (&alert["spent_usd"], &alert["limit_usd"], &alert["span"]),
        (&json!("0.005"), &json!("0.01"), &json!("month"))
    );
    let file = std::fs::read_to_string(host.folder.join("budget_alerts.json")).unwrap();
    assert!(!file.contains("secret"), "{file}");
}

#[tokio::test]
async fn alerts_are_posted_by_the_process_that_has_the_journal() {
    let host = Host::new();
    let config = json!({
        "limits": [{ "by": "key", "usd": "0.01/month", "alerts": ["50%", "80%"] }],
        "webhook": { "url": "http://127.0.0.1:1/" },
    });
    let _budgets = host.budgets(config);
    host.feed.opened(&host.folder, Uuid::nil(), database());
    let other = host.common.spending.feed();
    other.opened(&host.folder.join("other"), Uuid::nil(), database());
    host.record(Uuid::now_v7(), of_key("alice"), 5_000, 0);
    let next = || host.shared.alerts.next().map(|alert| alert.limit);
    other.goes_on(Uuid::now_v7(), JournalIn::Draining);
    assert_eq!(next().as_deref(), Some("key"), "the file is beside the other journal");
    let file = || std::fs::read_to_string(host.folder.join("budget_alerts.json")).unwrap_or_default();
    host.feed.goes_on(Uuid::now_v7(), JournalIn::Draining);
    let given = file();
    assert!(next().is_none() && given.contains("50%"), "{given}");
    host.record(Uuid::now_v7(), of_key("alice"), 4_000, 0);
    host.shared.alerts.save(shared::unix_now());
    assert_eq!((next(), file()), (None, given));
    host.feed.goes_on(Uuid::now_v7(), JournalIn::Folder);
    host.shared.alerts.save(shared::unix_now());
    assert!(next().is_some() && file().contains("80%"));
}

/// A day, a week and a month may begin at the same second.
#[tokio::test]
async fn budgets_of_several_spans_for_the_same_callers_have_alerts_and_metrics_of_their_own() {
    use plugin_api::Shared as _;
    let host = Host::new();
    let limit = |usd: &str| json!({ "by": "key", "usd": usd, "alerts": ["50%"] });
    let limits = json!([limit("0.01/day"), limit("0.01/month")]);
    let config = json!({ "limits": limits, "webhook": { "url": "http://127.0.0.1:1/" } });
    let budgets = host.budgets(config);
    let raised = Raised { share: Share::try_from("50%".to_owned()).unwrap(), spent: 1, window: (0, 1) };
    let texts = [Some("alice".into())];
    let ids: Vec<_> =
        budgets.rules.iter().map(|rule| alerts::Alert::new(&rule.budget.of, &texts, raised, 2).id).collect();
    assert_ne!(ids[0], ids[1]);
    host.record(Uuid::now_v7(), of_key("alice"), 1, 0);
    let shown: Vec<_> = host.shared.collectors().iter().flat_map(|collector| collector.collect()).collect();
    let used = shown.iter().find(|family| family.name() == "tollgate_budget_used_ratio").unwrap();
    assert_eq!(used.get_metric().len(), 2, "{used:?}");
}
