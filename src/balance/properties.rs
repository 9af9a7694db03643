//! What holds for every pool and every order of requests: properties, not examples.

use proptest::collection::vec;
use proptest::prelude::*;

use std::time::{Duration, Instant};

use super::ejection::EjectionState;
use super::server::Availability;
use super::*;
use crate::dns::Resolver;

/// A request begins, or the one at this place among those under way ends.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Close(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // more begin than end, so that loads build up
    let step = prop_oneof![3 => Just(Step::Open), 2 => any::<prop::sample::Index>().prop_map(Step::Close)];
    vec(step, 1..200)
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(1_u32..=9, 1..8)
}

fn pool(balance: &str, weights: &[u32]) -> Pool {
    let servers: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| serde_json::json!({ "address": format!("127.0.0.{}:1", at + 1), "weight": weight }))
        .collect();
    let settings = serde_json::from_value(serde_json::json!({ "balance": balance, "servers": servers })).unwrap();
    Pool::new("test", &settings, &UpstreamRegistry::default(), &Resolver::default())
}

fn lease(pool: &Pool, tried: &[u64]) -> Option<Lease> {
    pool.lease(&SelectParams { tried, ..SelectParams::at(Instant::now()) }).ok()
}

fn loads(pool: &Pool) -> Vec<u64> {
    pool.servers().iter().map(|view| view.server.in_flight()).collect()
}

/// Whether a load of `a` requests on a weight is less than one of `b` on another.
fn is_less((a, a_weight): (u64, u32), (b, b_weight): (u64, u32)) -> bool {
    a * u64::from(b_weight) < b * u64::from(a_weight)
}

proptest! {
    #[test]
    fn least_conn_never_takes_a_server_while_another_has_less_to_do(weights in weights(), steps in steps()) {
        let pool = pool("least_conn", &weights);
        let mut under_way = Vec::new();
        let mut model = vec![0_u64; weights.len()];
        for step in steps {
            match step {
                Step::Open => {
                    let lease = lease(&pool, &[]).unwrap();
                    let taken = (model[lease.server_index()], weights[lease.server_index()]);
                    for other in model.iter().copied().zip(weights.iter().copied()) {
                        prop_assert!(!is_less(other, taken), "{other:?} had less than {taken:?}");
                    }
                    model[lease.server_index()] += 1;
                    under_way.push(lease);
                }
                Step::Close(index) if !under_way.is_empty() => {
                    let lease = under_way.swap_remove(index.index(under_way.len()));
                    model[lease.server_index()] -= 1;
                }
                Step::Close(_) => {}
            }
            prop_assert_eq!(loads(&pool), model.clone());
        }
        drop(under_way);
        prop_assert!(loads(&pool).iter().all(|load| *load == 0));
    }

    #[test]
    fn one_at_a_time_every_round_gives_each_its_weight(
        balance in prop_oneof![Just("least_conn"), Just("round_robin")],
        weights in weights(),
    ) {
        let pool = pool(balance, &weights);
        let round: u32 = weights.iter().sum();
        for _ in 0..3 {
            let mut taken = vec![0_u32; weights.len()];
            for _ in 0..round {
                taken[lease(&pool, &[]).unwrap().server_index()] += 1;
            }
            prop_assert_eq!(&taken, &weights);
        }
    }

    #[test]
    fn what_was_tried_is_never_taken_again(
        balance in prop_oneof![Just("least_conn"), Just("round_robin")],
        weights in weights(),
        before in 0_usize..50,
    ) {
        let pool = pool(balance, &weights);
        let _under_way: Vec<_> = (0..before).map(|_| lease(&pool, &[]).unwrap()).collect();
        let mut tried = Vec::new();
        while let Some(lease) = lease(&pool, &tried) {
            prop_assert!(!tried.contains(&lease.server().id()));
            tried.push(lease.server().id());
        }
        prop_assert_eq!(tried.len(), weights.len());
    }

    #[test]
    fn least_tokens_never_takes_a_server_while_fewer_tokens_are_asked_of_another(
        weights in weights(),
        asks in vec(1_u64..200_000, 1..100),
    ) {
        let pool = pool("least_tokens", &weights);
        let mut model = vec![0_u64; weights.len()];
        let mut under_way = Vec::new();
        for tokens in asks {
            let lease = pool.lease(&SelectParams { tokens, ..SelectParams::at(Instant::now()) }).unwrap();
            let taken = (model[lease.server_index()], weights[lease.server_index()]);
            for other in model.iter().copied().zip(weights.iter().copied()) {
                prop_assert!(!is_less(other, taken), "{other:?} had less than {taken:?}");
            }
            model[lease.server_index()] += tokens;
            under_way.push((lease, tokens));
            if under_way.len() > 20 {
                let (ended, given_back) = under_way.swap_remove(tokens as usize % 20);
                model[ended.server_index()] -= given_back;
            }
        }
        drop(under_way);
        prop_assert!(pool.servers().iter().all(|view| view.server.tokens_in_flight() == 0));
    }

    #[test]
    fn whatever_fails_there_is_a_server_and_none_in_good_standing_is_passed_over(
        weights in vec(1_u32..=9, 2..6),
        steps in vec((any::<prop::sample::Index>(), 0..5_u8, 0..15_u64), 1..200),
    ) {
        let pool = pool("least_conn", &weights);
        let servers: Vec<_> = pool.servers().into_iter().map(|view| view.server).collect();
        let mut now = Instant::now();
        let mut under_way: Vec<Lease> = Vec::new();
        let mut all_were_healthy = true;
        for (which, what, seconds) in steps {
            now += Duration::from_secs(seconds);
            let availability: Vec<_> = servers.iter().map(|server| server.availability(now)).collect();
            let is_free = |one: &Availability| one.healthy && matches!(one.ejection, EjectionState::NotEjected | EjectionState::ProbeDue);
            let somebody = availability.iter().any(is_free);
            prop_assert!(somebody || !all_were_healthy, "{availability:?}");
            match pool.lease(&SelectParams::at(now)) {
                Ok(lease) => {
                    let taken = &availability[lease.server_index()];
                    // one that is left out is never taken while another is there
                    prop_assert!(if somebody { is_free(taken) } else { taken.healthy }, "{availability:?}");
                    under_way.push(lease);
                }
                Err(_) => prop_assert!(availability.iter().all(|one| !one.healthy), "{availability:?}"),
            }
            if what == 4 {
                let server = &servers[which.index(servers.len())];
                let turns = if server.health() == Health::Unhealthy { Health::Healthy } else { Health::Unhealthy };
                server.set_health(turns, "");
                all_were_healthy = false;
            }
            if under_way.is_empty() {
                continue;
            }
            let mut lease = under_way.swap_remove(which.index(under_way.len()));
            match what {
                0 => pool.answered(&mut lease, Duration::ZERO, now),
                1 => pool.failed(&mut lease, FailureClass::Error.into(), now),
                2 => {} // it ends without a report
                _ => under_way.push(lease),
            }
        }
        let held = under_way.len() as u64;
        prop_assert_eq!(loads(&pool).iter().sum::<u64>(), held);
        drop(under_way);
        prop_assert!(loads(&pool).iter().all(|load| *load == 0));
        now += Duration::from_secs(3600);
        for server in servers.iter().filter(|server| server.health() != Health::Unhealthy) {
            let ejection = server.availability(now).ejection;
            prop_assert!(matches!(ejection, EjectionState::NotEjected | EjectionState::ProbeDue), "{ejection:?}, for ever");
        }
    }
}
