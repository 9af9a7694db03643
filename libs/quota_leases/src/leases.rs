//! Reserves of limits that are shared: out of leases where they suffice, else after one bounded wait for Redis.

mod background;
mod event;

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quota::{Claim, Clock, Fit, Meter, Now, OnSilence, Refused, Reservation, reserve};
use redis_link::{Address, LinkConfig, RedisLink};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::timeout_at;

use crate::active::{Active, ActiveMeters, Count};
use crate::script::{self, Drawn, Outcome};

use event::Listener;

pub use event::LeaseEvent;

/// How many connections to a server.
const CONNECTIONS: u8 = 2;
/// A report that no call waits for may take so many times as long.
const BACKGROUND_TIMEOUTS: u32 = 5;
/// So long the number of gateways counts that was seen.
const GATEWAYS_REMEMBERED: Duration = Duration::from_secs(600);

/// How limits are shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseConfig {
    /// Where the Redis is.
    pub address: Address,
    /// How long a call waits for Redis at most.
    pub timeout: Duration,
    /// What the keys in Redis begin with.
    pub prefix: String,
    /// What happens while Redis does not answer.
    pub on_silence: OnSilence,
}

/// Limits that are shared through one Redis.
#[derive(Debug)]
pub struct Leases {
    config: LeaseConfig,
    link: Arc<RedisLink>,
    /// The name of this process among the holders of leases: random, so that it is new after a restart.
    gateway: String,
    active: ActiveMeters,
    clock: Arc<Clock>,
    /// Nanoseconds by which Redis' clock is ahead of this machine's.
    clock_offset: AtomicI64,
    /// The most gateways that had a lease of the same count lately, and when that was.
    gateways: Mutex<(u64, Instant)>,
    listener: Listener,
}

/// Why nothing was reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A limit has no room.
    Limit(Refused),
    /// Redis does not answer, and then nothing is admitted.
    Silent,
}

impl Leases {
    /// Starts to share limits through a Redis, which need not be there. `clock` is that of all who use them.
    ///
    /// # Errors
    /// There is no thread to be had, or no random number.
    pub fn start(
        config: LeaseConfig,
        clock: Arc<Clock>,
        listener: impl Fn(LeaseEvent) + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        let link = LinkConfig {
            name: "limits",
            purpose: "the shared count of limits",
            address: config.address.clone(),
            connections: CONNECTIONS,
            timeout: config.timeout,
        };
        let link = RedisLink::start(link, |prober| prober.run(background::PROBE_INTERVAL))?;
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random number"))?;
        let leases = Arc::new(Self {
            config,
            link,
            gateway: format!("{:016x}", u64::from_be_bytes(random)),
            active: ActiveMeters::default(),
            clock,
            clock_offset: AtomicI64::new(0),
            gateways: Mutex::new((1, Instant::now())),
            listener: Listener(Box::new(listener)),
        });
        leases.link.spawn(background::run(Arc::downgrade(&leases)));
        Ok(leases)
    }

