//! What the admin listener shows of the ledger, from either engine.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use plugin_api::Uuid;
use serde_json::{Value, json};
use usage_log::report::{By, Report};
use usage_log::{Body, Cost, PoolSettings, Row, Store, Timestamp, Tokens};

use super::book::{Book, at, records, rows};
use crate::harness::{Gateway, gateway, origin};

/// A gateway whose ledger is in a book, and the ledger.
async fn shown(book: &Book) -> (Gateway, Store) {
    let store = book.store().await;
    let journal = book.journal();
    let ledger = format!(
        "plugins: [{{ usage_log: {{ database: \"{}\", journal: {{ path: \"{}\" }} }} }}]",
        book.url(),
        journal.display()
    );
    (gateway().upstream(&origin().await).settings(&ledger).start().await, store)
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.ask("GET", &format!("/dashboard/api/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// All pages of a list.
async fn pages(gateway: &Gateway, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(gateway, &format!("{path}{after}")).await;
        all.extend(page[list].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn texts<'a>(all: &'a [Value], name: &str) -> Vec<&'a str> {
    all.iter().map(|one| one[name].as_str().unwrap_or("-")).collect()
}

/// Rows of an hour ago, a second apart, of three tenants.
fn of_tenants(count: usize) -> Vec<Row> {
    let ago = Timestamp::from(SystemTime::now()).micros() - 3_600_000_000;
    let tenants = [Some("a"), Some("b"), None];
    let row = |row: Row| {
        let number = row.sequence - 1;
        Row {
            created_at: Timestamp::from_micros(ago + number * 1_000_000),
            tenant: tenants[usize::try_from(number % 3).unwrap()].map(Into::into),
            key_name: (number % 3 < 2).then(|| format!("key-{}", number % 6).into()),
            user_id: (number % 2 == 0).then(|| "<script>'\"&\u{1f}ü".into()),
            served_model: Some(if number % 5 == 0 { "model-x" } else { "model-y" }.into()),
            endpoint: Some("messages".into()),
            // nobody knows what tenant b pays
            cost_usd: (number % 3 != 1).then_some(Cost::from_picos(1_000_000_000_001 * i128::from(number))),
            ..row
        }
    };
    rows(count).into_iter().map(row).collect()
}

#[tokio::test]
async fn what_was_spent_is_that_of_the_rows_and_an_unknown_cost_is_null() {
    for book in Book::both().await {
        let (gateway, mut store) = shown(&book).await;
        store.write(&records(of_tenants(60))).await.unwrap();
        let report = Report::open(&book.url().parse().unwrap(), &PoolSettings::default()).unwrap();
        let (from, to) = (at("2026-01-01", 0), at("2100-01-01", 0));
        let rows = report.sums(&[By::Tenant, By::Model], from, to).await.unwrap();
        let spend = get(&gateway, "spend?by=tenant,model&sort=group").await;
        assert_eq!(
            (&spend["by"], &spend["groups"], &spend["unfilled_days"]),
            (&json!(["tenant", "model"]), &json!(6), &json!(0))
        );
        let lines = spend["rows"].as_array().unwrap();
        assert_eq!(lines.len(), rows.len());
        for line in &rows {
            let group = json!(line.group);
            let shown = lines.iter().find(|shown| shown["group"] == group).unwrap();
            let sums = &line.sums;
            let expected = json!([
                sums.requests as i64,
                sums.input_tokens as i64,
                sums.output_tokens as i64,
                sums.unpriced as i64
            ]);
            assert_eq!(
                json!([shown["requests"], shown["input_tokens"], shown["output_tokens"], shown["unpriced"]]),
                expected
            );
            let cost = if sums.cost_unknown { Value::Null } else { json!(usage_log::report::dollars(sums.cost)) };
            assert_eq!((&shown["cost_usd"], &shown["other"]), (&cost, &json!(false)), "{group}");
        }
        assert!(lines.iter().any(|line| line["cost_usd"].is_null() && line["unpriced"] == 4));
        let all = report.sums(&[], from, to).await.unwrap();
        assert_eq!(spend["totals"]["cost_usd"], json!(usage_log::report::dollars(all[0].sums.cost)));
        assert_eq!(spend["totals"]["unpriced"], 20);

        // each group once, whatever the order and the size of a page
        for sort in ["cost", "requests", "tokens", "saved", "group"] {
            let all = pages(&gateway, &format!("spend?by=tenant,key,user,model&limit=4&sort={sort}"), "rows").await;
            let groups: BTreeSet<String> = all.iter().map(|line| line["group"].to_string()).collect();
            let requests: i64 = all.iter().map(|line| line["requests"].as_i64().unwrap()).sum();
            assert_eq!((groups.len(), requests), (all.len(), 60), "{sort}");
        }
        // a filter lets nobody else through
        for (filter, tenants, requests) in [
            ("tenant=a", vec![json!("a")], 20),
            ("tenant=", vec![Value::Null], 20),
            ("tenant=x", vec![], 0),
            ("tenant=a%27%20OR%201=1", vec![], 0),
            ("key=key-1", vec![json!("b")], 10),
        ] {
            let spend = get(&gateway, &format!("spend?by=tenant&{filter}")).await;
            let found: Vec<Value> =
                spend["rows"].as_array().unwrap().iter().map(|line| line["group"][0].clone()).collect();
            assert_eq!((found, spend["totals"]["requests"].as_i64()), (tenants, Some(requests)), "{filter}");
        }
        let csv = gateway.ask("GET", "/dashboard/api/spend?by=user,tenant&sort=group&format=csv").await;
        assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")));
        assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"spend.csv\""));
        let text = csv.text();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("user,tenant,requests,batch_results,errors,cache_hits,input_tokens,"), "{text}");
        assert_eq!(lines.len(), 8, "{text}");
        assert!(text.contains("\r\n\"<script>'\"\"&\u{1f}ü\",a,10,0,") && text.contains("\r\n,b,10,"), "{text}");
        let options = get(&gateway, "spend_options").await;
        assert_eq!((&options["tenant"], &options["model"]), (&json!(["a", "b"]), &json!(["model-y", "model-x"])));
        let empty = get(&gateway, "spend?by=&from=2026-01-01&to=2026-01-02").await;
        assert_eq!((&empty["rows"], &empty["totals"]["cost_usd"]), (&json!([]), &json!("0")));
    }
}

