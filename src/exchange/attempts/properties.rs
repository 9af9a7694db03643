//! What holds for the attempts of any exchange, whatever happens in whatever order, beside others on the same servers.

mod script;
mod world;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::balance::SelectError;

use script::{Happening, Plan, Step, plans, steps};
use world::World;

const LIMIT: Duration = Duration::from_secs(60);

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
    /// The entry of `servers` of the present attempt.
    server_index: Option<usize>,
    /// Whether a kept connection of the present server was stale.
    was_stale: bool,
    verified_otherwise: bool,
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
        let named = matches!(event, Event::ConnectFailed(ConnectFailure::OtherVerification));
        let sent_again = |failure| failure == ConnectFailure::Closing && !self.attempts.wants_fresh_connection();
        let connect_failed = matches!(event, Event::ConnectFailed(failure) if !sent_again(failure));
        let failed_server = self.server_index;
        let (mut retried, mut reconnects) = (false, false);
        world.selects(self.attempts.upstream());
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
                Action::Reconnect if named => {
                    prop_assert!(self.state == State::Attempting && !self.verified_otherwise);
                    (self.verified_otherwise, reconnects) = (true, true);
                }
                Action::Reconnect => {
                    prop_assert_eq!(broke, Some(BreakCause::NotProcessed(Unprocessed::Unread)));
                    prop_assert!(replayable && self.state == State::Attempting && !self.was_stale);
                    (self.was_stale, reconnects) = (true, true);
                }
                Action::FailOver(_) => {
                    self.depth += 1;
                    prop_assert!(self.depth < self.plans.len(), "there are no more fallbacks");
                    (self.made, retried, self.server_index) = (0, false, None);
                    (self.was_stale, self.verified_otherwise) = (false, false);
                    self.tried.clear();
                }
                Action::Connect => {
                    let lease = self.attempts.lease().unwrap();
                    let (id, index) = (lease.server().id(), lease.server_index());
                    // another address of a server that refused the connection costs neither an attempt nor budget
                    let same_entry = self.server_index.is_some() && failed_server == Some(index);
                    let fresh = self.attempts.wants_fresh_connection();
                    let other_address = connect_failed && same_entry && !fresh;
                    if self.attempts.wants_fresh_connection() {
                        prop_assert_eq!(self.tried.last(), Some(&id));
                    } else {
                        prop_assert!(!self.tried.contains(&id), "a server twice");
                        self.tried.push(id);
                        (self.was_stale, self.verified_otherwise) = (false, false);
                    }
                    self.made += u32::from(!reconnects && !other_address);
                    prop_assert!(self.made <= self.plans[self.depth].attempts);
                    if self.made > 1 && !reconnects && !other_address {
                        world.retry(self.attempts.upstream(), &self.plans[self.depth])?;
                    }
                    prop_assert!(!other_address || retried, "an address is tried after a failure");
                    self.server_index = Some(index);
                    self.state = State::Attempting;
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
        let mut world = World::new();
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
                        server_index: None,
                        was_stale: false,
                        verified_otherwise: false,
                        ends: 0,
                    };
                    world.request(&upstream);
                    exchange.drive(Event::ServerWanted, &mut world, true)?;
                    exchanges.push(exchange);
                }
                Step::Happens { to, what, replayable } if !exchanges.is_empty() => {
                    let at = to.index(exchanges.len());
                    let exchange = &mut exchanges[at];
                    let (upstream, depth) = (exchange.attempts.upstream().clone(), exchange.depth);
                    exchange.happens(what, replayable, &mut world)?;
                    for (upstream, plan) in upstream.chain().zip(&exchange.plans[depth..]) {
                        world.check_refusals(upstream, plan)?;
                    }
                }
                Step::Happens { .. } => {}
                Step::Reload(new) => {
                    upstream = world.install(&new);
                    plans = new;
                }
                Step::Time(milliseconds) => world.now += Duration::from_millis(milliseconds),
                Step::OtherRetries(count) => {
                    for (upstream, plan) in upstream.chain().zip(&plans) {
                        world.other_retries(upstream, plan, count);
                    }
                }
                Step::Addresses { server, count } => world.set_addresses(0, server, count),
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
