//! What holds of every database: what comes in is there once, to the last bit, whatever is repeated.

use std::net::IpAddr;

use plugin_api::Uuid;
use usage_log::report::{By, Report, Sums};
use usage_log::{
    BatchRow, Billed, Body, Conversation, Cost, Piece, PoolSettings, Record, Row, RowAttempt, Tokens, UsageSource,
    Written,
};

use super::book::{Book, at, connected, housekept, keeping, migrated, only_checking, records, rows, settings};

#[tokio::test]
async fn a_batch_is_written_once_however_often_it_comes() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let batch = records(rows(500));
        assert_eq!(store.write(&batch).await, Ok(Written { new: 500, known: 0 }));
        assert_eq!(store.write(&batch).await, Ok(Written { new: 0, known: 500 }));
        let mut more = batch[100..].to_vec();
        more.extend(records(rows(50)));
        more.reverse();
        assert_eq!(store.write(&more).await, Ok(Written { new: 50, known: 400 }));
        assert_eq!(store.write(&[]).await, Ok(Written::default()));
        assert_eq!(
            book.sql("SELECT count(*), count(DISTINCT id), sum(response_time_ms) FROM api_requests"),
            "550|550|125975"
        );
    }
}

#[tokio::test]
async fn a_higher_revision_takes_the_place_of_a_row_and_a_lower_one_does_not() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let first = rows(3);
        let body = |text: &str| Some(Body { bytes: text.into(), ..Body::default() });
        let second: Vec<Row> = first
            .iter()
            .map(|row| Row { revision: 1, outcome: "client_gone".into(), request_body: body("all"), ..row.clone() })
            .collect();
        let first = first.into_iter().map(|row| Row { request_body: body("a part"), ..row });
        let (first, second) = (records(first), records(second));
        store.write(&first[..2]).await.unwrap();
        assert_eq!(store.write(&second).await, Ok(Written { new: 3, known: 0 }));
        assert_eq!(store.write(&first).await, Ok(Written { new: 0, known: 3 }));
        assert_eq!(book.sql("SELECT outcome, count(*) FROM api_requests GROUP BY outcome"), "client_gone|3");
        assert_eq!(book.sql("SELECT count(*) FROM api_request_bodies WHERE length(request_body) = 3"), "3");
        // both in one batch: the higher counts
        let earlier = rows(1).remove(0);
        let later = Row { revision: 1, outcome: "aborted".into(), ..earlier.clone() };
        store.write(&records([earlier, later])).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests WHERE outcome = 'aborted'"), "1");
    }
}

