use bytes::Bytes;
use plugin_api::{BODIES, Budget};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::ReadBuf;
use websocket::{CloseCode, Event, FrameReader, Opcode, Sender, write_frame};

use super::inbound::{Inbound, Intake, Step};
use super::message::HoldError;
use super::outbound::{Observer, Outbound};

const MASK: [u8; 4] = [1, 2, 3, 4];

/// A frame: its opcode, whether it is the last of its message, its payload.
type Frame = (Opcode, bool, Vec<u8>);

/// The frames of one message, with pings between them.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    vec((vec(any::<u8>(), 0..300), any::<bool>()), 1..4).prop_map(|fragments| {
        let last = fragments.len() - 1;
        let mut frames = Vec::new();
        for (place, (payload, pings)) in fragments.into_iter().enumerate() {
            let opcode = if place == 0 { Opcode::Text } else { Opcode::Continuation };
            frames.push((opcode, place == last, payload));
            frames.extend(pings.then(|| (Opcode::Ping, true, b"?".to_vec())));
        }
        frames
    })
}

fn written(frames: &[Frame], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (opcode, fin, payload) in frames {
        let start = out.len();
        write_frame(&mut out, *opcode, mask, payload);
        out[start] = if *fin { out[start] } else { out[start] & 0x7F };
    }
    out
}

fn read(sender: Sender, bytes: &[u8]) -> Vec<Frame> {
    let (mut reader, mut rest, mut frames) = (FrameReader::new(sender), bytes, Vec::new());
    while let Some(event) = reader.next(&mut rest).unwrap() {
        match event {
            Event::Frame(header) => frames.push((header.opcode, header.fin, Vec::new())),
            Event::Payload(payload) => payload.append_to(&mut frames.last_mut().unwrap().2),
            Event::End(_) => {}
        }
    }
    frames
}

fn pieces<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// All that goes upstream, handed out piece by piece.
fn handed_out(inbound: &mut Inbound) -> Vec<u8> {
    let (mut out, mut room) = (Vec::new(), [0; 7]);
    loop {
        let mut buf = ReadBuf::new(&mut room);
        if !inbound.hand_out(&mut buf) {
            return out;
        }
        out.extend_from_slice(buf.filled());
        assert_eq!(&inbound.passes(Bytes::copy_from_slice(buf.filled())), buf.filled());
    }
}

/// Collects the messages.
#[derive(Default)]
struct Seen(Vec<Vec<u8>>, Vec<u8>);

impl Observer for Seen {
    fn payload(&mut self, bytes: Bytes) {
        self.1.extend_from_slice(&bytes);
    }

    fn end(&mut self) {
        self.0.push(std::mem::take(&mut self.1));
    }
}