#[tokio::test]
async fn what_goes_on_now_is_shown_by_the_minute() {
    for book in Book::both().await {
        let began = SystemTime::now();
        let (gateway, mut store) = shown(&book).await;
        let ended = |row: Row, outcome: &'static str, status| Row {
            response_time_ms: 900,
            endpoint: Some("messages".into()),
            outcome: outcome.into(),
            response_status: Some(status),
            ..row
        };
        let outcomes = [("completed", 200), ("completed", 200), ("completed", 529), ("refused", 429)];
        let new = rows(4).into_iter().zip(outcomes).map(|(row, (outcome, status))| ended(row, outcome, status));
        store.write(&records(new)).await.unwrap();
        let now = get(&gateway, "now?minutes=3").await;
        assert_eq!(now["minutes"].as_array().unwrap().len(), 3);
        let totals = &now["totals"];
        assert_eq!(json!([totals["requests"], totals["errors"], totals["output_tokens"]]), json!([4, 2, 400]));
        assert_eq!(totals["cost_usd"], "0.000006");
        let latency = &now["latency"][0];
        assert_eq!(
            json!([latency["domain"], latency["endpoint"], latency["requests"]]),
            json!(["test.example.com", "messages", 3])
        );
        assert!((750..=1000).contains(&latency["p95_ms"].as_i64().unwrap()));
        let errors: BTreeSet<String> = now["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| format!("{}:{}", error["outcome"], error["reason"]))
            .collect();
        assert_eq!(
            errors,
            BTreeSet::from(["\"completed\":\"status_529\"".into(), "\"refused\":\"status_429\"".into()])
        );
        let since = now["since"].as_str().and_then(usage_log::report::moment).unwrap();
        let made = Timestamp::from(began - Duration::from_secs(1));
        assert!(since >= made && since <= Timestamp::from(SystemTime::now()), "{since:?}, since the schema was made");
    }
}