#[tokio::test]
async fn every_column_comes_back_as_it_went_in() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let tokens = |n| Tokens {
            input: Some(n),
            output: Some(n + 1),
            cache_read: Some(n + 2),
            cache_creation: Some(n + 3),
            cache_creation_1h: Some(n + 4),
            reasoning: Some(n + 5),
        };
        let full = Row {
            created_at: at("2026-11-24", 48_600_123_456),
            conversation_id: Some(Uuid::from_u128(7)),
            parent_conversation_id: Some(Uuid::from_u128(8)),
            turn_hash: Some([1; 32]),
            previous_turn_hash: Some([2; 32]),
            endpoint: Some("messages".into()),
            served_model: Some("claude \"x\", ü\n".into()),
            api_key_hash: Some("00ff".into()),
            first_byte_ms: Some(i64::MAX),
            first_token_ms: Some(0),
            streaming: Some(false),
            tokens: tokens(10),
            saved: tokens(20),
            usage_source: UsageSource::Partial,
            usage_data: Some(r#"{"b":1, "a":"\u0000",  "b":2}"#.into()),
            billed: vec![Billed { kind: "message".into(), cost_usd: Some(Cost::from_picos(5)), ..Billed::default() }],
            cost_usd: Some(Cost::from_picos(12_000_000_000_001)),
            saved_cost_usd: Some(Cost::from_picos(i64::MAX.into())),
            provider_cost_usd: Some(Cost::from_picos(140_000_000)),
            plugin: Some("max_tokens".into()),
            reason: Some("too_many_tokens".into()),
            route: Some("models".into()),
            tenant: Some("team-a".into()),
            key_name: Some("alice".into()),
            session_id: Some("s-1".into()),
            user_id: Some("u-1".into()),
            requested_model: Some("fast".into()),
            protocol: Some("websocket".into()),
            limit_tokens: Some(24),
            rule: Some("auto/2".into()),
            assumed_cost_usd: None,
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            cache_status: Some("hit".into()),
            upstream: Some("a".into()),
            server: Some("b:1".into()),
            error_type: Some("overloaded_error".into()),
            stop_reason: Some("end_turn".into()),
            client_ip: Some("2001:db8::7".parse::<IpAddr>().unwrap()),
            upstream_request_id: Some("req_1".into()),
            answer_id: Some("msg_1".into()),
            service_tier: Some("standard".into()),
            inference_geo: Some("eu".into()),
            speed: Some("fast".into()),
            web_search_requests: Some(3),
            web_fetch_requests: Some(4),
            batch_id: Some("msgbatch_1".into()),
            batch_wait_ms: Some(60_000),
            attempt_details: vec![RowAttempt { began_us: 1999, server: "a:1".into(), ..RowAttempt::default() }],
            ..rows(1).remove(0)
        };
        let id = full.id;
        store.write(&records([full])).await.unwrap();
        let columns = "input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens,
            cache_creation_1h_input_tokens, reasoning_tokens, saved_input_tokens, saved_output_tokens,
            saved_cache_read_input_tokens, saved_cache_creation_input_tokens, first_byte_ms, first_token_ms, usage_source,
            usage_data, cache_status, upstream, server, error_type, stop_reason, client_ip, upstream_request_id, answer_id,
            service_tier, inference_geo, speed, web_search_requests, web_fetch_requests, api_key_hash, endpoint, model, plugin,
            reason, route, tenant, key_name, session_id, user_id, requested_model, protocol, limit_tokens, rule,
            batch_id, batch_wait_ms, attempt_details";
        assert_eq!(
            book.sql(&format!("SELECT {columns} FROM api_requests")),
            r#"10|11|12|13|14|15|20|21|22|23|9223372036854775807|0|partial|{"b":1, "a":"\u0000",  "b":2}|hit|a|b:1|overloaded_error|end_turn|2001:db8::7|req_1|msg_1|standard|eu|fast|3|4|00ff|messages|claude-3-haiku-20240307|max_tokens|too_many_tokens|models|team-a|alice|s-1|u-1|fast|websocket|24|auto/2|msgbatch_1|60000|[{"upstream":"","server":"a:1","address":"","wanted_ms":0,"began_ms":1,"ended_ms":null,"status":null,"error":null}]"#
        );
        assert_eq!(book.sql("SELECT served_model FROM api_requests"), "claude \"x\", ü");
        let postgres = matches!(book, Book::Postgres(_));
        let (hex, time, exact, streaming) = if postgres {
            (
                "encode(turn_hash, 'hex')",
                "created_at AT TIME ZONE 'UTC'",
                "cost_usd, saved_cost_usd, provider_cost_usd",
                "f",
            )
        } else {
            ("lower(hex(turn_hash))", "created_at", "cost_picos, saved_cost_picos, provider_cost_picos", "0")
        };
        let hash = "01".repeat(32);
        assert_eq!(
            book.sql(&format!(
                "SELECT {hex}, {time}, request_id = id, duration_ms = response_time_ms, streaming FROM api_requests"
            )),
            if postgres {
                format!("{hash}|2026-11-24 13:30:00.123456|t|t|{streaming}")
            } else {
                format!("{hash}|2026-11-24 13:30:00.123456|1|1|{streaming}")
            }
        );
        assert_eq!(
            book.sql(&format!("SELECT {exact} FROM api_requests")),
            if postgres {
                "12.000000000001|9223372.036854775807|0.00014"
            } else {
                "12000000000001|9223372036854775807|140000000"
            }
        );
        assert_eq!(book.sql(&format!("SELECT count(*) FROM api_requests WHERE id = '{id}'")), "1");
        let billed = book.sql("SELECT billed FROM api_requests");
        assert!(billed.contains(r#""cost_usd":"0.000000000005""#), "{billed}");
    }
}

#[tokio::test]
async fn no_row_is_lost_for_what_is_in_it() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut strange = rows(6);
        strange[0].model = Some("nul\0nul".into());
        strange[1].domain = "long.".repeat(4000).into();
        strange[2].path = "/".repeat(1 << 20).into();
        strange[3].usage_data = Some("{".repeat(100_000));
        strange[4].request_body =
            Some(Body { bytes: (0..=255).collect(), encoding: Some("gzip".into()), truncated: true });
        strange[5].chunks =
            vec![Piece { after_ms: 5, bytes: b"\0\xff".to_vec() }, Piece { after_ms: 9, bytes: Vec::new() }];
        for record in records(strange) {
            store.write(&[record]).await.unwrap();
        }
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "6");
        assert_eq!(book.sql("SELECT model FROM api_requests WHERE model LIKE 'nul%'"), "nul\u{fffd}nul");
        let hex = if matches!(book, Book::Postgres(_)) { "encode(data, 'hex')" } else { "lower(hex(data))" };
        assert_eq!(book.sql(&format!("SELECT chunk_index, {hex} FROM streaming_chunks ORDER BY 1")), "0|00ff\n1|");
        let bytes = (0..=255).fold(String::new(), |hex, byte: u8| format!("{hex}{byte:02x}"));
        let hex = hex.replace("data", "request_body");
        assert_eq!(
            book.sql(&format!("SELECT {hex}, request_body_encoding FROM api_request_bodies")),
            format!("{bytes}|gzip")
        );
    }
}

