use std::sync::Arc;
use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::{AssumedCost, Batched, BatchedAnswer, Endpoint, Usage};
use serde_json::value::RawValue;

use super::*;
use crate::Cost;

fn record() -> Record {
    Record::begun(Uuid::from_u128(7), SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567))
}

fn answer(state: AnswerState) -> Answer {
    let tokens = plugin_api::Tokens { input: Some(1_000), output: Some(0), ..plugin_api::Tokens::default() };
    let raw = RawValue::from_string(r#"{"input_tokens":1000,"new":1}"#.into()).unwrap();
    let usage = Usage { tokens, raw: Some(raw), web_search_requests: Some(2), ..Usage::default() };
    Answer { state, model: Some("claude-opus-5".into()), usage: Some(usage), ..Answer::default() }
}

fn row(record: &Record) -> Row {
    Entry::default().row(record, &Prices::default())
}

#[test]
fn a_request_of_which_nothing_is_known_has_a_row() {
    let row = row(&record());
    assert_eq!((row.domain.as_str(), &*row.request_type, &*row.outcome), ("unknown", "other", "aborted"));
    assert_eq!((row.created_at.micros(), row.usage_source, row.cost_usd), (1_234_567, UsageSource::None, None));
    assert_eq!((row.tokens, row.response_status, row.model), (Tokens::default(), None, None));
}

#[test]
fn an_answer_costs_what_it_reports_and_who_answers_is_billed() {
    let mut record = record();
    record.host = "API.Example.com".into();
    record.endpoint = Some(Endpoint::MESSAGES);
    record.model = Some("fast".into());
    (record.body_read, record.system_blocks, record.asks_quota) = (true, Some(2), true);
    record.status = Some(StatusCode::OK);
    record.outcome = Outcome::Completed;
    record.answer = Some(answer(AnswerState::Complete).into());
    let found = row(&record);
    assert_eq!((found.domain.as_str(), &*found.request_type), ("api.example.com", "quota"));
    assert_eq!((found.model.as_deref(), found.served_model.as_deref()), (Some("fast"), Some("claude-opus-5")));
    assert_eq!(found.usage_source, UsageSource::Reported);
    assert_eq!((found.tokens.input, found.tokens.output, found.tokens.cache_read), (Some(1_000), Some(0), None));
    assert_eq!(found.cost_usd.map(|cost| cost.to_string()).as_deref(), Some("0.025"));
    assert_eq!(found.usage_data.as_deref(), Some(r#"{"input_tokens":1000,"new":1}"#));
    for (end, state) in [(Outcome::ClientGone, AnswerState::Partial), (Outcome::Completed, AnswerState::Failed)] {
        (record.outcome, record.answer) = (end, Some(answer(state).into()));
        assert_eq!(row(&record).usage_source, UsageSource::Partial);
    }
}

#[test]
fn an_answer_from_a_cache_costs_nothing_and_says_what_it_saved() {
    let mut record = record();
    (record.outcome, record.saved) = (Outcome::Cached, Some(answer(AnswerState::Complete).into()));
    record.context.tags.set(tags::CACHE_STATUS, "hit");
    let row = row(&record);
    assert_eq!((&*row.outcome, row.cache_status.as_deref()), ("cached", Some("hit")));
    assert_eq!((row.tokens, row.usage_source, row.cost_usd), (Tokens::default(), UsageSource::None, None));
    assert_eq!((row.saved.input, row.saved_cost_usd), (Some(1_000), Some(Cost::from_picos(25_000_000_000))));
}

#[test]
fn no_text_of_a_stranger_keeps_a_row_out_of_the_database() {
    let mut record = record();
    record.host = "é".repeat(1_000);
    record.path = format!("/{}", "x".repeat(100_000));
    record.model = Some("a\0b".into());
    let mut huge = answer(AnswerState::Complete);
    huge.model = Some("m\0".repeat(10_000));
    huge.usage.as_mut().unwrap().raw = Some(RawValue::from_string(format!("\"{}\"", "x".repeat(100_000))).unwrap());
    huge.usage.as_mut().unwrap().tokens.input = Some(u64::MAX);
    record.answer = Some(huge.into());
    let row = row(&record);
    assert!(row.domain.len() <= LONGEST_HOST && row.path.len() <= LONGEST_PATH && row.path.contains('…'));
    assert_eq!(row.model.as_deref(), Some("a\u{FFFD}b"));
    assert!(row.served_model.is_some_and(|model| !model.contains('\0')));
    assert_eq!((row.usage_data, row.tokens.input), (None, Some(i64::MAX)));
}

#[test]
fn what_came_as_foreseen_needs_no_second_record() {
    let mut record = record();
    (record.outcome, record.total) = (Outcome::Completed, Duration::from_millis(100));
    let predicted = PredictedOutcome::of(&record);
    record.total += TIME_OFF;
    assert!(predicted.holds(&record));
    record.total += Duration::from_millis(1);
    assert!(!predicted.holds(&record));
    record.total = Duration::from_millis(100);
    record.outcome = Outcome::ClientGone;
    assert!(!predicted.holds(&record));
}

#[test]
fn a_refusal_says_who_refused_and_why_and_a_row_names_its_route() {
    let mut record = record();
    (record.plugin, record.reason, record.context.route) =
        (Some("max_tokens"), Some("too_many"), Some("models".into()));
    let row = row(&record);
    assert_eq!(
        (row.plugin.as_deref(), row.reason.as_deref(), row.route.as_deref()),
        (Some("max_tokens"), Some("too_many"), Some("models"))
    );
}

#[test]
fn a_row_says_whose_call_it_was() {
    let mut record = record();
    let principal = record.context.principal_mut();
    (principal.tenant, principal.key_name) = (Some("team-a".into()), Some("alice".into()));
    (principal.session, principal.user) = (Some("s1".into()), Some("u1".into()));
    let row = row(&record);
    let told = [row.tenant, row.key_name, row.session_id, row.user_id];
    assert_eq!(told.each_ref().map(Option::as_deref), [Some("team-a"), Some("alice"), Some("s1"), Some("u1")]);
}

#[test]
fn a_renamed_call_is_billed_by_the_name_that_its_upstream_was_asked_for() {
    let mut record = record();
    assert_eq!(row(&record).requested_model, None);
    (record.model, record.upstream_model) = (Some("fast".into()), Some("claude-opus-5".into()));
    let tokens = plugin_api::Tokens { input: Some(1000), output: Some(100), ..Default::default() };
    let usage = plugin_api::Usage { tokens, ..Default::default() };
    record.answer = Some(Answer { model: None, usage: Some(usage), ..Answer::default() }.into());
    let row = row(&record);
    assert_eq!((row.model.as_deref(), row.requested_model.as_deref()), (Some("fast"), Some("fast")));
    assert_eq!(row.cost_usd.unwrap().to_string(), "0.0075");
}

#[test]
fn a_call_whose_cost_another_record_or_a_late_result_tells_is_assumed_to_have_cost_nothing() {
    let assumed = |change: fn(&Batched)| {
        let batched = Arc::new(Batched::default());
        change(&batched);
        let mut record = Record { outcome: Outcome::ClientGone, attempts: 1, ..record() };
        record.context.batched = Some(batched);
        record.context.assumed_cost = Some(AssumedCost { answered: Some(50), cut_off: 7, input: 7, most_output: 100 });
        row(&record).assumed_cost_usd
    };
    fn answer() -> BatchedAnswer {
        BatchedAnswer { batch: "b".into(), waited: Duration::ZERO }
    }
    assert_eq!(assumed(|_| ()), Some(Cost::from_picos(7)));
    assert_eq!(assumed(|batched| batched.set_outlives_request(true)), None);
    assert_eq!(assumed(|batched| batched.set_counts_nothing(true)), None);
    assert_eq!(assumed(Batched::usage_is_elsewhere), None);
    // its client left while the answer was on its way
    assert_eq!(assumed(|batched| batched.answered(answer())), None);
}

#[test]
fn a_short_text_is_held_in_the_row_and_a_long_one_shared() {
    let (longest, longer) = (Arc::<str>::from("x".repeat(IN_PLACE)), Arc::<str>::from("x".repeat(IN_PLACE + 1)));
    assert!(!shared(&longest).is_heap_allocated() && Arc::strong_count(&longest) == 1);
    assert!(shared(&longer).is_heap_allocated());
    let text = shared(&longer);
    assert_eq!((&*text, Arc::strong_count(&longer)), (&*longer, 2));
}
