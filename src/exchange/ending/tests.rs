//! Ends one by one.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn piece(bytes: u64, part: Part) -> Piece {
    Piece { bytes, written: 0, part }
}

fn client(bytes: u64) -> Relayed {
    Relayed { bytes, left: false }
}

#[test]
fn a_response_to_its_last_byte_is_completed() {
    let mut ending = Ending::default();
    assert!(!ending.head(Some(10)));
    assert!(!ending.piece(piece(6, Part::Some), || SECOND));
    assert!(ending.piece(piece(4, Part::Some), || SECOND), "all of the announced length is there");
    let predicted = ending.predict(None, None);
    assert_eq!((predicted.outcome, predicted.response_bytes), (Outcome::Completed, 10));
    assert!(!ending.piece(piece(0, Part::Last), || SECOND), "it is predicted once");
    assert_eq!(ending.end(None, false, client(10)), Some(Verdict { took: None, ..predicted }));
    assert_eq!(ending.end(None, false, client(10)), None);
    assert_eq!(ending.cut(None, None), None);
}

#[test]
fn a_head_without_a_body_is_all_there_is() {
    assert!(Ending::default().head(Some(0)));
    assert!(!Ending::default().head(None));
}

#[test]
fn a_stream_delivered_to_its_last_event_is_completed_whatever_breaks_then() {
    let complete = || {
        let mut ending = Ending::default();
        let _ = ending.head(None);
        let _ = ending.piece(piece(100, Part::Complete), || SECOND);
        ending
    };
    let sent = |bytes, may_be_unflushed| Sent { bytes, length: None, may_be_unflushed };
    assert!(complete().is_delivered(sent(100, false)));
    assert!(!complete().is_delivered(sent(99, false)) && !complete().is_delivered(sent(100, true)));
    for expired in [None, Some(Expired::Idle), Some(Expired::Total)] {
        let verdict = complete().cut(expired, None).unwrap();
        assert_eq!((verdict.outcome, verdict.failure, verdict.took), (Outcome::Completed, None, Some(SECOND)));
    }
    let stalled = complete().cut(Some(Expired::Stalled), None).unwrap();
    assert_eq!((stalled.outcome, stalled.response_bytes), (Outcome::ClientGone, 0), "it took nothing of that");
}

#[test]
fn what_nobody_got_is_not_in_the_record() {
    let mut ending = Ending::default();
    let _ = ending.piece(piece(1000, Part::Last), || SECOND);
    let verdict = ending.end(None, false, Relayed { bytes: 300, left: true }).unwrap();
    assert_eq!((verdict.outcome, verdict.response_bytes), (Outcome::ClientGone, 300));
}

#[test]
fn an_answer_made_here_ends_the_exchange_as_it_says_unless_it_breaks() {
    let refused = || {
        let mut ending = Ending::default();
        ending.answered_here(Outcome::Refused);
        ending
    };
    assert_eq!(refused().end(None, false, client(9)).unwrap().outcome, Outcome::Refused);
    let gone = refused().end(Some(Failure::ClientGone), true, client(3)).unwrap();
    assert_eq!((gone.outcome, gone.failure), (Outcome::ClientGone, Some(Failure::ClientGone)));
    let failed = Ending::default().end(Some(Failure::Connect), true, client(80)).unwrap();
    assert_eq!((failed.outcome, failed.response_bytes), (Outcome::UpstreamFailed, 80));
}

#[test]
fn a_deadline_says_how_an_exchange_was_cut_and_without_one_it_was_aborted() {
    for (expired, failure) in [
        (Some(Expired::Idle), Failure::IdleTimeout),
        (Some(Expired::FirstByte), Failure::FirstByteTimeout),
        (Some(Expired::Send), Failure::SendTimeout),
        (Some(Expired::Upgraded), Failure::UpgradedTimeout),
        (Some(Expired::Total), Failure::TotalTimeout),
        (Some(Expired::RequestBody), Failure::ClientGone),
        (None, Failure::Aborted),
    ] {
        let verdict = Ending::default().cut(expired, None).unwrap();
        assert_eq!((verdict.failure, verdict.outcome), (Some(failure), failure.outcome()));
    }
    let alone = Ending::default().cut(None, Some(Relayed { bytes: 5, left: true })).unwrap();
    assert_eq!(alone.outcome, Outcome::ClientGone, "it went on without its client until nobody wanted it");
}

#[test]
fn a_response_that_says_that_it_failed_is_no_success() {
    let verdict = Ending::default().end(None, false, client(10)).unwrap();
    assert_eq!(verdict.of_response(true).outcome, Outcome::UpstreamFailed);
    assert_eq!(verdict.of_response(false).outcome, Outcome::Completed);
    let mut cached = Ending::default();
    cached.answered_here(Outcome::Cached);
    assert_eq!(cached.end(None, false, client(10)).unwrap().of_response(true).outcome, Outcome::Cached);
}