#[tokio::test]
async fn a_result_of_a_batch_is_booked_once() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let result = |custom: &str, picos: i128| {
            Record::Batch(Box::new(BatchRow {
                batch: "msgbatch_1".into(),
                custom_id: custom.into(),
                request_id: Uuid::now_v7(),
                created_at: at("2026-11-24", 0),
                domain: "test.example.com".into(),
                cost_usd: Some(Cost::from_picos(picos)),
                ..BatchRow::default()
            }))
        };
        assert_eq!(
            store.write(&[result("b", 1), result("a", 2), result("b", 3)]).await,
            Ok(Written { new: 2, known: 1 })
        );
        assert_eq!(store.write(&[result("a", 4), result("c", 5)]).await, Ok(Written { new: 1, known: 1 }));
        assert_eq!(book.sql("SELECT count(*) FROM batch_results"), "3");
    }
}

#[tokio::test]
async fn a_turn_is_found_by_its_hash() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut turns = rows(3);
        turns[0].turn_hash = Some([1; 32]);
        turns[1].turn_hash = Some([2; 32]);
        turns[1].conversation_id = Some(turns[0].id);
        turns[2].turn_hash = Some([3; 32]);
        turns[2].conversation_id = Some(turns[2].id);
        turns[2].parent_conversation_id = Some(turns[0].id);
        let [first, agent] = [turns[0].id, turns[2].id];
        store.write(&records(turns)).await.unwrap();
        let known = |id, parent| Some(Conversation { id, parent });
        let wanted = vec![known(agent, Some(first)), None, known(first, None), known(first, None)];
        let asked = [[3; 32], [9; 32], [2; 32], [1; 32]];
        assert_eq!(store.conversations(&asked).await, Ok(wanted.clone()));
        // as after a restart
        drop(store);
        assert_eq!(book.store().await.conversations(&asked).await, Ok(wanted));
    }
}

