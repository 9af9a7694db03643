//! An exchange as benches end it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plugin_api::http::{Method, StatusCode};
use plugin_api::{
    Answer, AnswerState, ConversationHash, Earlier, Endpoint, Outcome, Plugin, Record, Tokens, Usage, Uuid,
};
use usage_log::UsageLog;

/// Ends a request as a busy gateway sees it: a call to a model in a conversation of a dozen turns.
pub fn end(plugin: &UsageLog, number: u64) {
    let mut entry = <UsageLog as Plugin>::State::default();
    let mut record = Record::begun(Uuid::now_v7(), SystemTime::now());
    let usage = r#"{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":20000,"output_tokens":150,"service_tier":"standard"}"#;
    record.method = Method::POST;
    record.path = "/v1/messages".into();
    record.host = format!("team-{}.example.com", number / 12 % 40);
    record.context.client = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 3, 17)));
    record.endpoint = Some(Endpoint::MESSAGES);
    record.model = Some("claude-sonnet-4-5-20250929".into());
    record.streaming = Some(true);
    (record.body_read, record.system_blocks) = (true, Some(3));
    let earlier = || Earlier::Turn { messages: hash(number.saturating_sub(1)), words: Some(hash(number)) };
    let earlier = (!number.is_multiple_of(12)).then(earlier);
    record.conversation = Some(ConversationHash { messages: hash(number), earlier });
    record.upstream = Some(Arc::from("anthropic"));
    record.server = Some(Arc::from("https://api.anthropic.com"));
    (record.attempts, record.status, record.outcome) = (1, Some(StatusCode::OK), Outcome::Completed);
    (record.request_bytes, record.response_bytes) = (50_000, 8_000);
    record.first_byte = Some(Duration::from_millis(300));
    record.first_token = Some(Duration::from_millis(400));
    record.total = Duration::from_millis(2_000 + number % 9_000);
    record.upstream_request_id = Some(format!("req_{number:024}"));
    let tokens = Tokens { input: Some(25), cache_read: Some(20_000), output: Some(number % 900), ..Tokens::default() };
    record.answer = Some(
        Answer {
            state: AnswerState::Complete,
            id: Some(format!("msg_{number:024}")),
            model: Some("claude-sonnet-4-5-20250929".into()),
            stop_reason: Some("end_turn".into()),
            usage: Some(Usage { tokens, raw: serde_json::from_str(usage).ok(), ..Usage::default() }),
            ..Answer::default()
        }
        .into(),
    );
    plugin.before_last_byte(&mut entry, &record);
    plugin.on_complete(&mut entry, &record);
}

fn hash(number: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    hash
}
