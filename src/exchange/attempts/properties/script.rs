//! What happens in the test: settings of upstreams, and events in any order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::balance::SelectError;
use crate::exchange::attempts::{BreakCause, ConnectFailure, Unprocessed};
use crate::exchange::deadlines::Expired;
use crate::exchange::failure::Failure;

const RETRY_ON: [&str; 7] = ["connect", "error", "invalid_header", "timeout", "http_429", "http_503", "http_529"];

/// The settings of an upstream.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many addresses the name of each server has.
    pub servers: Vec<u8>,
    pub max_conns: u32,
    pub attempts: u32,
    /// The retry budget, in percent.
    pub budget: u64,
    pub on: Vec<&'static str>,
    pub non_idempotent: bool,
    pub queue: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let on = subsequence(RETRY_ON.to_vec(), 0..=RETRY_ON.len());
    let budget = select(vec![0_u64, 1, 20, 100, 1000]);
    (vec(1_u8..4, 1..4), 1_u32..4, 1_u32..5, budget, on, any::<bool>(), any::<bool>()).prop_map(
        |(servers, max_conns, attempts, budget, on, non_idempotent, queue)| Plan {
            servers,
            max_conns,
            attempts,
            budget,
            on,
            non_idempotent,
            queue,
        },
    )
}

/// A chain of upstreams, each the fallback of the one before.
pub fn plans() -> impl Strategy<Value = Vec<Plan>> {
    vec(plan(), 1..4)
}

#[derive(Clone, Debug)]
pub enum Step {
    /// A request comes.
    Begin { idempotent: bool },
    /// Something happens to one that is under way.
    Happens { to: Index, what: Happening, replayable: bool },
    /// The configuration is replaced. Requests under way keep theirs.
    Reload(Vec<Plan>),
    /// Milliseconds go by.
    Time(u64),
    /// Other requests of the upstreams in force take so many retries.
    OtherRetries(usize),
    /// A server's name has so many addresses from now on.
    Addresses { server: usize, count: u8 },
}

#[derive(Clone, Debug)]
pub enum Happening {
    ConnectFailed(ConnectFailure),
    Answered(u16, Option<&'static str>),
    Upgraded,
    Broke(BreakCause),
    Room,
    NoRoom(SelectError),
    ClientLeft,
    TimeOver,
    Ended,
}

fn happening() -> impl Strategy<Value = Happening> {
    let connect = select(vec![
        ConnectFailure::Refused,
        ConnectFailure::Timeout,
        ConnectFailure::Tls,
        ConnectFailure::OtherVerification,
        ConnectFailure::Closing,
    ]);
    let cause = select(vec![
        BreakCause::Deadline(Expired::FirstByte),
        BreakCause::Deadline(Expired::Send),
        BreakCause::Deadline(Expired::RequestBody),
        BreakCause::Deadline(Expired::Total),
        BreakCause::Client(Failure::ClientGone),
        BreakCause::ReadTimeout,
        BreakCause::PluginPanic,
        BreakCause::Transform,
        BreakCause::Internal,
        BreakCause::NotHttp,
        BreakCause::NotProcessed(Unprocessed::Closing),
        BreakCause::NotProcessed(Unprocessed::Failing),
        BreakCause::NotProcessed(Unprocessed::Refused),
        BreakCause::NotProcessed(Unprocessed::WantsHttp1),
        BreakCause::NotProcessed(Unprocessed::Unsent),
        BreakCause::NotProcessed(Unprocessed::Unread),
        BreakCause::Closed,
    ]);
    let status = (select(vec![200_u16, 404, 429, 503, 529]), select(vec![None, None, Some("true"), Some("false")]));
    prop_oneof![
        3 => connect.prop_map(Happening::ConnectFailed),
        4 => status.prop_map(|(status, hint)| Happening::Answered(status, hint)),
        1 => Just(Happening::Upgraded),
        5 => cause.prop_map(Happening::Broke),
        2 => Just(Happening::Room),
        1 => select(vec![SelectError::QueueFull, SelectError::QueueTimeout]).prop_map(Happening::NoRoom),
        1 => Just(Happening::ClientLeft),
        1 => Just(Happening::TimeOver),
        2 => Just(Happening::Ended),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let happens = (any::<Index>(), happening(), prop::bool::weighted(0.8))
        .prop_map(|(to, what, replayable)| Step::Happens { to, what, replayable });
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|idempotent| Step::Begin { idempotent }),
        12 => happens,
        1 => plans().prop_map(Step::Reload),
        2 => (1_u64..20_000).prop_map(Step::Time),
        1 => (1_usize..120).prop_map(Step::OtherRetries),
        1 => (1_usize..4, 1_u8..4).prop_map(|(server, count)| Step::Addresses { server, count }),
    ];
    vec(step, 1..120)
}