#[tokio::test]
async fn conversations_are_listed_by_their_latest_request_and_shown_with_their_branches() {
    for book in Book::both().await {
        let (gateway, mut store) = shown(&book).await;
        let mut all = of_tenants(300);
        let conversations: Vec<Uuid> = (0..10).map(|_| Uuid::now_v7()).collect();
        for (number, row) in all.iter_mut().enumerate() {
            row.conversation_id = (number % 11 < 10).then(|| conversations[number % 11]);
            row.session_id = Some(format!("s-{}", number % 11).into());
            // two are subagents of another
            row.parent_conversation_id = (number % 11 == 5 || number % 11 == 6).then(|| conversations[3]);
            row.turn_hash = Some([number as u8; 32]);
            row.previous_turn_hash = number.checked_sub(11).map(|before| [before as u8; 32]);
            if number % 11 == 3 && number > 40 {
                // two go on from the same one
                row.previous_turn_hash = Some([14; 32]);
            }
        }
        store.write(&records(all.clone())).await.unwrap();
        for limit in [1, 3, 10, 50] {
            let listed = pages(&gateway, &format!("conversations?limit={limit}"), "conversations").await;
            let ids: BTreeSet<&str> = texts(&listed, "id").into_iter().collect();
            assert_eq!((listed.len(), ids.len()), (10, 10), "{limit}");
            let latest = texts(&listed, "last_request_at");
            assert!(latest.windows(2).all(|pair| pair[0] > pair[1]), "{latest:?}");
            let of = |id: &str| {
                all.iter().filter(|row| row.conversation_id.is_some_and(|own| own.to_string() == id)).count()
            };
            assert!(listed.iter().all(|one| one["requests"] == of(one["id"].as_str().unwrap())), "{listed:?}");
        }
        let one = get(&gateway, "conversations?session=s-4").await;
        assert_eq!(texts(one["conversations"].as_array().unwrap(), "id"), [conversations[4].to_string()]);
        let (latest, first) =
            (&one["conversations"][0], all.iter().find(|row| row.session_id.as_deref() == Some("s-4")).unwrap());
        assert_eq!(
            latest["model"],
            all.iter().rfind(|row| row.session_id.as_deref() == Some("s-4")).unwrap().served_model.as_deref().unwrap()
        );
        let shown = latest["first_request_at"].as_str().and_then(usage_log::report::moment);
        assert_eq!(shown, Some(first.created_at));

        let turns = pages(&gateway, &format!("conversation?id={}&limit=1000", conversations[3]), "turns").await;
        let expected: Vec<String> = all
            .iter()
            .filter(|row| row.conversation_id == Some(conversations[3]))
            .map(|row| row.id.to_string())
            .collect();
        assert_eq!(texts(&turns, "id"), expected);
        assert_eq!((&turns[1]["previous"], &turns[1]["branch"]), (&json!(expected[0]), &json!(0)));
        let branches: BTreeSet<i64> = turns.iter().map(|turn| turn["branch"].as_i64().unwrap()).collect();
        assert!(branches.len() > 3 && turns[5]["previous"] == json!(expected[1]), "{branches:?}");
        assert_eq!(
            pages(&gateway, &format!("conversation?id={}&limit=5", conversations[3]), "turns").await.len(),
            turns.len()
        );
        let missing = gateway.ask("GET", &format!("/dashboard/api/conversation?id={}", Uuid::now_v7())).await;
        assert_eq!(missing.status, 404);
    }
}

