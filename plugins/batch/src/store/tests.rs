//! What calls and their failures take of the store.

use tokio::time::timeout;

use super::*;
use crate::call::Api;
use crate::log_file::Lock;
use crate::plan::{Work, due};
use crate::world::{Folder, call, terms};

#[tokio::test]
async fn a_disk_that_hangs_holds_a_client_no_longer_than_it_waits_and_leaves_nothing_to_submit() {
    let folder = Folder(std::env::temp_dir().join(format!("batch-store-{}", Uuid::now_v7())));
    let store = Store::new(folder.0.clone(), terms());
    let (log, entries) = LogFile::open(&folder.0, Lock::take(&folder.0).unwrap()).unwrap();
    // nothing syncs it
    store.opened(log, entries);
    let (call, body) = call(Api::Messages, 1);
    let (id, deadline) = (call.id, Instant::now() + Duration::from_millis(20));
    let accepted = timeout(Duration::from_secs(10), store.accept(call, body, deadline)).await;
    assert!(matches!(accepted, Ok(Err(Failure::NotStored))), "{accepted:?}");
    let inner = store.lock();
    let (work, _) = due(&inner.state, Millis::MAX / 2, inner.terms.times, &inner.paused);
    assert_eq!(work, [Work::Forget(id)]);
}

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
