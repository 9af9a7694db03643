//! What is learned of calls, from the first to those that are long ago, in bounded memory.

use super::*;

#[test]
fn every_number_lies_in_its_half_octave() {
    for number in 1..100_000 {
        let place = half_octave(number);
        assert!(number <= longest_of(place), "{number}");
        assert!(place < 2 || number > longest_of(place - 1) || place == 1, "{number}");
        assert!(longest_of(place) < number * 3 / 2 + 1, "{number}");
    }
}

#[test]
fn answers_are_taken_for_long_until_twenty_are_known_and_then_for_what_most_of_them_are() {
    let estimates = Estimates::default();
    let of = |caller| estimates.of("m", Some(caller), Caution::Expected, 0);
    let (alice, bob) = (of("alice"), of("bob"));
    for _ in 0..19 {
        alice.learn_output(200);
    }
    assert_eq!(alice.output(), START_OUTPUT);
    alice.learn_output(200);
    assert_eq!((alice.output(), of("alice").output()), (255, 255));
    // one in twenty-one is rare, a tenth is not
    alice.learn_output(30_000);
    assert_eq!(alice.output(), 255);
    (0..3).for_each(|_| alice.learn_output(30_000));
    assert_eq!(alice.output(), 32_767);
    assert_eq!(bob.output(), START_OUTPUT);
    // what is long ago is forgotten
    (0..2000).for_each(|_| alice.learn_output(10));
    assert_eq!(alice.output(), 11);
}

#[test]
fn bytes_for_a_token_follow_the_model_and_caution_keeps_to_the_fewest_of_the_callers_own() {
    let estimates = Estimates::default();
    let (alice, bob) = (Some("alice"), Some("bob"));
    let expected = |caller, bytes| estimates.of("m", caller, Caution::Expected, 0).input(bytes);
    let most = |caller, bytes| estimates.of("m", caller, Caution::Most, 0).input(bytes);
    let learn = |bytes, tokens, counted| {
        for caution in [Caution::Expected, Caution::Most] {
            estimates.of("m", alice, caution, 0).learn_input(bytes, tokens, counted);
        }
    };
    assert_eq!(expected(alice, 3000), 1000);
    (0..200).for_each(|_| learn(4000, 1000, 1000));
    assert!((1000..1010).contains(&expected(alice, 4000)), "{}", expected(alice, 4000));
    assert_eq!(expected(bob, 4000), expected(alice, 4000));
    assert_eq!(most(bob, 4000), 4000);
    assert!(most(alice, 4000) < 1500, "{}", most(alice, 4000));
    learn(1000, 1000, 1000);
    assert!(most(alice, 1000) >= 1000);
    assert!(expected(alice, 1000) < 400);
    // what is read from a cache counts little
    (0..200).for_each(|_| learn(4000, 1000, 100));
    assert!((100..105).contains(&expected(alice, 4000)), "{}", expected(alice, 4000));
    // figures that make no sense make none here
    learn(0, 5, 5);
    learn(5, 0, 0);
    learn(u64::MAX, 1, 0);
    assert!(most(alice, u64::MAX) > 0);
}

#[test]
fn the_usual_length_is_what_counting_from_the_longest_says() {
    let (mut counts, mut random) = (Histogram { of: [0; 44], all: 0, usual: 0, longer: 0 }, 1_u64);
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        counts.add((random >> 11) >> (random % 53));
        let mut longer = 0;
        let place = counts.of.iter().rposition(|count| {
            longer += u16::from(*count);
            longer * 20 > counts.all
        });
        assert_eq!((Some(counts.usual), counts.all), (place, counts.of.iter().map(|count| u16::from(*count)).sum()));
    }
}

#[test]
fn images_do_not_teach_caution_to_take_text_for_little() {
    let estimates = Estimates::default();
    let careful = estimates.of("m", None, Caution::Most, 0);
    (0..1000).for_each(|_| careful.learn_input(400_000, 1600, 1600));
    assert!(careful.input(400_000) >= 100_000);
}

#[test]
fn four_thousand_pairs_of_a_caller_and_a_model_that_call_by_turns_are_all_known() {
    const PAIRS: u64 = 4000;
    let estimates = Estimates::default();
    let most = |number: u64, now| estimates.of("m", Some(&number.to_string()), Caution::Most, now);
    let mut number = 1_u64;
    for call in 0..20 * PAIRS {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pair = most((number >> 33) % PAIRS, call * 1_000_000);
        (0..100).for_each(|_| pair.learn_input(4000, 1000, 1000));
    }
    let known = estimates.pairs.len();
    assert!(known as u64 > PAIRS / 10 * 9, "{known}");
    assert!((0..PAIRS).filter(|number| most(*number, u64::MAX).input(4000) < 1500).count() as u64 > PAIRS / 10 * 9);
}

#[test]
fn a_caller_for_whom_there_is_no_room_has_what_is_known_of_the_model() {
    let estimates = Estimates::default();
    let of = |caller: &str| estimates.of("m", Some(caller), Caution::Expected, 0);
    (0..200).for_each(|_| of("alice").learn_input(400_000, 1600, 1600));
    // they stay in use, so that none makes way
    let busy: Vec<_> = (0..3 * MOST_PAIRS).map(|number| of(&number.to_string())).collect();
    assert!(busy.iter().all(|estimate| estimate.input(400_000) < 2000));
    (0..200).for_each(|_| of("nobody").learn_input(4000, 1000, 1000));
    assert!((990..1010).contains(&of("alice").input(4000)), "{}", of("alice").input(4000));
}

#[test]
fn ten_thousand_made_up_models_take_no_more_memory_than_they_may() {
    let estimates = Estimates::default();
    for number in 0..100_000_u64 {
        let estimate = estimates.of(&number.to_string(), None, Caution::Expected, number);
        estimate.learn_output(5);
        estimate.learn_input(5, 5, 5);
    }
    assert!(estimates.models.len() <= MOST_PAIRS && estimates.pairs.len() <= MOST_PAIRS);
}
