use journal::Entry;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::columns::{BATCHES, REQUESTS, Table, Value};
use crate::conversation::caller::Aside;
use crate::conversation::place::Place;
use crate::{BatchRow, Cost, Row, RowText, Timestamp, Tokens, UsageSource};

fn decoded(record: &Record) -> Option<Record> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    let entry = Entry { format: format(record), kind: None, number: None, record: &bytes };
    decode(&entry).map(|decoded| decoded.record)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé\u{1F600}]{1,20}"
}

fn some_text() -> impl Strategy<Value = Option<String>> {
    text().prop_map(Some)
}

fn number() -> impl Strategy<Value = i64> {
    1_i64..
}

prop_compose! {
    fn tokens()(numbers in any::<[u32; 6]>()) -> Tokens {
        let [input, output, cache_read, cache_creation, cache_creation_1h, reasoning] =
            numbers.map(|number| Some(i64::from(number)));
        Tokens { input, output, cache_read, cache_creation, cache_creation_1h, reasoning }
    }
}

prop_compose! {
    fn billed()(kind in text(), model in some_text(), tokens in tokens(), picos in number()) -> Billed {
        Billed { kind, model: model.map(Into::into), tokens, cost_usd: Some(Cost::from_picos(picos.into())) }
    }
}

prop_compose! {
    fn body()(bytes in proptest::collection::vec(any::<u8>(), 0..300), encoding in some_text(), truncated: bool) -> Body {
        Body { bytes, encoding, truncated }
    }
}

prop_compose! {
    /// A row in which no field is what it is by default. It names each of them, so that a new one cannot be forgotten here.
    fn row()(
        ids in any::<[[u8; 15]; 3]>(),
        texts in proptest::collection::vec(text(), 32),
        numbers in proptest::collection::vec(number(), 12),
        small in any::<[u8; 3]>(),
        hashes in any::<[[u8; 32]; 2]>(),
        (tokens, saved) in (tokens(), tokens()),
        address: std::net::IpAddr,
        streaming: bool,
        billed in proptest::collection::vec(billed(), 1..3),
        bodies in (body(), body()),
        pieces in proptest::collection::vec((number(), proptest::collection::vec(any::<u8>(), 0..90)), 1..4),
    ) -> Row {
        let [id, conversation, instance] = ids.map(|id| Uuid::from_slice(&[&[7], &id[..]].concat()).unwrap());
        let mut texts = texts.into_iter();
        let mut text = || RowText::from(texts.next().unwrap());
        let cost = |picos: i64| Some(Cost::from_picos(picos.into()));
        Row {
            id,
            created_at: Timestamp::from_micros(-numbers[0]),
            revision: i16::from(small[0]) + 1,
            domain: text(),
            method: text(),
            path: text(),
            endpoint: Some(text()),
            model: Some(text()),
            request_type: text(),
            served_model: Some(text()),
            conversation_id: Some(conversation),
            turn_hash: Some(hashes[0]),
            previous_turn_hash: Some(hashes[1]),
            api_key_hash: Some(text()),
            response_status: Some(i16::from(small[1])),
            response_time_ms: numbers[1],
            first_byte_ms: Some(numbers[2]),
            first_token_ms: Some(0),
            streaming: Some(streaming),
            tokens,
            usage_source: UsageSource::Partial,
            usage_data: Some(text().into()),
            billed,
            cost_usd: cost(numbers[3]),
            cache_status: Some(text()),
            rule: Some(text()),
            saved,
            saved_cost_usd: cost(numbers[4]),
            upstream: Some(text()),
            server: Some(text()),
            attempts: i32::from(small[2]) + 1,
            outcome: text(),
            error_type: Some(text()),
            stop_reason: Some(text()),
            request_bytes: numbers[5],
            response_bytes: numbers[6],
            client_ip: Some(address),
            upstream_request_id: Some(text()),
            answer_id: Some(text()),
            service_tier: Some(text()),
            inference_geo: Some(text()),
            speed: Some(text()),
            web_search_requests: Some(numbers[7]),
            web_fetch_requests: Some(numbers[8]),
            instance,
            sequence: numbers[9],
            request_body: Some(bodies.0),
            response_body: Some(bodies.1),
            chunks: pieces.into_iter().map(|(after_ms, bytes)| Piece { after_ms, bytes }).collect(),
            provider_cost_usd: cost(numbers[10]),
            plugin: Some(text()),
            reason: Some(text()),
            route: Some(RowText::default()),
            tenant: Some("team-a".into()),
            key_name: Some(RowText::default()),
            session_id: None,
            user_id: Some("\u{1F600}".into()),
            requested_model: Some(text()),
            protocol: Some(text()),
            limit_tokens: Some(numbers[11]),
            assumed_cost_usd: cost(numbers[10]),
            window_counts: vec![plugin_api::WindowCount { limit: ids[0][..].try_into().unwrap_or([7; 16]), subject: [9; 16], until: numbers[0], amount: -numbers[1] }],
            counted_before: numbers[2],
            unpriced_before: 1,
            trace_id: Some(text()),
            spans: Some(crate::RowSpans {
                span: [1; 8],
                parent: Some([2; 8]),
                flags: 1,
                total_us: numbers[3],
                call_ended_us: numbers[4],
                attempts: vec![crate::RowAttempt {
                    began_us: numbers[5],
                    ended_us: Some(numbers[6]),
                    server: text().into(),
                    error: Some(text()),
                    status: Some(503),
                    ..crate::RowAttempt::default()
                }],
                ..crate::RowSpans::default()
            }),
            parent_conversation_id: Some(instance),
            batch_id: Some(text()),
            batch_wait_ms: Some(numbers[8]),
            place: Some(Box::new(Place {
                scope: [1; 16],
                messages: [2; 16],
                previous_without_words: Some(hashes[0]),
                tasks: vec![[3; 16], [4; 16]],
                aside: Aside::IfBegun,
            })),
            attempt_details: vec![
                crate::RowAttempt { wanted_us: numbers[7], upstream: text().into(), ..crate::RowAttempt::default() },
                crate::RowAttempt { address: text().into(), ..crate::RowAttempt::default() },
            ],
        }
    }
}

