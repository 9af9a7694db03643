use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::{CloseCode, write_close, write_frame};

/// A frame, or what is wrong with the bytes.
type Read = Vec<(Header, Vec<u8>, End)>;

/// All frames of the pieces, and the error that ended the reading.
fn read<'a>(sender: Sender, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Read, Option<ProtocolError>) {
    let mut reader = FrameReader::new(sender);
    let (mut frames, mut payload, mut header) = (Vec::new(), Vec::new(), None);
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(Event::Frame(begun))) => header = Some(begun),
                Ok(Some(Event::Payload(bytes))) => bytes.append_to(&mut payload),
                Ok(Some(Event::End(end))) => {
                    frames.push((header.take().unwrap(), std::mem::take(&mut payload), end));
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(piece.is_empty(), "a piece is read to its end");
    }
    (frames, None)
}

/// Cuts bytes at these places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    places.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

/// The frames of one message, with control frames between them.
fn message(number: usize) -> impl Strategy<Value = Vec<(Opcode, bool, Vec<u8>)>> {
    let payload = || prop_oneof![vec(any::<u8>(), 0..200), vec(any::<u8>(), 65_500..65_600)];
    let control = (select(vec![Opcode::Ping, Opcode::Pong]), vec(any::<u8>(), 0..=125));
    let fragments = vec((payload(), vec(control, 0..2)), 1..4);
    (fragments, any::<bool>()).prop_map(move |(fragments, is_text)| {
        let last = fragments.len() - 1;
        let mut frames = Vec::new();
        for (place, (payload, controls)) in fragments.into_iter().enumerate() {
            let first = if is_text || number == 0 { Opcode::Text } else { Opcode::Binary };
            frames.push((if place == 0 { first } else { Opcode::Continuation }, place == last, payload));
            frames.extend(controls.into_iter().map(|(opcode, payload)| (opcode, true, payload)));
        }
        frames
    })
}

fn written(frames: &[(Opcode, bool, Vec<u8>)], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (opcode, fin, payload) in frames {
        let start = out.len();
        write_frame(&mut out, *opcode, mask, payload);
        if !fin {
            out[start] &= 0x7F;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_are_the_same_however_their_bytes_are_cut(
        messages in vec((0..3_usize).prop_flat_map(message), 1..4),
        mask in proptest::option::of(any::<[u8; 4]>()),
        places in vec(any::<Index>(), 0..12),
    ) {
        let frames: Vec<_> = messages.into_iter().flatten().collect();
        let bytes = written(&frames, mask);
        let sender = if mask.is_some() { Sender::Client } else { Sender::Server };
        let (read_frames, error) = read(sender, cut(&bytes, &places));
        prop_assert_eq!(error, None);
        let seen: Vec<_> =
            read_frames.iter().map(|(header, payload, _)| (header.opcode, header.fin, payload.clone())).collect();
        prop_assert_eq!(&seen, &frames);
        for (header, payload, end) in &read_frames {
            prop_assert_eq!(header.length, payload.len() as u64);
            prop_assert_eq!(matches!(end, End::Message(_)), header.fin && !header.opcode.is_control());
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in vec(any::<u8>(), 0..400),
        is_client: bool,
        places in vec(any::<Index>(), 0..12),
    ) {
        let sender = if is_client { Sender::Client } else { Sender::Server };
        prop_assert_eq!(read(sender, [&bytes[..]]), read(sender, cut(&bytes, &places)));
    }
}

#[test]
fn what_breaks_the_protocol_is_told() {
    let long = [&[0x82, 127][..], &(1_u64 << 63).to_be_bytes()].concat();
    for (sender, bytes, wanted) in [
        (Sender::Server, &[0xC1, 0][..], ProtocolError::ReservedBit),
        (Sender::Server, &[0x83, 0], ProtocolError::ReservedOpcode),
        (Sender::Server, &[0x8B, 0], ProtocolError::ReservedOpcode),
        (Sender::Client, &[0x81, 0], ProtocolError::Unmasked),
        (Sender::Server, &[0x81, 0x80, 0, 0, 0, 0], ProtocolError::Masked),
        (Sender::Server, &[0x09, 0], ProtocolError::FragmentedControl),
        (Sender::Server, &[0x89, 126, 0, 126], ProtocolError::LongControl),
        (Sender::Server, &[0x82, 126, 0, 125], ProtocolError::InvalidLength),
        (Sender::Server, &[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], ProtocolError::InvalidLength),
        (Sender::Server, &long, ProtocolError::InvalidLength),
        (Sender::Server, &[0x80, 0], ProtocolError::UnexpectedContinuation),
        (Sender::Server, &[0x01, 0, 0x81, 0], ProtocolError::UnfinishedMessage),
    ] {
        assert_eq!(read(sender, [bytes]).1, Some(wanted), "{bytes:x?}");
    }
}

#[test]
fn a_reader_knows_where_frames_and_messages_end() {
    let mut reader = FrameReader::new(Sender::Server);
    let (mut frames, mut messages) = (Vec::new(), Vec::new());
    // a fragment of one byte, a ping, an empty last fragment
    for byte in [0x01, 1, b'a', 0x89, 0, 0x80, 0] {
        let mut piece = &[byte][..];
        while reader.next(&mut piece).unwrap().is_some() {}
        frames.push(reader.is_between_frames());
        messages.push(reader.is_between_messages());
    }
    assert_eq!(frames, [false, false, true, false, true, false, true]);
    assert_eq!(messages, [false, false, false, false, false, false, true]);
}

#[test]
fn a_close_frame_has_its_code_and_a_reason_that_fits() {
    let mut bytes = Vec::new();
    write_close(&mut bytes, None, CloseCode::GoingAway, &"é".repeat(100));
    let (frames, error) = read(Sender::Server, [&bytes[..]]);
    let [(header, payload, End::Control(Opcode::Close))] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((error, header.length, &payload[..2]), (None, 124, &1001_u16.to_be_bytes()[..]));
    assert!(std::str::from_utf8(&payload[2..]).is_ok());
}
