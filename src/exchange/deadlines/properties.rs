//! What holds for every exchange, whatever happens in it and in whatever order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::upload::SHORTEST;
use super::*;

/// Something that happens in an exchange.
#[derive(Clone, Debug)]
enum Event {
    AwaitsRequest {
        limit: Duration,
        head: Duration,
    },
    ClientSent,
    Request,
    EndsIn(Duration),
    Attempt {
        first_byte: Duration,
        client: Duration,
        server: Duration,
    },
    Piece {
        size: usize,
        is_last: bool,
    },
    /// A piece is taken; of the present attempt, or of an earlier one.
    Taken {
        late: bool,
    },
    Streams(Duration),
    Upgraded(Duration),
    Progress,
    MayStall(Duration),
    Stalls,
    Takes,
    Complete,
    ClientLeft,
    Over,
}

fn limit() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), 1..50_u64, 50..5_000_u64].prop_map(Duration::from_millis)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (limit(), limit()).prop_map(|(limit, head)| Event::AwaitsRequest { limit, head }),
        Just(Event::ClientSent),
        Just(Event::Request),
        limit().prop_map(Event::EndsIn),
        (limit(), limit(), limit()).prop_map(|(first_byte, client, server)| Event::Attempt {
            first_byte,
            client,
            server
        }),
        (prop_oneof![Just(0), Just(1), Just(100_000_usize)], any::<bool>())
            .prop_map(|(size, is_last)| Event::Piece { size, is_last }),
        any::<bool>().prop_map(|late| Event::Taken { late }),
        limit().prop_map(Event::Streams),
        limit().prop_map(Event::Upgraded),
        Just(Event::Progress),
        limit().prop_map(Event::MayStall),
        Just(Event::Stalls),
        Just(Event::Takes),
        Just(Event::Complete),
        Just(Event::ClientLeft),
        Just(Event::Over),
    ]
}

fn apply(event: &Event, to: &mut Deadlines, now: Instant) {
    match *event {
        Event::AwaitsRequest { limit, head } => to.awaits_request(limit, head, now),
        Event::ClientSent => drop(to.client_sent(|| now)),
        Event::Request => to.request(now),
        Event::EndsIn(limit) => to.ends_at(now + limit),
        Event::Attempt { first_byte, client, server } => {
            to.attempt(AttemptLimits { first_byte, client, server }, 3, now);
        }
        Event::Piece { size, is_last } => drop(to.piece(size, is_last, now)),
        Event::Taken { late } => to.taken(to.attempt.wrapping_sub(u32::from(late)), || now),
        Event::Streams(limit) => to.streams(limit, now),
        Event::Upgraded(limit) => to.upgraded(limit, now),
        Event::Progress => to.progress(now),
        Event::MayStall(limit) => to.client_may_stall(limit),
        Event::Stalls => drop(to.client_stalls(now)),
        Event::Takes => to.client_takes(now),
        Event::Complete => to.answer_is_complete(),
        Event::ClientLeft => drop(to.client_left(|| now)),
        Event::Over => to.over(),
    }
}

/// Events, each some time after the one before it.
fn events() -> impl Strategy<Value = Vec<(Duration, Event)>> {
    vec((limit(), event()), 1..60)
}

