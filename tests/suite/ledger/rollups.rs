//! The sums beside the rows: equal to the rows to the token and the picodollar, whatever is written, how often, by how many, and
//! whatever stops it midway.

use std::time::{Duration, SystemTime};

use usage_log::report::{By, Report};
use usage_log::{BatchRow, Cost, PoolSettings, Record, Row, Timestamp, Tokens, UsageSource};

use super::book::{Book, at, housekept, keeping, migrated, records, rows, settings};

/// Numbers that look random, and are the same in each run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn tokens(&mut self) -> Option<i64> {
        let tokens = self.below(5000);
        (!tokens.is_multiple_of(4)).then_some(tokens as i64)
    }

    fn cost(&mut self) -> Option<Cost> {
        let picos = self.below(1 << 40);
        (!picos.is_multiple_of(3)).then(|| Cost::from_picos(picos.into()))
    }

    /// A row as it may be foreseen, or corrected: whatever a correction may change is drawn anew.
    fn drawn(&mut self, row: &Row) -> Row {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        let mut tokens = || Tokens {
            input: self.tokens(),
            output: self.tokens(),
            cache_read: self.tokens(),
            cache_creation: self.tokens(),
            reasoning: self.tokens(),
            ..Tokens::default()
        };
        let (tokens, saved) = (tokens(), tokens());
        Row {
            tenant: text(self.one(&["", "a", "b'\"\\", "ü"])),
            key_name: text(self.one(&["", "alice"])),
            api_key_hash: text(self.one(&["", "00ff"])),
            user_id: text(self.one(&["", "u1", "u\0\n2"])),
            model: text(self.one(&["", "m1"])),
            served_model: text(self.one(&["", "m1", "m2"])),
            domain: self.one(&["x.example.com", "y.example.com"]).into(),
            endpoint: text(self.one(&["", "messages"])),
            response_status: self.one(&[None, Some(200), Some(404), Some(529)]),
            response_time_ms: self.below(100_000) as i64,
            outcome: self.one(&["completed", "cached", "refused", "client_gone", "upstream_failed"]).into(),
            error_type: text(self.one(&["", "overloaded_error"])),
            reason: text(self.one(&["", "too_many_tokens"])),
            cache_status: text(self.one(&["", "hit", "miss", "coalesced"])),
            usage_source: self.one(&[UsageSource::None, UsageSource::Partial, UsageSource::Reported]),
            attempts: self.below(2) as i32,
            cost_usd: self.cost(),
            saved_cost_usd: self.cost(),
            tokens,
            saved,
            ..row.clone()
        }
    }

    /// Rows of now, of days before, and of the beginning of time.
    fn rows(&mut self, count: usize) -> Vec<Row> {
        let now = Timestamp::from(SystemTime::now()).micros();
        rows(count)
            .iter()
            .map(|row| {
                let created = match self.below(10) {
                    0 => at("2026-02-28", self.below(86_400_000_000 * 3) as i64),
                    1 => Timestamp::from_micros(0),
                    _ => Timestamp::from_micros(now - self.below(7_200_000_000) as i64),
                };
                Row { created_at: created, ..self.drawn(row) }
            })
            .collect()
    }

    /// Each of them again, with another ending.
    fn corrected(&mut self, rows: &[Row]) -> Vec<Row> {
        let corrected = rows.iter().map(|row| Row { revision: 1, created_at: row.created_at, ..self.drawn(row) });
        corrected.collect()
    }

    fn results(&mut self, count: u64) -> Vec<Record> {
        let mut result = |number| {
            let tokens = Tokens { input: self.tokens(), output: self.tokens(), ..Tokens::default() };
            Record::Batch(Box::new(BatchRow {
                batch: "b".into(),
                custom_id: format!("r{number}").into(),
                request_id: plugin_api::Uuid::now_v7(),
                created_at: Timestamp::from(SystemTime::now()),
                domain: "x.example.com".into(),
                tenant: Some("a".into()),
                served_model: Some("m1".into()),
                tokens,
                cost_usd: self.cost(),
                ..BatchRow::default()
            }))
        };
        (0..count).map(&mut result).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// Rows of one mix: new ones, corrections, corrections of what was never foreseen, results, and much of it twice.
fn mixed(draws: &mut Draws) -> Vec<Record> {
    let first = draws.rows(300);
    let corrections = draws.corrected(&first[..80]);
    let unforeseen = draws.rows(20);
    let unforeseen = draws.corrected(&unforeseen);
    let mut all = records(first.into_iter().chain(corrections).chain(unforeseen));
    all.extend(draws.results(40));
    let again: Vec<Record> = (0..100).map(|_| draws.one(&all)).collect();
    all.extend(again);
    draws.shuffle(&mut all);
    all
}

#[tokio::test]
async fn sums_are_those_of_the_rows_after_any_mix_of_new_ones_corrections_and_repetitions() {
    for book in Book::both().await {
        let mut store = book.store().await;
        for seed in 0..6 {
            let mut draws = Draws(seed);
            let all = mixed(&mut draws);
            let mut from = 0;
            while from < all.len() {
                let to = all.len().min(from + 1 + draws.below(90) as usize);
                store.write(&all[from..to]).await.unwrap();
                from = to;
            }
            book.sums_agree();
        }
        // as after a crash, by a writer that knows nothing
        let mut store = book.store().await;
        for seed in 0..6 {
            store.write(&mixed(&mut Draws(seed))).await.unwrap();
        }
        book.sums_agree();
        assert_eq!(book.sql("SELECT count(*) FROM usage_daily WHERE requests < 0 OR others <> 0"), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_those_of_the_rows_that_many_write_at_once_and_give_up_midway() {
    for book in Book::both().await {
        let settings = settings(&book.url());
        migrated(&settings).await.unwrap();
        let shared: Vec<Record> = mixed(&mut Draws(77));
        let writing = (0..5_u64).map(|gateway| {
            let (settings, mut all) = (settings.clone(), shared.clone());
            tokio::spawn(async move {
                let mut draws = Draws(100 + gateway);
                all.extend(mixed(&mut draws));
                draws.shuffle(&mut all);
                let mut store = migrated(&settings).await.unwrap();
                for part in all.chunks(60) {
                    for attempt in 0.. {
                        // given up at any moment, as when a gateway is killed
                        let patience = Duration::from_micros((500 + draws.below(30_000)) << attempt);
                        match tokio::time::timeout(patience, store.write(part)).await {
                            Ok(Ok(_)) => break,
                            Ok(Err(error)) => assert!(!format!("{error:?}").contains("deadlock"), "{error:?}"),
                            Err(_) => {}
                        }
                        if draws.below(4) == 0 {
                            store.write(part).await.ok();
                        }
                        store = migrated(&settings).await.unwrap();
                    }
                }
            })
        });
        for gateway in writing.collect::<Vec<_>>() {
            gateway.await.unwrap();
        }
        book.sums_agree();
    }
}

#[tokio::test]
async fn users_and_models_that_clients_make_up_become_others_and_no_figure_is_lost() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let (instance, made_up) = (plugin_api::Uuid::now_v7(), 13_000);
        let all: Vec<Row> = rows(made_up)
            .into_iter()
            .map(|row| Row {
                instance,
                created_at: at("2026-03-01", row.sequence),
                tenant: Some("a".into()),
                user_id: Some(format!("user-{}", row.sequence).into()),
                model: Some(format!("model-{}", row.sequence).into()),
                ..row
            })
            .collect();
        for part in records(all.clone()).chunks(2000) {
            store.write(part).await.unwrap();
        }
        let (groups, others) =
            ("SELECT count(*) FROM usage_daily", "SELECT sum(requests) FROM usage_daily WHERE others > 0");
        assert_eq!(book.sql(groups), "12001");
        assert_eq!(book.sql(others), "3000");
        // what is corrected is taken out of the group that it went to, also by a writer that has to learn them
        let mut store = book.store().await;
        let corrected = all.iter().map(|row| Row { revision: 1, cost_usd: None, ..row.clone() });
        for part in records(corrected).chunks(2000) {
            store.write(part).await.unwrap();
        }
        assert_eq!((book.sql(groups).as_str(), book.sql(others).as_str()), ("12001", "3000"));
        assert_eq!(book.sql("SELECT sum(requests), sum(priced), sum(unpriced) FROM usage_daily"), "13000|0|13000");
        assert_eq!(book.sql("SELECT count(*) FROM usage_daily WHERE priced <> 0 OR tenant <> 'a'"), "0");
        let (rows, sums) = (
            "SELECT sum(input_tokens), sum(output_tokens) FROM api_requests",
            "SELECT sum(input_tokens), sum(output_tokens) FROM usage_daily",
        );
        assert_eq!(book.sql(rows), book.sql(sums));
        // summed up later, they are too many as well
        unsummed(&book);
        housekept(&mut store).await.unwrap();
        assert_eq!(book.sql(groups), "1");
        assert_eq!(book.sql("SELECT sum(requests), max(tenant), sum(unpriced) FROM usage_daily"), "13000|a|13000");
        assert_eq!(book.sql(rows), book.sql(sums));
    }
}

#[tokio::test]
async fn figures_beyond_all_reason_keep_no_row_from_the_ledger() {
    for book in Book::both().await {
        let mut store = book.store().await;
        for row in rows(4) {
            store.write(&records([beyond_all_reason(row)])).await.unwrap();
        }
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "4");
        assert_eq!(book.sql("SELECT sum(requests), max(input_tokens) FROM usage_daily"), format!("4|{}", i64::MAX));
    }
}

#[tokio::test]
async fn figures_beyond_all_reason_keep_no_day_from_being_summed_up_and_no_row_longer_than_retention_does() {
    for book in Book::both().await {
        let mut store = migrated(&keeping(&book.url(), Some("60days"), None)).await.unwrap();
        let of_day = |row: Row, day: &str| Row { created_at: at(day, row.sequence), ..row };
        let absurd = rows(4).into_iter().map(|row| of_day(beyond_all_reason(row), "2026-02-01"));
        let sound = rows(3).into_iter().map(|row| of_day(row, "2026-01-31"));
        store.write(&records(absurd.chain(sound).chain(rows(1)))).await.unwrap();
        unsummed(&book);
        housekept(&mut store).await.unwrap();
        let sums =
            "SELECT sum(requests), max(input_tokens), max(saved_tokens) FROM usage_daily WHERE day = '2026-02-01'";
        assert_eq!(book.sql(sums), format!("4|{0}|{0}", i64::MAX));
        assert_eq!(book.sql("SELECT sum(output_tokens) FROM usage_daily WHERE day = '2026-01-31'"), "300");
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "1");
    }
}

