//! What holds for the attempts of any exchange, whatever happens in whatever order, beside others on the same servers.

use std::collections::HashMap;

use http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::json;

use super::*;
use crate::balance::{SelectError, UpstreamRegistry};
use crate::dns::Resolver;

const LIMIT: Duration = Duration::from_secs(60);
const RETRY_ON: [&str; 7] = ["connect", "error", "invalid_header", "timeout", "http_429", "http_503", "http_529"];

/// The settings of an upstream.
#[derive(Clone, Debug)]
struct Plan {
    servers: usize,
    max_conns: u32,
    attempts: u32,
    budget: u64,
    on: Vec<&'static str>,
    non_idempotent: bool,
    queue: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let on = subsequence(RETRY_ON.to_vec(), 0..=RETRY_ON.len());
    (1_usize..4, 1_u32..4, 1_u32..5, select(vec![0_u64, 20, 1000]), on, any::<bool>(), any::<bool>()).prop_map(
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
fn plans() -> impl Strategy<Value = Vec<Plan>> {
    vec(plan(), 1..4)
}

#[derive(Clone, Debug)]
enum Step {
    /// A request comes.
    Begin { idempotent: bool },
    /// Something happens to one that is under way.
    Happens { to: Index, what: Happening, replayable: bool },
    /// The configuration is replaced. Requests under way keep theirs.
    Reload(Vec<Plan>),
    /// Milliseconds go by.
    Time(u64),
}

#[derive(Clone, Debug)]
enum Happening {
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
    let connect =
        select(vec![ConnectFailure::Refused, ConnectFailure::Timeout, ConnectFailure::Tls, ConnectFailure::Closing]);
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
        BreakCause::Closed { may_be_stale: true },
        BreakCause::Closed { may_be_stale: false },
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

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let happens = (any::<Index>(), happening(), prop::bool::weighted(0.8))
        .prop_map(|(to, what, replayable)| Step::Happens { to, what, replayable });
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|idempotent| Step::Begin { idempotent }),
        12 => happens,
        1 => plans().prop_map(Step::Reload),
        2 => (1_u64..20_000).prop_map(Step::Time),
    ];
    vec(step, 1..120)
}

/// All upstreams there ever were, and the clock.
struct World {
    registry: UpstreamRegistry,
    resolver: Resolver,
    now: Instant,
    upstreams: Vec<Arc<Upstream>>,
    connects: u64,
}

impl World {
    fn install(&mut self, plans: &[Plan]) -> Arc<Upstream> {
        let mut built: Option<Arc<Upstream>> = None;
        for (index, plan) in plans.iter().enumerate().rev() {
            let address = |at| json!({ "address": format!("127.0.{index}.{at}:1"), "max_conns": plan.max_conns });
            let mut settings = json!({
                "servers": (1..=plan.servers).map(address).collect::<Vec<_>>(),
                "retry": {
                    "attempts": plan.attempts,
                    "budget": format!("{}%", plan.budget),
                    "on": plan.on,
                    "non_idempotent": plan.non_idempotent,
                },
            });
            if plan.queue {
                settings["queue"] = json!({ "size": 10, "timeout": "1s" });
            }
            if built.is_some() {
                settings["fallback"] = format!("up{}", index + 1).into();
            }
            let settings = serde_json::from_value(settings).unwrap();
            let name = format!("up{index}");
            let upstream = Upstream::new(&name, index, &settings, &self.registry, &self.resolver, built);
            upstream.pool.activate();
            let upstream = Arc::new(upstream);
            self.upstreams.push(upstream.clone());
            built = Some(upstream);
        }
        built.unwrap()
    }

    /// What each server, by its id, has in flight and how often it was blamed.
    fn servers(&self) -> HashMap<u64, (u64, u64)> {
        let servers = self.upstreams.iter().flat_map(|upstream| upstream.pool.servers());
        let figures = |server: &crate::balance::Server| {
            (server.in_flight(), server.failures().map(|(_, count)| count).sum::<u64>())
        };
        servers.map(|view| (view.server.id(), figures(&view.server))).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Attempting,
    Passing,
    Over,
}

/// One exchange, and what the laws say of it.
struct Exchange {
    attempts: Attempts,
    plans: Vec<Plan>,
    idempotent: bool,
    state: State,
    depth: usize,
    /// Servers of the present upstream that were connected to.
    tried: Vec<u64>,
    /// Attempts on the present upstream.
    made: u32,
    /// Whether a kept connection of the present server was stale.
    was_stale: bool,
    began: Instant,
    ends: u32,
}

impl Exchange {
    /// Drives it until it waits for something, holding each action against the laws.
    fn drive(&mut self, event: Event<'_>, world: &mut World, replayable: bool) -> Result<(), TestCaseError> {
        let broke = match &event {
            Event::Broke { cause, .. } => Some(*cause),
            _ => None,
        };
        let needs_replay = broke.is_some() || matches!(event, Event::Answered { .. });
        let (mut retried, mut reconnects) = (false, false);
        let mut action = self.attempts.on(event, world.now);
        loop {
            match action {
                Action::Retry(_) => {
                    prop_assert_eq!(self.state, State::Attempting, "no replay once the client has a byte");
                    prop_assert!(replayable || !needs_replay);
                    prop_assert!(world.now < self.attempts.deadline());
                    if let Some(cause) = broke {
                        let may_repeat = self.idempotent || self.plans[self.depth].non_idempotent;
                        let unprocessed = matches!(cause, BreakCause::NotProcessed(_));
                        prop_assert!(may_repeat || unprocessed, "{:?} may have been processed", cause);
                    }
                    retried = true;
                }
                Action::Reconnect => {
                    prop_assert_eq!(broke, Some(BreakCause::Closed { may_be_stale: true }));
                    prop_assert!(replayable && self.state == State::Attempting && !self.was_stale);
                    prop_assert!(world.now - self.began < STALE_SHOWS);
                    (self.was_stale, reconnects) = (true, true);
                }
                Action::FailOver(_) => {
                    self.depth += 1;
                    prop_assert!(self.depth < self.plans.len(), "there are no more fallbacks");
                    (self.made, retried, self.was_stale) = (0, false, false);
                    self.tried.clear();
                }
                Action::Connect => {
                    let id = self.attempts.lease().unwrap().server().id();
                    if self.attempts.wants_fresh_connection() {
                        prop_assert_eq!(self.tried.last(), Some(&id));
                    } else {
                        prop_assert!(!self.tried.contains(&id), "a server twice");
                        self.tried.push(id);
                        self.was_stale = false;
                    }
                    self.made += u32::from(!reconnects);
                    prop_assert!(self.made <= self.plans[self.depth].attempts);
                    prop_assert!(!retried || self.plans[self.depth].budget > 0, "no budget, no retry");
                    (self.state, self.began) = (State::Attempting, world.now);
                    world.connects += 1;
                    return Ok(());
                }
                Action::Wait(_) => {
                    prop_assert!(self.plans[self.depth].queue);
                    self.state = State::Waiting;
                    return Ok(());
                }
                Action::Pass => {
                    self.state = State::Passing;
                    return Ok(());
                }
                Action::GiveUp(_) => {
                    self.ends += 1;
                    self.state = State::Over;
                    return Ok(());
                }
            }
            action = self.attempts.on(Event::ServerWanted, world.now);
        }
    }

