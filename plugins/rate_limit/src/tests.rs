//! What limits decide, without sockets: who is held to which, what is reserved, what a call costs in the end.

mod callers;
mod demand;
mod refusals;
mod settings;
mod settlement;
mod through_redis;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::SystemTime;

use plugin_api::http::{HeaderMap, StatusCode};
use plugin_api::testing::{self, ID, TestCall, TestRequest, batch, context, not_a_call, unreadable};
use plugin_api::{
    Answer, AnswerState, Endpoint, Grants, ModelCall, Outcome, Protocol, Quota, TokenField, TokenLimitValue, Tokens,
    Usage, Window,
};
use serde_json::{Value, json};

use super::*;
use crate::by::Caller;
use crate::meters::MetersOf;
use crate::rules::Measure;

/// A gateway's limits, over its reloads.
#[derive(Default)]
struct Host {
    shared: Arc<Shared>,
}

impl Host {
    fn limits(&self, config: Value) -> RateLimit {
        let config: Config = serde_json::from_value(config).unwrap();
        config.check().unwrap();
        let context = BuildContext {
            base: Path::new("."),
            shared: &self.shared,
            secrets: &Arc::from([]),
            common: &Arc::default(),
        };
        RateLimit::build(&config, &context).unwrap()
    }

    fn held(&self, limit: &str, measure: &str) -> i64 {
        let all = self.shared.held().into_iter();
        let of = all.filter(|(name, of, _)| **name == *limit && of.reason() == measure);
        of.map(|(.., held)| i64::try_from(held).unwrap()).sum()
    }
}

/// A request in progress.
struct InProgress {
    state: State,
    context: Context,
}

/// A refusal, as the caller sees it.
#[derive(Debug)]
struct Refused {
    headers: HeaderMap,
    message: String,
}

impl Refused {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn refused(flow: Flow, protocol: &'static Protocol) -> Option<Refused> {
    match flow {
        Flow::Continue => None,
        Flow::Answer(reply) => panic!("answered: {reply:?}"),
        Flow::Refuse(refusal) => {
            let message = refusal.message().to_owned();
            let reply = refusal.into_reply(protocol, ID);
            assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
            Some(Refused { headers: reply.headers, message })
        }
    }
}

fn by_key(name: &str) -> Context {
    let mut context = context();
    context.principal_mut().key_name = Some(name.into());
    context
}

/// A call by this caller goes through both hooks.
async fn call(limits: &RateLimit, mut context: Context, mut body: ModelCall) -> Result<InProgress, Refused> {
    let mut state = State::default();
    let request = TestRequest::to(body.endpoint());
    let flow = testing::on_request(limits, &mut state, &mut request.request(&mut context)).await;
    assert!(refused(flow, body.protocol()).is_none(), "its body comes first");
    let protocol = body.protocol();
    let flow = testing::on_call(limits, &mut state, &mut Call { context: &mut context, body: &mut body }).await;
    match refused(flow, protocol) {
        None => Ok(InProgress { state, context }),
        Some(refused) => Err(refused),
    }
}

fn message(max_tokens: u64) -> ModelCall {
    TestCall::new().model("m").max_tokens(max_tokens).to(Endpoint::MESSAGES)
}

fn record(outcome: Outcome, tokens: Option<Tokens>) -> Record {
    let usage = tokens.map(|tokens| Usage { tokens, ..Usage::default() });
    let answer = Answer { state: AnswerState::Complete, usage, ..Answer::default() };
    Record {
        outcome,
        attempts: 1,
        status: Some(StatusCode::OK),
        endpoint: Some(Endpoint::MESSAGES),
        answer: Some(answer.into()),
        ..Record::begun(ID, SystemTime::UNIX_EPOCH)
    }
}

impl InProgress {
    fn ends(mut self, limits: &RateLimit, record: &Record) {
        limits.on_complete(&mut self.state, record);
    }

    fn costs(self, limits: &RateLimit, input: u64, output: u64) {
        let tokens = Tokens { input: Some(input), output: Some(output), ..Tokens::default() };
        self.ends(limits, &record(Outcome::Completed, Some(tokens)));
    }

    fn reserved(&self) -> Vec<u64> {
        self.state.taken.iter().flat_map(|taken| &taken.reservations).map(quota::Reservation::amount).collect()
    }
}

/// What is used and held of the first limit by a caller.
fn standing(limits: &RateLimit, context: &Context) -> (u64, u64) {
    let (group, now) = (&limits.groups[0], limits.shared.now());
    let caller = Caller { principal: context.principal(), client: context.client, model: Some("m"), headers: &[] };
    let rule = &group.rules[0];
    let subject = group.by.subject(&caller, 0, Some(&limits.shared.subjects).filter(|_| rule.is_local()));
    let meter = rule.meters.get(subject, 100, &rule.limit, now).meter;
    (meter.used(&rule.limit, now), meter.held())
}