#[tokio::test]
async fn a_day_that_cannot_be_compared_with_its_rows_keeps_none_longer_than_retention_does() {
    for book in Book::both().await {
        let mut store = migrated(&keeping(&book.url(), Some("60days"), None)).await.unwrap();
        let old = rows(3).into_iter().map(|row| Row { created_at: at("2026-02-01", row.sequence), ..row });
        store.write(&records(old.chain(rows(1)))).await.unwrap();
        // within the transaction, once it has begun to write
        if matches!(book, Book::Postgres(_)) {
            book.sql("ALTER TABLE usage_days ADD CHECK (day < '2000-01-01')");
        } else {
            book.sql("CREATE TRIGGER no_days BEFORE INSERT ON usage_days BEGIN SELECT RAISE(ABORT, 'no days'); END");
        }
        housekept(&mut store).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM usage_days"), "0");
        assert_eq!(book.sql("SELECT sum(requests) FROM usage_daily"), "4");
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "1");
    }
}

/// A row with figures that no upstream can mean.
fn beyond_all_reason(row: Row) -> Row {
    let tokens = Tokens { input: Some(i64::MAX), output: Some(i64::MAX), ..Tokens::default() };
    let cost_usd = Some(Cost::from_picos(i64::MAX.into()));
    Row { tokens, saved: tokens, cost_usd, response_time_ms: i64::MAX, ..row }
}