fn messages(frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for (_, fin, payload) in frames.iter().filter(|(opcode, ..)| !opcode.is_control()) {
        all.last_mut().unwrap().extend_from_slice(payload);
        if *fin {
            all.push(Vec::new());
        }
    }
    all.pop();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_of_our_own_stand_between_the_servers_messages_and_change_none(
        frames in vec(message(), 1..5).prop_map(|all| all.concat()),
        places in vec(any::<Index>(), 0..10),
        sends in vec(any::<bool>(), 11),
        quiet in vec(any::<bool>(), 11),
    ) {
        let bytes = written(&frames, None);
        let (mut outbound, mut seen, mut out, mut sent) = (Outbound::new(), Seen::default(), Vec::new(), 0);
        for (number, piece) in pieces(&bytes, &places).into_iter().enumerate() {
            if sends[number] {
                outbound.send_text(&format!("own {sent}"));
                sent += 1;
            }
            if quiet[number] {
                outbound.place_queued();
                out.append(outbound.outbox());
            }
            out.extend(outbound.pass(Bytes::copy_from_slice(piece), &mut seen).unwrap());
        }
        outbound.place_queued();
        out.append(outbound.outbox());
        prop_assert_eq!(&seen.0, &messages(&frames));
        let (own, servers): (Vec<_>, Vec<_>) =
            read(Sender::Server, &out).into_iter().partition(|(_, _, payload)| payload.starts_with(b"own "));
        prop_assert_eq!(servers, frames);
        let wanted: Vec<_> = (0..sent).map(|number| format!("own {number}").into_bytes()).collect();
        prop_assert_eq!(own.into_iter().map(|(_, _, payload)| payload).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn nothing_of_the_server_follows_a_close_frame_of_our_own(
        frames in vec(message(), 1..5).prop_map(|all| all.concat()),
        places in vec(any::<Index>(), 0..10),
        at in 0..11_usize,
    ) {
        let bytes = written(&frames, None);
        let (mut outbound, mut seen, mut out) = (Outbound::new(), Seen::default(), Vec::new());
        for (number, piece) in pieces(&bytes, &places).into_iter().enumerate() {
            if number == at {
                outbound.close(CloseCode::GoingAway, "stop");
            }
            out.extend(outbound.pass(Bytes::copy_from_slice(piece), &mut seen).unwrap());
        }
        outbound.place_queued();
        out.append(outbound.outbox());
        let passed = read(Sender::Server, &out);
        let closes = passed.iter().position(|(opcode, ..)| *opcode == Opcode::Close);
        let servers = &passed[..closes.unwrap_or(passed.len())];
        prop_assert_eq!(servers, &frames[..servers.len()]);
        prop_assert!(closes.is_none_or(|place| place == passed.len() - 1));
        prop_assert_eq!(closes.is_some(), at <= places.len());
    }

    #[test]
    fn a_clients_messages_and_its_control_frames_pass_each_in_order_whatever_waits(
        frames in vec(message(), 1..5).prop_map(|all| all.concat()),
        places in vec(any::<Index>(), 0..10),
        waits in vec(any::<bool>(), 40),
    ) {
        let bytes = written(&frames, Some(MASK));
        let (mut inbound, mut texts, mut waits) = (Inbound::new(1 << 20, &BODIES), Vec::new(), waits.into_iter());
        for piece in pieces(&bytes, &places) {
            inbound.came(piece);
            loop {
                let intake = if waits.next().unwrap_or(false) { Intake::NoClose } else { Intake::Open };
                match inbound.step(intake) {
                    Step::Wanting => break,
                    Step::Waiting => {}
                    Step::Whole(message) => {
                        texts.push(message.payload.to_vec());
                        inbound.send(message, None);
                    }
                    Step::Broken(_) | Step::HoldError(_) => prop_assert!(false, "nothing is wrong"),
                }
            }
        }
        prop_assert_eq!(&texts, &messages(&frames));
        let out = handed_out(&mut inbound);
        let split = |frames: Vec<Frame>| frames.into_iter().partition::<Vec<_>, _>(|(opcode, ..)| opcode.is_control());
        prop_assert_eq!(out.len(), bytes.len());
        prop_assert_eq!(split(read(Sender::Client, &out)), split(frames));
    }
}

#[test]
fn what_was_not_handed_out_comes_in_like_anything_else() {
    let frame = written(&[(Opcode::Text, true, b"{}".to_vec())], Some(MASK));
    let mut inbound = Inbound::new(100, &BODIES);
    assert!(inbound.passes(Bytes::from(frame)).is_empty());
    assert!(matches!(inbound.step(Intake::Open), Step::Whole(message) if message.payload == "{}"));
}

#[test]
fn a_message_may_be_as_long_as_the_limit() {
    for (length, fits) in [(100, true), (101, false)] {
        let frames = [(Opcode::Text, false, vec![b'x'; 50]), (Opcode::Continuation, true, vec![b'x'; length - 50])];
        let mut inbound = Inbound::new(100, &BODIES);
        inbound.came(&written(&frames, Some(MASK)));
        assert_eq!(matches!(inbound.step(Intake::Open), Step::Whole(_)), fits);
    }
}

#[test]
fn fragments_without_a_payload_are_charged_and_bounded_like_others() {
    static BUDGET: Budget = Budget::new();
    let empty = written(&[(Opcode::Continuation, false, Vec::new())], Some(MASK)).repeat(1000);
    let mut inbound = Inbound::new(100_000, &BUDGET);
    inbound.came(&written(&[(Opcode::Text, false, Vec::new())], Some(MASK)));
    let mut sent = 0;
    loop {
        inbound.came(&empty);
        match inbound.step(Intake::Open) {
            Step::Wanting => sent += empty.len(),
            Step::HoldError(HoldError::TooLarge) => break,
            _ => panic!("nothing else is wrong"),
        }
        assert!(inbound.is_within_message());
        assert!(BUDGET.used() + (64 << 10) >= sent, "{} of {sent}", BUDGET.used());
    }
    assert!((200_000..300_000).contains(&sent), "{sent}");
}

#[test]
fn a_close_frame_waits_for_the_message_that_is_decided_on_and_pings_do_not() {
    let frames = [
        (Opcode::Text, true, b"{}".to_vec()),
        (Opcode::Ping, true, b"?".to_vec()),
        (Opcode::Close, true, vec![0x03, 0xE8]),
    ];
    let mut inbound = Inbound::new(100, &BODIES);
    inbound.came(&written(&frames, Some(MASK)));
    let Step::Whole(message) = inbound.step(Intake::Open) else { panic!("the message is whole") };
    assert!(matches!(inbound.step(Intake::NoClose), Step::Waiting));
    assert!(!inbound.has_left, "its close frame has not passed");
    inbound.send(message, None);
    assert!(matches!(inbound.step(Intake::NoMessage), Step::Wanting));
    assert!(inbound.has_left);
    // one that has come, but not passed, counts once the gateway closes
    let mut other = Inbound::new(100, &BODIES);
    other.came(&written(&frames, Some(MASK)));
    assert!(matches!(other.step(Intake::Open), Step::Whole(_)));
    other.close(MASK, CloseCode::GoingAway, "stop");
    assert!(other.has_left);
    let passed: Vec<_> =
        read(Sender::Client, &handed_out(&mut inbound)).into_iter().map(|(opcode, ..)| opcode).collect();
    assert_eq!(passed, [Opcode::Ping, Opcode::Text, Opcode::Close]);
}

#[test]
fn a_message_is_charged_until_the_last_of_it_is_handed_out() {
    static BUDGET: Budget = Budget::new();
    const SIZE: usize = 1 << 20;
    let mut inbound = Inbound::new(SIZE, &BUDGET);
    for text in [None, Some(vec![b'y'; SIZE + 100])] {
        inbound.came(&written(&[(Opcode::Text, true, vec![b'x'; SIZE])], Some(MASK)));
        let Step::Whole(message) = inbound.step(Intake::Open) else { panic!("the message is whole") };
        assert!(BUDGET.used() >= 2 * SIZE - (64 << 10), "the frames and the text");
        inbound.send(message, text.as_deref());
        let mut room = vec![0; SIZE];
        assert!(inbound.hand_out(&mut ReadBuf::new(&mut room)));
        assert!((SIZE - (64 << 10)..SIZE + 1000).contains(&BUDGET.used()), "{}", BUDGET.used());
        handed_out(&mut inbound);
        assert_eq!(BUDGET.used(), 0);
    }
    // nothing is held for a connection that has been closed
    inbound.came(&written(&[(Opcode::Text, true, vec![b'x'; SIZE])], Some(MASK)));
    let Step::Whole(message) = inbound.step(Intake::Open) else { panic!("the message is whole") };
    inbound.close(MASK, CloseCode::GoingAway, "stop");
    inbound.send(message, None);
    assert_eq!(BUDGET.used(), 0);
}