#[tokio::test]
async fn a_row_that_is_corrected_is_found_by_its_last_turn_after_a_restart() {
    for book in Book::both().await {
        let mut turns = rows(1);
        turns[0].turn_hash = Some([1; 32]);
        let mut corrected = turns[0].clone();
        (corrected.revision, corrected.turn_hash) = (1, Some([2; 32]));
        book.store().await.write(&records(turns)).await.unwrap();
        let known = Conversation { id: corrected.id, parent: None };
        book.store().await.write(&records(vec![corrected])).await.unwrap();
        let found = book.store().await.conversations(&[[1; 32], [2; 32]]).await;
        assert_eq!(found, Ok(vec![None, Some(known)]));
    }
}

#[tokio::test]
async fn the_schema_is_made_once_and_checked_where_nobody_may_make_it() {
    for book in Book::both().await {
        let settings = settings(&book.url());
        let error = migrated(&only_checking(&settings)).await.unwrap_err().to_string();
        assert!(error.contains("version 0") && error.contains("run `tollgate migrate -c FILE`"), "{error}");
        let mut store = connected(&settings).await.unwrap();
        store.write(&records(rows(1))).await.unwrap_err();
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        store.write(&records(rows(1))).await.unwrap();
        migrated(&only_checking(&settings)).await.unwrap();
        match book {
            Book::Postgres(_) => book.sql("INSERT INTO ledger_schema VALUES (999, now())"),
            Book::Sqlite(_) => book.sql("PRAGMA user_version = 999"),
        };
        let error = migrated(&settings).await.unwrap_err().to_string();
        assert!(error.contains("version 999, newer than this build's"), "{error}");
    }
}

#[tokio::test]
async fn housekeeping_leaves_a_schema_alone_that_it_does_not_know() {
    for book in Book::both().await {
        let mut old = rows(1);
        old[0].created_at = at("2026-01-31", 0);
        old.extend(rows(1));
        book.store().await.write(&records(old)).await.unwrap();
        let newer = match book {
            Book::Postgres(_) => [
                "INSERT INTO ledger_schema VALUES (999, now())".to_owned(),
                "DELETE FROM ledger_schema WHERE version = 999".to_owned(),
            ],
            Book::Sqlite(_) => {
                let own = book.sql("PRAGMA user_version");
                ["PRAGMA user_version = 999".to_owned(), format!("PRAGMA user_version = {own}")]
            }
        };
        book.sql(&newer[0]);
        let settings = keeping(&book.url(), Some("60days"), None);
        let error = housekept(&mut connected(&settings).await.unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("version 999, newer than this build's"), "{error}");
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "2");
        book.sql(&newer[1]);
        housekept(&mut connected(&settings).await.unwrap()).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "1");
    }
}