/// As an earlier release leaves a database: rows without sums.
fn unsummed(book: &Book) {
    book.sql("DELETE FROM usage_daily");
    book.sql("DELETE FROM ledger_tasks WHERE task = 'rollups_filled'");
}

#[tokio::test]
async fn rows_of_before_are_summed_up_once_whoever_writes_meanwhile_and_before_retention_takes_them() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut draws = Draws(5);
        let of_day = |row: Row, day: &str| Row { created_at: at(day, row.sequence * 1000), ..row };
        let old: Vec<Row> = draws.rows(200);
        let days = ["1970-01-01", "2026-01-31", "2026-02-01", "2026-03-01"];
        let old: Vec<Row> = (0..).zip(old).map(|(number, row)| of_day(row, days[number % 4])).collect();
        store.write(&records(old.clone())).await.unwrap();
        store.write(&draws.results(5)).await.unwrap();
        unsummed(&book);
        // what is written since is summed up, and what is corrected is taken out of what will be
        let corrected = draws.corrected(&old[..40]);
        store.write(&records(corrected)).await.unwrap();
        let new = draws.rows(50).into_iter().map(|row| of_day(row, "2026-02-01"));
        store.write(&records(new.chain(rows(1)))).await.unwrap();
        book.sql("DELETE FROM batch_results");
        // two that fill at once, one of which keeps nothing older
        let (mut one, mut other) =
            (book.store().await, migrated(&keeping(&book.url(), Some("60days"), None)).await.unwrap());
        let (first, second) = tokio::join!(housekept(&mut one), async {
            // a file is kept by one gateway
            if matches!(book, Book::Postgres(_)) { housekept(&mut other).await } else { Ok(()) }
        });
        first.unwrap();
        second.unwrap();
        let all = "SELECT sum(requests), sum(input_tokens) FROM usage_daily";
        let summed = book.sql(all);
        assert!(summed.starts_with("251|"), "{summed}");
        if matches!(book, Book::Sqlite(_)) {
            book.sums_agree();
        }
        // no day is summed up twice, and what retention takes stays in the sums
        housekept(&mut other).await.unwrap();
        housekept(&mut one).await.unwrap();
        assert_eq!(book.sql(all), summed);
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "1");
    }
}

