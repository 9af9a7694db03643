//! What holds for every row of the table of failures.

use super::*;

const ALL: [Failure; 40] = [
    Failure::ClientGone,
    Failure::InvalidHead,
    Failure::Tunnel,
    Failure::InvalidFrame,
    Failure::Flood,
    Failure::InvalidPath,
    Failure::Trace,
    Failure::HeadTooLarge,
    Failure::HeadMemory,
    Failure::NoRoute,
    Failure::BodyTooLarge,
    Failure::BodyMemory(Shortage::Full),
    Failure::BodyMemory(Shortage::Never),
    Failure::Busy,
    Failure::UnroutableModel,
    Failure::WebSocketOff,
    Failure::WebSocketProtocol,
    Failure::BadRequest,
    Failure::BodyTimeout,
    Failure::Connect,
    Failure::ConnectTimeout,
    Failure::Tls,
    Failure::Unresolved,
    Failure::NoServer,
    Failure::Full(StatusCode::SERVICE_UNAVAILABLE),
    Failure::Full(StatusCode::TOO_MANY_REQUESTS),
    Failure::SendTimeout,
    Failure::FirstByteTimeout,
    Failure::IdleTimeout,
    Failure::TotalTimeout,
    Failure::UpgradedTimeout,
    Failure::NoAnswer,
    Failure::NotProcessed,
    Failure::InvalidHeader,
    Failure::BrokenAnswer,
    Failure::Status(529),
    Failure::Transform,
    Failure::PluginPanic,
    Failure::Internal,
    Failure::Aborted,
];

#[test]
fn every_failure_has_a_word_of_its_own_and_says_what_can_be_done() {
    let mut words: Vec<_> = ALL.iter().map(|failure| failure.word()).collect();
    words.sort_unstable();
    words.dedup();
    // `Full` and `BodyMemory` stand twice
    assert_eq!(words.len(), ALL.len() - 2);
    for failure in ALL {
        assert!(!failure.hint().is_empty(), "{failure:?}");
        assert_eq!(failure.error().is_some(), !failure.message().is_empty() && failure != Failure::Aborted);
    }
}

#[test]
fn a_blamed_server_ends_the_exchange_as_a_failure_of_the_upstream() {
    for failure in ALL {
        if failure.class().is_some() {
            assert!(failure.is_by_upstream() && failure.outcome() == Outcome::UpstreamFailed, "{failure:?}");
        }
    }
}

#[test]
fn the_status_says_whose_failure_it_was() {
    let status = |failure: Failure| failure.error().map(|error| error.status().as_u16());
    assert_eq!(status(Failure::Connect), Some(502));
    assert_eq!(status(Failure::ConnectTimeout), Some(504));
    assert_eq!(status(Failure::TotalTimeout), Some(504));
    assert_eq!(status(Failure::BodyTimeout), Some(408));
    assert_eq!(status(Failure::Full(StatusCode::TOO_MANY_REQUESTS)), Some(429));
    assert_eq!(status(Failure::Unresolved), Some(503));
    assert_eq!(status(Failure::PluginPanic), Some(500));
    assert_eq!(status(Failure::ClientGone), None);
    assert_eq!(status(Failure::HeadTooLarge), Some(431));
    assert_eq!(status(Failure::NoRoute), Some(404));
    assert_eq!(status(Failure::WebSocketOff), Some(426));
    assert_eq!(status(Failure::BodyMemory(Shortage::Full)), Some(503));
    assert_eq!(status(Failure::BodyMemory(Shortage::Never)), Some(413));
}

#[test]
fn only_a_refusal_for_want_of_room_says_when_to_come_again() {
    for failure in ALL {
        let overloaded = failure.error() == Some(ErrorKind::Overloaded);
        assert_eq!(failure.retry_after().is_some(), overloaded, "{failure:?}");
        assert!(!overloaded || failure.outcome() == Outcome::Refused, "{failure:?}");
    }
}
