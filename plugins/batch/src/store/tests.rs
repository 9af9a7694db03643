//! What calls and their failures take of the store.

use super::*;
use crate::call::Api;
use crate::world::call;

#[test]
fn a_call_is_counted_with_the_headers_and_the_query_that_are_stored_of_it() {
    let mut state = State::default();
    let (mut stored, body) = call(Api::Messages, 1);
    stored.group.query = format!("?{}", "q".repeat(8_000));
    stored.group.headers.push(("anthropic-beta".to_owned(), "h".repeat(16_000)));
    let id = stored.id;
    state.apply(&Entry { fact: Fact::Call(Box::new(stored)), body });
    assert!(state.bytes() > 24_000, "{}", state.bytes());
    state.apply(&Fact::Gone(id).into());
    assert_eq!(state.bytes(), 0);
}

#[test]
fn the_words_for_a_failure_are_bounded_since_each_call_has_them() {
    let words = "ä".repeat(100_000);
    let entry = failed(Uuid::now_v7(), Failure::Rejected, &words, "", 0);
    assert!((1_000..=1_024).contains(&entry.body.len()), "{}", entry.body.len());
    assert!(std::str::from_utf8(&entry.body).is_ok());
}