#[tokio::test]
async fn a_day_is_compared_with_its_rows_once_it_is_over() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let yesterday = Timestamp::from_micros(Timestamp::from(SystemTime::now()).micros() - 3 * 86_400_000_000);
        let of_then = |row: Row| Row { created_at: yesterday, response_time_ms: 0, ..row };
        store.write(&records(rows(30).into_iter().map(of_then))).await.unwrap();
        // ten of them are of an earlier release, which knows no sums
        book.sql("UPDATE usage_daily SET requests = requests - 10, output_tokens = output_tokens - 1000");
        housekept(&mut store).await.unwrap();
        assert_eq!(book.sql("SELECT sum(requests), sum(output_tokens) FROM usage_daily"), "30|3000");
        // rows that are gone take nothing with them
        book.sql("DELETE FROM usage_days");
        book.sql("DELETE FROM api_requests WHERE response_time_ms = 0");
        housekept(&mut store).await.unwrap();
        assert_eq!(book.sql("SELECT sum(requests), sum(output_tokens) FROM usage_daily"), "30|3000");
    }
}

#[tokio::test]
async fn usage_says_the_same_from_sums_as_from_rows() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut draws = Draws(9);
        let of_day = |row: Row| Row { created_at: at("2026-02-01", row.sequence * 200_000_000), ..row };
        let all: Vec<Row> = draws.rows(300).into_iter().map(of_day).collect();
        store.write(&records(all.clone())).await.unwrap();
        store.write(&records(draws.corrected(&all[..50]))).await.unwrap();
        let report = Report::open(&book.url().parse().unwrap(), &PoolSettings::default()).unwrap();
        let by: [&[By]; 6] = [
            &[],
            &[By::Tenant, By::Model],
            &[By::Key],
            &[By::User, By::Day],
            &[By::Month, By::Domain],
            &[By::Outcome, By::Session, By::Hour],
        ];
        let (from, to) = (at("2026-02-01", 0), at("2026-02-02", 0));
        let mut of_rows = Vec::new();
        for by in by {
            of_rows.push(report.sums(by, from, to).await.unwrap());
        }
        housekept(&mut store).await.unwrap();
        assert_eq!(book.sql("SELECT day FROM usage_days"), "2026-02-01");
        for (by, of_rows) in by.into_iter().zip(&of_rows) {
            assert_eq!(report.sums(by, from, to).await.as_ref(), Ok(of_rows), "{by:?}");
        }
        // only they say this
        book.sql("UPDATE usage_daily SET output_tokens = output_tokens + 1");
        assert_ne!(report.sums(&[], from, to).await.as_ref(), Ok(&of_rows[0]));
        // where a row is gone, or came from elsewhere, rows are asked
        let id = book.sql("SELECT id FROM api_requests WHERE output_tokens > 0 LIMIT 1");
        book.sql(&format!("DELETE FROM api_requests WHERE id = '{id}'"));
        assert_eq!(report.sums(&[], from, to).await.unwrap()[0].sums.requests, 299);
    }
}