    /// The time, by Redis' clock as far as it is known to differ.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now_ahead(self.clock_offset.load(Ordering::Relaxed))
    }

    /// Whether Redis is left out because it fails.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.link.breaker().is_open()
    }

    /// Reserves all of these claims on leased meters, or none. `counts` are theirs, in the same order. Waits for Redis where a lease
    /// does not suffice, and no longer than the timeout. `now` is by [`now`](Self::now).
    ///
    /// # Errors
    /// Why nothing was reserved.
    pub async fn reserve(
        self: &Arc<Self>,
        claims: &[Claim],
        counts: &[Count],
        now: Now,
    ) -> Result<Vec<Reservation>, Denied> {
        let reservations = match reserve(claims.to_vec(), now) {
            Ok(reservations) => reservations,
            Err(_) => self.draw_and_reserve(claims, counts).await?,
        };
        reservations.iter().filter(|one| one.is_low()).for_each(|one| self.renew(one.meter()));
        Ok(reservations)
    }

    /// Ends a reservation: so much was used. `now` is by [`now`](Self::now).
    pub fn settle(self: &Arc<Self>, reservation: Reservation, used: u64, now: Now) {
        let meter = reservation.meter().clone();
        if reservation.settle(used, now) {
            self.renew(&meter);
        }
    }

    async fn draw_and_reserve(&self, claims: &[Claim], counts: &[Count]) -> Result<Vec<Reservation>, Denied> {
        let deadline = Instant::now() + self.config.timeout;
        loop {
            let now = self.now();
            let short = |claim: &Claim| claim.meter().fit(claim.limit(), claim.amount(), now) != Fit::Fits;
            let claimed = claims.iter().zip(counts).enumerate().filter(|(_, (claim, _))| short(claim));
            let drawn =
                claimed.map(async |(place, (claim, count))| (place, self.draw_for(claim, *count, deadline).await));
            let mut refused = None::<Refused>;
            for (claim, drawn) in join_all(drawn).await {
                match drawn {
                    Ok(()) => {}
                    Err(Denied::Silent) => return Err(Denied::Silent),
                    Err(Denied::Limit(one)) => {
                        let one = Refused { claim, ..one };
                        refused = Some(refused.filter(|other| other.wait_nanos >= one.wait_nanos).unwrap_or(one));
                    }
                }
            }
            if let Some(refused) = refused {
                return Err(Denied::Limit(refused));
            }
            // others may have taken what was drawn; then it is drawn again
            if let Ok(reservations) = reserve(claims.to_vec(), self.now()) {
                return Ok(reservations);
            }
        }
    }

    /// Sees to it that a claim fits, or says why it does not.
    async fn draw_for(&self, claim: &Claim, count: Count, deadline: Instant) -> Result<(), Denied> {
        let (meter, limit, amount) = (claim.meter(), claim.limit(), claim.amount());
        let active = self.active.of(claim, count, &self.config.prefix, &self.gateway);
        let waiting = active.wait(amount);
        let Ok(gate) = timeout_at(deadline.into(), active.gate.lock()).await else {
            self.unanswered(meter, limit, "busy");
            return self.by_itself(claim);
        };
        drop(waiting);
        // another call may have drawn for this one
        match meter.fit(limit, amount, self.now()) {
            Fit::Fits => return Ok(()),
            Fit::Refused { wait_nanos, standing } => {
                return Err(Denied::Limit(Refused { claim: 0, wait_nanos, standing }));
            }
            Fit::Silent if self.is_failing() => return self.by_itself(claim),
            Fit::Silent | Fit::Ask => {}
        }
        let grant = self.draw(&active, amount, deadline.saturating_duration_since(Instant::now())).await;
        drop(gate);
        match grant {
            Some(Drawn { outcome: Outcome::Counted(grant), .. }) if !grant.is_granted => {
                let memory = u64::try_from(self.config.timeout.as_nanos()).unwrap_or(u64::MAX);
                let (wait_nanos, standing) = meter.refused(limit, amount, &grant, memory, self.now());
                Err(Denied::Limit(Refused { claim: 0, wait_nanos, standing }))
            }
            Some(_) => Ok(()),
            None => self.by_itself(claim),
        }
    }

    /// Decides without Redis.
    fn by_itself(&self, claim: &Claim) -> Result<(), Denied> {
        let now = self.now();
        match claim.meter().fit(claim.limit(), claim.amount(), now) {
            Fit::Fits => Ok(()),
            _ if self.config.on_silence == OnSilence::Refuse => Err(Denied::Silent),
            _ => Err(Denied::Limit(refusal(claim, now))),
        }
    }

    /// One report to Redis, with a request where the amount is not 0; `None` if it was not answered. To be called by who has the gate.
    async fn draw(&self, active: &Active, amount: u64, limit: Duration) -> Option<Drawn> {
        let (meter, allowed) = (&active.meter, active.limit());
        let connected = self.link.connected(limit).await;
        let draw = meter.draw(&allowed, amount, active.others_wait_for(0), self.now())?;
        let (key, holder) = (active.key.clone(), active.holder.clone());
        let work = self.link.run_within(limit.saturating_sub(connected), async move |redis| {
            script::draw(&redis, &key, &holder, &draw, &allowed).await
        });
        match work.await {
            Ok(drawn) => {
                match drawn.outcome {
                    Outcome::Counted(grant) => {
                        meter.granted(&allowed, &draw, &grant, self.now());
                        self.saw(grant.gateways);
                        (self.listener.0)(if grant.is_granted { LeaseEvent::Granted } else { LeaseEvent::Exhausted });
                    }
                    Outcome::OtherWindow => {
                        let ahead = drawn.time.saturating_mul(1000).saturating_sub(self.clock.time_of_day());
                        self.clock_offset.store(ahead, Ordering::Relaxed);
                        meter.forget_window();
                    }
                    Outcome::Late => {}
                }
                Some(drawn)
            }
            Err(error) => {
                self.unanswered(meter, &allowed, error.as_str());
                None
            }
        }
    }

    fn unanswered(&self, meter: &Meter, limit: &quota::Limit, why: &'static str) {
        let (gateways, _) = *self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        meter.unanswered(limit, self.config.on_silence, gateways, self.now());
        (self.listener.0)(LeaseEvent::Unanswered(why));
    }

    /// So many gateways have a lease of one count.
    fn saw(&self, gateways: u64) {
        let mut seen = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if gateways >= seen.0 || seen.1.elapsed() > GATEWAYS_REMEMBERED {
            *seen = (gateways, Instant::now());
        }
    }
}

#[cfg(test)]
impl Leases {
    /// Makes the clock wrong, by seconds.
    pub(crate) fn set_clock_wrong_by(&self, seconds: i64) {
        self.clock_offset.store(seconds * 1_000_000_000, Ordering::Relaxed);
    }

    /// Looks after nothing any more, as a process that was killed.
    pub(crate) fn die(&self) {
        self.active.forget();
    }
}

/// The refusal of a claim that has no room in the gateway's own share.
fn refusal(claim: &Claim, now: Now) -> Refused {
    let standing = claim.meter().standing(claim.limit(), now);
    match reserve(vec![claim.clone()], now) {
        Err(refused) => refused,
        Ok(_) => Refused { claim: 0, wait_nanos: 1, standing },
    }
}
