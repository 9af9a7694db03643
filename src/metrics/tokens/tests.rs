//! What `/metrics` shows of tokens.

use std::time::{Duration, SystemTime};

use plugin_api::{Answer, Endpoint, Outcome, Usage, Uuid};

use super::*;
use crate::metrics::Metrics;

fn record(endpoint: Endpoint, model: &str, tokens: Option<Counts>) -> Record {
    let usage = tokens.map(|tokens| Usage { tokens, ..Usage::default() });
    let answer = Answer { model: Some(model.to_owned()), usage, ..Answer::default() };
    Record {
        endpoint: Some(endpoint),
        answer: Some(answer.into()),
        ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
    }
}

fn counts(input: u64, output: u64) -> Option<Counts> {
    Some(Counts { input: Some(input), output: Some(output), ..Counts::default() })
}

fn known() -> ModelNames {
    ModelNames::new(["m", "e"].into_iter(), |_| None)
}

fn shown(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render(&[], &[])).unwrap()
}

#[test]
fn tokens_are_counted_by_class_and_each_model_and_domain_has_its_own() {
    let metrics = Metrics::new();
    let all = Counts {
        input: Some(3),
        cache_read: Some(40),
        cache_creation: Some(500),
        cache_creation_1h: Some(100),
        output: Some(7),
        reasoning: Some(2),
    };
    let mut first = record(Endpoint::MESSAGES, "m", Some(all));
    first.first_token = Some(Duration::from_millis(70));
    (first.outcome, first.total) = (Outcome::Completed, Duration::from_millis(1270));
    metrics.request_finished("a.com", &known(), &first);
    metrics.request_finished("a.com", &known(), &record(Endpoint::MESSAGES, "m", counts(10, 0)));
    metrics.request_finished(
        "b.com",
        &known(),
        &record(Endpoint::EMBEDDINGS, "e", Some(Counts { input: Some(9), ..Counts::default() })),
    );
    let shown = shown(&metrics);
    for line in [
        "claude_tokens_total{domain=\"a.com\",model=\"m\",type=\"input\"} 13",
        "claude_tokens_total{domain=\"a.com\",model=\"m\",type=\"cache_read\"} 40",
        "claude_tokens_total{domain=\"a.com\",model=\"m\",type=\"cache_creation\"} 500",
        "claude_tokens_total{domain=\"a.com\",model=\"m\",type=\"output\"} 7",
        "claude_tokens_total{domain=\"b.com\",model=\"e\",type=\"input\"} 9",
        "tollgate_reasoning_tokens_total{domain=\"a.com\",model=\"m\"} 2",
        "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\",gen_ai_token_type=\"input\"} 553",
        "gen_ai_client_inference_tokens{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\",gen_ai_token_type=\"input\"} 553",
        "gen_ai_client_inference_tokens{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\",gen_ai_token_type=\"output\"} 7",
        "gen_ai_server_time_per_output_token_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\"} 0.2",
        "gen_ai_client_token_usage_count{gen_ai_operation_name=\"embeddings\",gen_ai_provider_name=\"openai\",gen_ai_response_model=\"e\",gen_ai_token_type=\"input\"} 1",
        "gen_ai_server_time_to_first_token_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\"} 0.07",
        "gen_ai_server_time_to_first_token_count{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\"} 1",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn an_answer_that_was_given_again_or_says_nothing_adds_nothing() {
    let metrics = Metrics::new();
    let mut again = record(Endpoint::MESSAGES, "m", counts(1, 1));
    again.saved = again.answer.take();
    metrics.request_finished("a.com", &known(), &again);
    metrics.request_finished("a.com", &known(), &record(Endpoint::MESSAGES, "m", None));
    assert!(!shown(&metrics).contains("claude_tokens_total") && !shown(&metrics).contains("gen_ai"));
}

#[test]
fn nobody_can_make_labels() {
    let metrics = Metrics::new();
    let lines = |metrics: &Metrics| shown(metrics).lines().count();
    let made_up = |number: usize| record(Endpoint::MESSAGES, &format!("made-up-{number}"), counts(1, 0));
    metrics.request_finished("a.com", &known(), &made_up(0));
    let before = lines(&metrics);
    (0..10_000).for_each(|number| metrics.request_finished("a.com", &known(), &made_up(number)));
    metrics.request_finished("a.com", &known(), &record(Endpoint::MESSAGES, &"x".repeat(100_000), counts(1, 0)));
    assert_eq!(lines(&metrics), before);
    // those that are known have labels, up to a number of them
    for number in 0..MOST_MODELS + 50 {
        let one = record(Endpoint::MESSAGES, &format!("m{number}"), counts(1, 0));
        metrics.request_finished("a.com", &ModelNames::new([&*format!("m{number}")].into_iter(), |_| None), &one);
    }
    metrics.request_finished("b.com", &known(), &record(Endpoint::MESSAGES, "m", counts(1, 0)));
    let shown = shown(&metrics);
    let inputs = shown.lines().filter(|line| line.starts_with("claude_tokens_total") && line.contains("\"input\""));
    assert_eq!(inputs.count(), MOST_MODELS + 2);
    for line in [
        "claude_tokens_total{domain=\"a.com\",model=\"m0\",type=\"input\"} 1",
        "claude_tokens_total{domain=\"a.com\",model=\"other\",type=\"input\"} 10052",
        "claude_tokens_total{domain=\"b.com\",model=\"other\",type=\"input\"} 1",
    ] {
        assert!(shown.contains(line), "{line}");
    }
}

#[test]
fn an_answer_makes_only_the_series_that_it_has_figures_for() {
    let metrics = Metrics::new();
    let only_input = Some(Counts { input: Some(9), ..Counts::default() });
    metrics.request_finished("a.com", &known(), &record(Endpoint::EMBEDDINGS, "e", only_input));
    let text = shown(&metrics);
    assert!(text.contains("gen_ai_token_type=\"input\"") && !text.contains("gen_ai_token_type=\"output\""));
    assert!(!text.contains("time_to_first_token"));
    metrics.request_finished("a.com", &known(), &record(Endpoint::EMBEDDINGS, "e", counts(1, 2)));
    let text = shown(&metrics);
    for (kind, count) in [("input", 2), ("output", 1)] {
        let labels = format!("gen_ai_response_model=\"e\",gen_ai_token_type=\"{kind}\"}} {count}");
        assert!(
            text.lines().any(|line| line.starts_with("gen_ai_client_token_usage_count") && line.ends_with(&labels))
        );
    }
    assert!(text.lines().filter(|line| !line.starts_with('#') && line.contains("\"e\"")).count() < 40);
}

#[test]
fn the_time_of_a_token_is_known_of_streams_with_an_end_and_more_tokens_than_one() {
    let stream = |output, first_token, outcome| Record {
        first_token,
        outcome,
        total: Duration::from_secs(3),
        ..record(Endpoint::MESSAGES, "m", counts(1, output))
    };
    let first = Some(Duration::from_secs(1));
    for (record, is_known) in [
        (stream(11, first, Outcome::Completed), true),
        (stream(1, first, Outcome::Completed), false),
        (stream(0, first, Outcome::Completed), false),
        (stream(11, None, Outcome::Completed), false),
        (stream(11, first, Outcome::ClientGone), false),
    ] {
        let metrics = Metrics::new();
        metrics.request_finished("a.com", &known(), &record);
        let sum = "gen_ai_server_time_per_output_token_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_response_model=\"m\"} 0.2";
        assert_eq!(shown(&metrics).contains(sum), is_known, "{record:?}");
        assert_eq!(shown(&metrics).contains("time_per_output_token"), is_known, "{record:?}");
    }
}
