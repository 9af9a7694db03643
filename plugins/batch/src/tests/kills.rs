//! A gateway that dies at any moment: each call that was accepted is answered, and no call is in two batches.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::provider::{Inner, Luck, World};
use super::*;

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        Just(Luck::Fine),
        Just(Luck::LostBefore),
        Just(Luck::LostAfter),
        Just(Luck::FailedAfter),
        Just(Luck::PutOff)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_accepted_call_is_answered_and_in_one_batch_whatever_dies(
        is_anthropic: bool,
        luck in prop::collection::vec(luck(), 0..8),
        looks in 0u32..3,
        lives in prop::collection::vec((0usize..7, 0u64..12_000), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = if is_anthropic { Api::Messages } else { Api::Chat };
            let folder = Folder::new();
            let world = Arc::new(World(Mutex::new(Inner { luck, looks, ..Inner::default() })));
            let (mut accepted, mut number) = (Vec::new(), 0);
            for (calls, micros) in lives {
                let calls = (0..calls).map(|_| { number += 1; call(api, number) }).collect();
                accepted.extend(live(&folder, &world, calls, Until::Killed(Duration::from_micros(micros))).await);
            }
            live(&folder, &world, Vec::new(), Until::Answered(&accepted)).await;
            let inner = world.0.lock().unwrap();
            let submitted: Vec<&String> = inner.batches.iter().flat_map(|batch| &batch.calls).collect();
            let different: HashSet<&&String> = submitted.iter().collect();
            assert_eq!(different.len(), submitted.len(), "a call is in two batches");
            assert!(accepted.iter().all(|id| submitted.contains(&&id.to_string())));
        });
    }
}
