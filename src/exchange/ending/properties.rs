//! What holds however an exchange ends.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Head(Option<u64>),
    AnsweredHere(Outcome),
    Piece { bytes: u64, part: Part },
    Predict,
    HandOff,
    End { failure: Option<Failure>, broken: bool, share: u64, left: bool },
    Cut { expired: Option<Expired>, relayed: Option<(u64, bool)> },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let failure = select(vec![Failure::ClientGone, Failure::BrokenAnswer, Failure::TotalTimeout, Failure::Connect]);
    let expired = select(vec![Expired::Idle, Expired::Stalled, Expired::Total, Expired::Upgraded]);
    let part = select(vec![Part::Some, Part::Some, Part::Complete, Part::Last]);
    let event = prop_oneof![
        2 => option::of(0_u64..50).prop_map(Event::Head),
        1 => select(vec![Outcome::Refused, Outcome::Cached]).prop_map(Event::AnsweredHere),
        8 => (0_u64..20, part).prop_map(|(bytes, part)| Event::Piece { bytes, part }),
        2 => Just(Event::Predict),
        1 => Just(Event::HandOff),
        2 => (option::of(failure), any::<bool>(), 0_u64..=100, any::<bool>())
            .prop_map(|(failure, broken, share, left)| Event::End { failure, broken, share, left }),
        2 => (option::of(expired), option::of((0_u64..=100, any::<bool>())))
            .prop_map(|(expired, relayed)| Event::Cut { expired, relayed }),
    ];
    vec(event, 1..25)
}

proptest! {
    #[test]
    fn an_exchange_has_one_end_and_claims_nothing_the_client_has_not_got(events in events()) {
        let mut ending = Ending::default();
        let (mut passed, mut complete, mut here) = (0, None, None);
        let (mut over, mut predicted, mut verdicts) = (false, false, 0);
        for event in events {
            let mut due = false;
            let mut verdict = None;
            let mut delivered = None;
            match event {
                Event::Head(length) => {
                    // nothing begins again behind a complete response
                    if complete.is_none() {
                        passed = 0;
                        due = ending.head(length);
                    }
                }
                Event::AnsweredHere(outcome) => {
                    here = Some(outcome);
                    ending.answered_here(outcome);
                }
                Event::Piece { bytes, part } => {
                    let written = passed;
                    passed += bytes;
                    if part == Part::Complete && complete.is_none() {
                        complete = Some(passed);
                    }
                    due = ending.piece(Piece { bytes, written, part }, || Duration::from_secs(1));
                    prop_assert!(over || predicted || part == Part::Some || due, "what ends it is predicted");
                }
                Event::Predict => {
                    let said = ending.predict(None, None);
                    prop_assert_eq!(said.outcome, here.unwrap_or(Outcome::Completed));
                    prop_assert_eq!(said.response_bytes, passed);
                    predicted = true;
                }
                Event::HandOff => {
                    ending.hand_off();
                    over = true;
                }
                Event::End { failure, broken, share, left } => {
                    let bytes = passed * share / 100;
                    verdict = ending.end(failure, broken, Relayed { bytes, left });
                    delivered = Some((bytes, left));
                }
                Event::Cut { expired, relayed } => {
                    let relayed = relayed.map(|(share, left)| Relayed { bytes: passed * share / 100, left });
                    verdict = ending.cut(expired, relayed);
                    if let (Some(said), Some(complete)) = (verdict, complete) {
                        let left = relayed.is_some_and(|relayed| relayed.left);
                        if complete <= said.response_bytes && !left {
                            prop_assert_eq!(said.outcome, here.unwrap_or(Outcome::Completed), "it was delivered");
                            prop_assert!(said.failure.is_none());
                        } else {
                            prop_assert!(said.failure.is_some());
                        }
                    }
                    delivered = relayed.map(|relayed| (relayed.bytes, relayed.left));
                }
            }
            prop_assert!(!due || !over && !predicted, "an end is predicted once");
            if let Some(verdict) = verdict {
                prop_assert!(!over, "an exchange has one end");
                verdicts += 1;
                over = true;
                prop_assert!(verdict.response_bytes <= passed);
                if let Some((bytes, left)) = delivered {
                    prop_assert_eq!(verdict.response_bytes, bytes);
                    prop_assert!(!left || verdict.outcome == Outcome::ClientGone);
                }
                let is_delivered = matches!(verdict.outcome, Outcome::Completed | Outcome::Cached);
                prop_assert!(verdict.took.is_none() || is_delivered && complete.is_some());
            }
            prop_assert_eq!(ending.is_over(), over);
        }
        prop_assert!(verdicts <= 1);
        prop_assert_eq!(ending.cut(None, None).is_some(), !over, "whatever is dropped has its end");
    }
}