    /// What happens is possible only in some states; the rest is passed over.
    fn happens(&mut self, what: Happening, replayable: bool, world: &mut World) -> Result<(), TestCaseError> {
        let event = match (what, self.state) {
            (Happening::ConnectFailed(failure), State::Attempting) => Event::ConnectFailed(failure),
            (Happening::Upgraded, State::Attempting) => Event::Upgraded,
            (Happening::Answered(status, hint), State::Attempting) => {
                let hint = hint.map(|hint| ("x-should-retry".parse().unwrap(), HeaderValue::from_static(hint)));
                let headers = hint.into_iter().collect();
                let status = StatusCode::from_u16(status).unwrap();
                return self.drive(Event::Answered { status, headers: &headers, replayable }, world, replayable);
            }
            (Happening::Broke(cause), State::Attempting | State::Passing) => Event::Broke { cause, replayable },
            (Happening::Room, State::Waiting) => {
                let params = self.attempts.params(world.now);
                Event::QueueEnded(self.attempts.upstream().pool.lease(&params).map_err(|_| SelectError::QueueTimeout))
            }
            (Happening::NoRoom(error), State::Waiting) => Event::QueueEnded(Err(error)),
            (Happening::ClientLeft, State::Waiting) => Event::ClientLeft,
            (Happening::TimeOver, State::Waiting) => Event::TimeOver,
            (Happening::Ended, State::Passing) => {
                self.attempts.release();
                self.ends += 1;
                self.state = State::Over;
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.drive(event, world, replayable)
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_law_of_attempts_is_kept(plans in plans(), steps in steps()) {
        let mut world = World {
            registry: UpstreamRegistry::default(),
            resolver: Resolver::default(),
            now: Instant::now(),
            upstreams: Vec::new(),
            connects: 0,
        };
        let mut plans = plans;
        let mut upstream = world.install(&plans);
        let mut exchanges: Vec<Exchange> = Vec::new();
        for step in steps {
            match step {
                Step::Begin { idempotent } => {
                    let demand = Demand { idempotent, ..Demand::default() };
                    let attempts = Attempts::new(upstream.clone(), demand, world.now + LIMIT, world.now);
                    let mut exchange = Exchange {
                        attempts,
                        plans: plans.clone(),
                        idempotent,
                        state: State::Waiting,
                        depth: 0,
                        tried: Vec::new(),
                        made: 0,
                        was_stale: false,
                        began: world.now,
                        ends: 0,
                    };
                    exchange.drive(Event::ServerWanted, &mut world, true)?;
                    exchanges.push(exchange);
                }
                Step::Happens { to, what, replayable } if !exchanges.is_empty() => {
                    let at = to.index(exchanges.len());
                    exchanges[at].happens(what, replayable, &mut world)?;
                }
                Step::Happens { .. } => {}
                Step::Reload(new) => {
                    upstream = world.install(&new);
                    plans = new;
                }
                Step::Time(milliseconds) => world.now += Duration::from_millis(milliseconds),
            }
            let servers = world.servers();
            let held = exchanges.iter().filter(|one| matches!(one.state, State::Attempting | State::Passing)).count();
            prop_assert_eq!(servers.values().map(|(in_flight, _)| in_flight).sum::<u64>(), held as u64);
            let blamed = servers.values().map(|(_, blamed)| blamed).sum::<u64>();
            prop_assert!(blamed <= world.connects, "{} blamed of {}", blamed, world.connects);
        }
        for exchange in &mut exchanges {
            let over = exchange.state == State::Over;
            prop_assert_eq!(exchange.ends, u32::from(over), "it ends once");
            if over {
                let action = exchange.attempts.on(Event::ServerWanted, world.now);
                prop_assert!(matches!(action, Action::GiveUp(_)), "nothing begins after the end");
            }
        }
        drop(exchanges);
        prop_assert!(world.servers().values().all(|(in_flight, _)| *in_flight == 0), "leases are given back");
    }
}