proptest! {
    #[test]
    fn no_deadline_is_due_twice(events in events()) {
        let mut now = Instant::now();
        let mut deadlines = Deadlines::new(Duration::from_secs(1), Duration::from_secs(1), now);
        for (pause, event) in &events {
            now += *pause;
            apply(event, &mut deadlines, now);
            let action = deadlines.on_tick(now);
            prop_assert!(deadlines.next().is_none_or(|next| next > now), "{event:?} {action:?} {deadlines:?}");
            prop_assert_eq!(deadlines.on_tick(now), Action::Wait, "{:?}", deadlines);
            if action == Action::Break {
                prop_assert_eq!(deadlines.next(), None, "nothing is timed of what was broken off");
            }
        }
    }

    #[test]
    fn whatever_has_happened_the_ticks_come_to_an_end(events in events()) {
        let start = Instant::now();
        let mut now = start;
        let mut deadlines = Deadlines::new(Duration::from_secs(1), Duration::from_secs(1), now);
        for (pause, event) in &events {
            now += *pause;
            apply(event, &mut deadlines, now);
        }
        // nothing happens any more: every tick comes when it was asked for
        let (mut actions, mut ticks) = (0, 0);
        while let Some(next) = deadlines.next() {
            now = now.max(next);
            ticks += 1;
            actions += usize::from(deadlines.on_tick(now) != Action::Wait);
            prop_assert!(actions <= 2, "closes once, then breaks: {deadlines:?}");
            prop_assert!(ticks <= 6_000, "{deadlines:?}");
        }
    }

    #[test]
    fn a_timer_that_is_set_once_for_each_event_misses_no_deadline(events in events()) {
        // as `with_deadlines` sets it: only to an earlier time, and not at all where a piece is taken on another task
        let mut now = Instant::now();
        let mut deadlines = Deadlines::new(Duration::from_secs(1), Duration::from_secs(1), now);
        let mut armed = deadlines.next().unwrap();
        for (pause, event) in &events {
            let until = now + *pause;
            while armed <= until {
                now = armed.max(now);
                deadlines.on_tick(now);
                armed = deadlines.next().unwrap_or(now + Duration::from_secs(3600));
            }
            now = until;
            apply(event, &mut deadlines, now);
            if let Some(next) = deadlines.next().filter(|next| *next < armed && !matches!(event, Event::Taken { .. })) {
                armed = next;
            }
            if let Some((due, expired)) = deadlines.due() {
                // a limit of less than that is late by as much, where a piece that is taken wakes no timer
                let due = if matches!(event, Event::Taken { .. }) { due.max(now + SHORTEST) } else { due };
                prop_assert!(armed <= due, "{expired:?} after {event:?}: {deadlines:?}");
            }
        }
    }
}

#[test]
fn whoever_is_waited_for_is_the_one_that_fails() {
    let ms = Duration::from_millis;
    let limits = AttemptLimits { first_byte: ms(100), client: ms(300), server: ms(200) };
    // pieces that came, whether the last was among them, how many were taken, and what expires then
    for (pieces, complete, taken, expired, after) in [
        (0, false, 0, Expired::RequestBody, 300),
        (2, false, 2, Expired::RequestBody, 300),
        (2, false, 1, Expired::Send, 200),
        (2, true, 1, Expired::Send, 200),
        (2, true, 2, Expired::FirstByte, 100),
        (0, true, 0, Expired::FirstByte, 100),
    ] {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(ms(1), ms(1), now);
        deadlines.attempt(limits, 7, now);
        for piece in 0..pieces {
            let attempt = deadlines.piece(100_000, complete && piece + 1 == pieces, now);
            if piece < taken {
                deadlines.taken(attempt.unwrap(), || now);
            }
        }
        if pieces == 0 && complete {
            assert_eq!(deadlines.piece(0, true, now), None);
        }
        assert_eq!(deadlines.on_tick(now + ms(after - 1)), Action::Wait);
        assert_eq!(deadlines.on_tick(now + ms(after)), Action::Close(7));
        assert_eq!(deadlines.expired(), Some(expired));
        // an attempt that does not end by that is broken off for the same reason
        assert_eq!(deadlines.on_tick(now + ms(after) + CLOSING), Action::Break);
        assert_eq!(deadlines.expired(), Some(expired));
    }
}

#[test]
fn a_client_that_does_not_take_the_end_of_a_complete_response_is_what_ends_it() {
    for (complete, stalls, expired) in
        [(true, true, Expired::Stalled), (false, true, Expired::Total), (true, false, Expired::Total)]
    {
        let (now, second, hour) = (Instant::now(), Duration::from_secs(1), Duration::from_secs(3600));
        let mut deadlines = Deadlines::new(hour, hour, now);
        deadlines.ends_at(now + second);
        deadlines.streams(hour, now);
        if complete {
            deadlines.answer_is_complete();
        }
        if stalls {
            deadlines.client_stalls(now);
        }
        assert_eq!(deadlines.on_tick(now + second), Action::Break);
        assert_eq!(deadlines.expired(), Some(expired), "complete: {complete}, stalls: {stalls}");
    }
}

#[test]
fn a_piece_of_an_earlier_attempt_is_none_of_this_one() {
    let now = Instant::now();
    let limit = Duration::from_secs(1);
    let limits = AttemptLimits { first_byte: limit, client: limit, server: limit };
    let mut deadlines = Deadlines::new(limit, limit, now);
    deadlines.attempt(limits, 7, now);
    let earlier = deadlines.piece(100_000, true, now).unwrap();
    deadlines.request(now);
    deadlines.attempt(limits, 8, now);
    let present = deadlines.piece(100_000, true, now).unwrap();
    deadlines.taken(earlier, || now);
    assert_eq!(deadlines.upload.unwrap().awaited(), Awaited::Server);
    deadlines.taken(present, || now);
    assert_eq!(deadlines.upload.unwrap().awaited(), Awaited::Response);
}
