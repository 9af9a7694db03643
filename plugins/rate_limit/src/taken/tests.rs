//! What a request costs whose answer broke off.

use std::time::SystemTime;

use plugin_api::http::StatusCode;
use plugin_api::testing::ID;
use plugin_api::{Answer, Usage};
use serde_json::json;

use super::*;

const DEMAND: Demand = Demand {
    reserved: 5_000,
    input: 1_000,
    most: 200_000,
    unreported: 2_000,
    is_connection: false,
    is_first_on_connection: false,
    learn: None,
};

/// A stream that had this status, passed so many bytes, and then ended so.
fn record(outcome: Outcome, status: u16, response_bytes: u64, usage: Option<(u64, u64)>) -> Record {
    let usage = usage.map(|(input, output)| Usage {
        tokens: Tokens { input: Some(input), output: Some(output), ..Tokens::default() },
        ..Usage::default()
    });
    Record {
        outcome,
        attempts: 1,
        status: StatusCode::from_u16(status).ok(),
        streaming: Some(true),
        response_bytes,
        answer: Some(Answer { usage, ..Answer::default() }.into()),
        ..Record::begun(ID, SystemTime::UNIX_EPOCH)
    }
}

fn cost(record: &Record) -> Option<u64> {
    let config = serde_json::from_value(json!({ "limits": [{ "by": "key", "tokens": "1/m" }] })).unwrap();
    CallCount::new(DEMAND, &config, Vec::new()).used(record)
}

#[test]
fn a_stream_that_is_left_before_its_last_figures_costs_what_came_of_it() {
    use Outcome::{Aborted, ClientGone, Refused, UpstreamFailed};
    let (bytes, begun) = (64 * 50_000, Some((700, 1)));
    for (what, record, tokens) in [
        ("a client that leaves", record(ClientGone, 200, bytes, begun), Some(50_700)),
        ("one that leaves a stream without figures", record(ClientGone, 200, bytes, None), Some(51_000)),
        ("a stream that is cut at the stop", record(Aborted, 200, bytes, begun), Some(50_700)),
        ("a server that breaks off", record(UpstreamFailed, 200, bytes, begun), Some(50_700)),
        ("and without figures", record(UpstreamFailed, 200, bytes, None), Some(51_000)),
        ("an answer that a plugin cuts", record(Refused, 200, bytes, None), Some(51_000)),
        ("no more than was asked for", record(ClientGone, 200, 64 * 5_000_000, begun), Some(200_000)),
        ("what the answer said is true", record(ClientGone, 200, 640, Some((700, 300_000))), Some(300_700)),
        ("a client that leaves before the head", record(ClientGone, 0, 0, None), Some(1_000)),
        ("an error of the gateway's own", record(UpstreamFailed, 502, 200, None), None),
    ] {
        assert_eq!(cost(&record), tokens, "{what}");
    }
}

#[test]
fn what_was_never_sent_costs_nothing_however_it_ended() {
    for outcome in [Outcome::Refused, Outcome::UpstreamFailed, Outcome::ClientGone, Outcome::Aborted] {
        let record = Record { attempts: 0, ..record(outcome, 503, 200, None) };
        assert_eq!(cost(&record), None, "{outcome:?}");
    }
}
