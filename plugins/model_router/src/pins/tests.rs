use std::fs;
use std::io::Write;

use plugin_api::testing::TestFolder;

use super::*;

fn key(n: u128) -> PinKey {
    n.to_be_bytes()
}

fn pin(model: &str) -> Pin {
    Pin { model: model.into(), rule: "1".into() }
}

#[test]
fn what_a_conversation_keeps_stays_until_it_is_set_anew() {
    let pins = Pins::default();
    assert_eq!(pins.get(&key(1)), None);
    assert_eq!(pins.keep(key(1), pin("a"), |_| true), pin("a"));
    assert_eq!(pins.keep(key(1), pin("b"), |_| true), pin("a"));
    assert_eq!(pins.keep(key(1), pin("b"), |_| false), pin("b"));
    pins.set(key(1), pin("c"));
    assert_eq!(pins.get(&key(1)), Some(pin("c")));
}

#[test]
fn a_restart_knows_what_was_kept_also_after_a_kill_in_a_line() {
    let folder = TestFolder::new().unwrap();
    let pins = Pins::default();
    pins.open(&folder);
    pins.keep(key(1), pin("a\n\"b\""), |_| true);
    pins.keep(key(2), pin("b"), |_| true);
    pins.set(key(2), pin("c"));
    drop(pins);
    let mut file = fs::OpenOptions::new().append(true).open(folder.join("model_pins")).unwrap();
    file.write_all(b"[\"00000000000000000000000000000003\",\"d").unwrap();

    let again = Pins::default();
    again.open(&folder);
    assert_eq!(
        (again.get(&key(1)), again.get(&key(2)), again.get(&key(3))),
        (Some(pin("a\n\"b\"")), Some(pin("c")), None)
    );
    again.keep(key(4), pin("e"), |_| true);
    let third = Pins::default();
    third.open(&folder);
    assert_eq!(third.get(&key(4)), Some(pin("e")));
}

#[test]
fn memory_and_file_are_bounded_and_what_is_used_stays() {
    let folder = TestFolder::new().unwrap();
    let pins = Pins::default();
    pins.open(&folder);
    let many = FEWEST as u128 * 3;
    for n in 1..=many {
        pins.keep(key(n), pin("a"), |_| true);
        if n % 1000 == 0 {
            assert!(pins.get(&key(1)).is_some(), "{n}");
        }
    }
    let known = pins.lock();
    assert!(known.young.len() + known.old.len() <= 2 * FEWEST);
    drop(known);
    assert_eq!(pins.get(&key(2)), None);
    for name in ["model_pins", "model_pins.old"] {
        let lines = fs::read(folder.join(name)).unwrap().iter().filter(|byte| **byte == b'\n').count();
        assert!(lines <= 2 * FEWEST, "{name}: {lines}");
    }
    let again = Pins::default();
    again.open(&folder);
    assert_eq!((again.get(&key(1)), again.get(&key(many)), again.get(&key(2))), (Some(pin("a")), Some(pin("a")), None));
}

#[test]
fn a_pin_that_changes_again_and_again_does_not_fill_the_disk() {
    let folder = TestFolder::new().unwrap();
    let pins = Pins::default();
    pins.open(&folder);
    for n in 0..5 * FEWEST {
        pins.set(key(1), pin(if n % 2 == 0 { "a" } else { "b" }));
    }
    let lines = fs::read(folder.join("model_pins")).unwrap().iter().filter(|byte| **byte == b'\n').count();
    assert!(lines <= 2 * FEWEST, "{lines}");
    assert_eq!(pins.get(&key(1)), Some(pin("b")));
}

#[test]
fn what_was_kept_before_a_folder_is_known_is_in_it_too() {
    let folder = TestFolder::new().unwrap();
    let pins = Pins::default();
    pins.keep(key(1), pin("a"), |_| true);
    pins.open(&folder);
    let again = Pins::default();
    again.open(&folder);
    assert_eq!(again.get(&key(1)), Some(pin("a")));
}

#[test]
fn a_folder_that_is_not_there_leaves_memory() {
    let folder = TestFolder::new().unwrap();
    let pins = Pins::default();
    pins.open(&folder.join("not there"));
    pins.keep(key(1), pin("a"), |_| true);
    assert_eq!(pins.get(&key(1)), Some(pin("a")));
}