#[tokio::test]
async fn calls_are_found_page_by_page_and_one_is_shown_whole() {
    for book in Book::both().await {
        let (gateway, mut store) = shown(&book).await;
        let mut all = of_tenants(2500);
        // as many at the same moment
        let same = all[100].created_at;
        all[100..200].iter_mut().for_each(|row| row.created_at = same);
        all[7].outcome = "upstream_failed".into();
        all[7].error_type = Some("overloaded_error".into());
        all[7].response_body = Some(Body { bytes: "\u{fc}\u{0}".into(), ..Body::default() });
        all[7].tokens = Tokens { input: None, ..all[7].tokens };
        store.write(&records(all.clone())).await.unwrap();
        let listed = pages(&gateway, "calls?limit=200", "calls").await;
        let ids: BTreeSet<&str> = texts(&listed, "id").into_iter().collect();
        assert_eq!((listed.len(), ids.len()), (2500, 2500));
        let times = texts(&listed, "created_at");
        assert!(times.windows(2).all(|pair| pair[0] >= pair[1]));
        for (filter, count) in [
            ("tenant=a", 834),
            ("tenant=", 833),
            ("model=model-x", 500),
            ("key=key-1", 417),
            ("user=", 1250),
            ("domain=x", 0),
            ("status=4xx", 0),
            ("status=200", 2500),
            ("min_ms=2400", 100),
        ] {
            let found = pages(&gateway, &format!("calls?limit=200&{filter}"), "calls").await;
            assert_eq!(found.len(), count, "{filter}");
        }
        // a rare one is found however far it is
        let failed = pages(&gateway, "calls?errors=true&outcome=upstream_failed", "calls").await;
        assert_eq!(texts(&failed, "id"), [all[7].id.to_string()]);
        assert!(failed[0]["input_tokens"].is_null() && failed[0]["cost_usd"].is_null());

        let call = get(&gateway, &format!("call?id={}", all[7].id)).await;
        assert_eq!((&call["call"]["error_type"], &call["call"]["sequence"]), (&json!("overloaded_error"), &json!(8)));
        assert_eq!(call["phases"], json!([{ "phase": "answering", "from_ms": 0, "to_ms": 7 }]));
        assert_eq!(
            (&call["bodies"]["response"]["text"], &call["bodies"]["request"]),
            (&json!("\u{fc}\u{0}"), &Value::Null)
        );
        assert_eq!(get(&gateway, &format!("call?id={}", all[8].id)).await["bodies"], Value::Null);
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_other_ledgers_are_not_there() {
    let book = Book::Sqlite(crate::harness::Folder::new());
    let (gateway, _store) = shown(&book).await;
    let id = Uuid::now_v7();
    for (path, status) in [
        ("spend?by=tenant,tenant", 400),
        ("spend?by=session", 400),
        ("spend?from=2026-02-30", 400),
        ("spend?from=2020-01-01&to=2026-01-01", 400),
        ("spend?after=1%3B%20DROP%20TABLE%20usage_daily.31", 400),
        ("spend?tenants=a", 400),
        ("spend?format=xml", 400),
        ("now?minutes=0", 400),
        ("calls?limit=201", 400),
        ("calls?status=4%27x", 400),
        ("calls?after=1.x", 400),
        ("call", 400),
        ("call?id=1", 400),
        ("conversations?ledger=1", 404),
        (&format!("call?id={id}"), 404),
        ("nothing", 404),
    ] {
        let answer = gateway.ask("GET", &format!("/dashboard/api/{path}")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let ledgers = get(&gateway, "ledgers").await;
    assert_eq!(json!([ledgers["ledgers"][0]["engine"], ledgers["ledgers"][0]["reads"]]), json!(["sqlite", "database"]));
    assert_eq!(gateway.ask("POST", "/dashboard/api/spend").await.status, 405);
}