#[tokio::test]
async fn sums_are_exact_and_say_what_they_do_not_know() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut used = rows(4);
        let days = [at("2026-10-31", 0), at("2026-11-01", -1), at("2026-11-01", 0), at("2026-11-01", 7_200_000_000)];
        for (row, day) in used.iter_mut().zip(days) {
            row.created_at = day;
        }
        used[1].cost_usd = Some(Cost::from_picos(1));
        used[2].cost_usd = None;
        used[3].cost_usd = Some(Cost::from_picos(9_000_000_000_000_000_000));
        used[3].saved_cost_usd = Some(Cost::from_picos(3));
        used[0].usage_source = UsageSource::None;
        used[0].cost_usd = None;
        used[0].tokens = Tokens::default();
        store.write(&records(used)).await.unwrap();
        let report = Report::open(&book.url().parse().unwrap(), &PoolSettings::default()).unwrap();
        assert_eq!(report.first().await, Ok(Some(days[0])));
        let all = report.sums(&[], days[0], at("2027-01-01", 0)).await.unwrap();
        assert_eq!(
            all[0].sums,
            Sums {
                requests: 4,
                input_tokens: 6,
                output_tokens: 300,
                cost: 9_000_000_000_000_000_001,
                unpriced: 1,
                unknown: 2,
                saved: 3,
                ..Sums::default()
            }
        );
        let by = [By::Month, By::Day, By::Hour, By::Model, By::Outcome, By::Key, By::Domain, By::Upstream];
        let lines = report.sums(&by, days[0], days[3]).await.unwrap();
        let text = |line: &usage_log::report::Line| {
            line.group.iter().map(|part| part.as_deref().unwrap_or("-")).collect::<Vec<_>>().join(" ")
        };
        let rest = "claude-3-haiku-20240307 completed - test.example.com -";
        assert_eq!(
            lines.iter().map(text).collect::<Vec<_>>(),
            [
                format!("2026-10 2026-10-31 2026-10-31 00:00 {rest}"),
                format!("2026-10 2026-10-31 2026-10-31 23:00 {rest}"),
                format!("2026-11 2026-11-01 2026-11-01 00:00 {rest}"),
            ]
        );
        assert_eq!(report.sums(&by, days[3], days[3]).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn a_number_without_a_row_is_a_gap() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut numbered = rows(10);
        let instance = numbered[0].instance;
        for lost in [8, 4, 3, 0] {
            numbered.remove(lost);
        }
        store.write(&records(numbered.into_iter().chain(rows(5)))).await.unwrap();
        let report = Report::open(&book.url().parse().unwrap(), &PoolSettings::default()).unwrap();
        let gaps = report.gaps().await.unwrap();
        assert!(gaps.iter().all(|gap| gap.instance == instance));
        assert_eq!(gaps.iter().map(|gap| (gap.first, gap.last)).collect::<Vec<_>>(), [(1, 1), (4, 5), (9, 9)]);
        assert_eq!(gaps.iter().map(usage_log::report::Gap::rows).sum::<u64>(), 4);
    }
}

#[tokio::test]
async fn what_is_older_than_the_settings_keep_goes_by_way_of_the_archive() {
    for book in Book::both().await {
        let mut store = book.store().await;
        let mut old = rows(40);
        for row in &mut old[..20] {
            row.created_at = at("2026-01-31", row.sequence);
            row.path = "/a,\"quoted\"\npath".into();
            row.request_body = Some(Body { bytes: b"\n\"".to_vec(), ..Body::default() });
        }
        store.write(&records(old)).await.unwrap();
        let archive = crate::harness::Folder::new();
        let mut settings = keeping(&book.url(), Some("60days"), None);
        settings.archive = Some(archive.path().join("old"));
        let mut keeper = connected(&settings).await.unwrap();
        housekept(&mut keeper).await.unwrap();
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "20");
        assert_eq!(book.sql("SELECT count(*) FROM api_request_bodies"), "0");
        let read = |name: &str| {
            let file = std::fs::File::open(archive.path().join("old").join(name)).unwrap();
            String::from_utf8(zstd::decode_all(file).unwrap()).unwrap()
        };
        let csv = read("api_requests_2026_01.csv.zst");
        assert!(csv.starts_with("id,created_at,revision,instance,sequence,domain,"), "{csv}");
        assert_eq!(csv.matches("\"/a,\"\"quoted\"\"\npath\"").count(), 20);
        assert_eq!(read("api_request_bodies_2026_01_31.csv.zst").matches("\\x0a22").count(), 20);
        // what went is no gap, and a row that comes too late goes too, into a file of its own
        let report = Report::open(&book.url().parse().unwrap(), &PoolSettings::default()).unwrap();
        assert_eq!(report.gaps().await, Ok(vec![]));
        let mut late = rows(1);
        late[0].created_at = at("2026-01-01", 0);
        store.write(&records(late)).await.unwrap();
        housekept(&mut keeper).await.unwrap();
        assert_eq!(read("api_requests_2026_01.2.csv.zst").lines().count(), 2);
        assert_eq!(book.sql("SELECT count(*) FROM api_requests"), "20");
        assert_eq!(book.sql("SELECT sum(requests) FROM usage_daily"), "41", "sums stay");
    }
}