prop_compose! {
    fn batch_row()(
        texts in proptest::collection::vec(text(), 8),
        id in any::<[u8; 15]>(),
        numbers in (number(), number(), number()),
        tokens in tokens(),
        billed in proptest::collection::vec(billed(), 1..3),
    ) -> BatchRow {
        let mut texts = texts.into_iter();
        let mut text = || RowText::from(texts.next().unwrap());
        BatchRow {
            batch: text(),
            custom_id: text(),
            request_id: Uuid::from_slice(&[&[7], &id[..]].concat()).unwrap(),
            created_at: Timestamp::from_micros(numbers.0),
            domain: text(),
            api_key_hash: Some(text()),
            upstream: Some(text()),
            served_model: Some(text()),
            tokens,
            usage_data: Some(text().into()),
            billed,
            cost_usd: Some(Cost::from_picos(numbers.1.into())),
            web_search_requests: Some(numbers.2),
            service_tier: Some(text()),
            tenant: Some("team-a".into()),
            key_name: None,
        }
    }
}

fn tells_of_values<R>(table: &Table<R>, rows: &[R]) {
    for column in table.columns {
        for row in rows {
            let value = (column.value)(row);
            assert_eq!(column.is_null(row), value == Value::Null, "{}", column.name);
            assert!(column.is_same(row, row), "{}", column.name);
            for other in rows {
                // fields that differ may have the same value
                assert!(!column.is_same(row, other) || value == (column.value)(other), "{}", column.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_field_of_a_record_comes_back(row in row(), batch in batch_row()) {
        for record in [Record::Request(Box::new(row)), Record::Batch(Box::new(batch))] {
            prop_assert_eq!(decoded(&record), Some(record));
        }
    }

    #[test]
    fn a_column_tells_of_its_values_without_making_them(one in row(), other in row(), results in [batch_row(), batch_row()]) {
        let mixed = Row { tokens: one.tokens, tenant: None, billed: one.billed.clone(), ..other.clone() };
        tells_of_values(&REQUESTS, &[one.clone(), one, other, mixed, Row::default()]);
        let [one, other] = results;
        tells_of_values(&BATCHES, &[one.clone(), one, other, BatchRow::default()]);
    }

    #[test]
    fn a_record_of_a_later_release_is_read_without_its_new_fields(row in row(), at in 0_usize..9, new in text()) {
        let record = Record::Request(Box::new(row));
        let (mut bytes, mut later) = (Vec::new(), Vec::new());
        encode(&record, &mut bytes);
        fields::put(&new, 1_000 + at as u64, &mut later);
        let record_of_later = if at % 2 == 0 { [&*later, &*bytes].concat() } else { [&*bytes, &*later].concat() };
        let entry = Entry { format: REQUEST, kind: None, number: None, record: &record_of_later };
        prop_assert_eq!(decode(&entry).map(|decoded| decoded.record), Some(record));
    }
}

#[test]
fn nothing_takes_no_byte_and_a_format_of_a_later_release_is_not_read() {
    let nothing = Record::Request(Box::default());
    let mut bytes = Vec::new();
    encode(&nothing, &mut bytes);
    assert_eq!((bytes.len(), decoded(&nothing)), (0, Some(nothing)));
    let entry = Entry { format: 3, kind: None, number: None, record: &bytes };
    assert!(decode(&entry).is_none());
}
