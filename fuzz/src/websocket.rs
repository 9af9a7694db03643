//! The reader of WebSocket frames in pieces, against a reader of whole frames by RFC 6455 §5.2. The first byte says who sends.

use websocket::{End, Event, FrameReader, Sender};

use crate::pieces::{Random, pieces};

/// A frame: whether it is the last of its message, its opcode, and its payload without the mask.
type Frame = (bool, u8, Vec<u8>);

/// Checks one side of a connection.
pub fn check(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else { return };
    let is_client = first % 2 == 1;
    let whole = by_standard(is_client, bytes);
    assert_eq!(read(is_client, [bytes]), whole, "as a whole");
    assert_eq!(read(is_client, pieces(bytes, &mut Random::of(input))), whole, "in pieces");
}

/// The whole frames, and whether what follows breaks the protocol.
fn read<'a>(is_client: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, bool) {
    let mut reader = FrameReader::new(if is_client { Sender::Client } else { Sender::Server });
    let (mut frames, mut frame) = (Vec::new(), None::<Frame>);
    let mut in_message = false;
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(Event::Frame(header))) => {
                    let opcodes = [0, 1, 2, 8, 9, 10];
                    frame = Some((header.fin, opcodes[header.opcode as usize], Vec::new()));
                }
                Ok(Some(Event::Payload(payload))) => payload.append_to(&mut frame.as_mut().expect("a frame is open").2),
                Ok(Some(Event::End(end))) => {
                    in_message = match end {
                        End::Control(_) => in_message,
                        End::Fragment => true,
                        End::Message(_) => false,
                    };
                    assert!(reader.is_between_frames() && reader.is_between_messages() != in_message);
                    frames.extend(frame.take());
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        assert!(piece.is_empty(), "a piece is read to its end");
    }
    (frames, false)
}

fn by_standard(is_client: bool, mut bytes: &[u8]) -> (Vec<Frame>, bool) {
    let (mut frames, mut in_message) = (Vec::new(), false);
    loop {
        let [first, second, rest @ ..] = bytes else { return (frames, false) };
        let (short, size) = match second & 127 {
            126 => (None, 2),
            127 => (None, 8),
            short => (Some(u64::from(short)), 0),
        };
        let is_masked = second & 128 != 0;
        let Some((length, rest)) = rest.split_at_checked(size) else { return (frames, false) };
        let Some((mask, rest)) = rest.split_at_checked(if is_masked { 4 } else { 0 }) else { return (frames, false) };
        let length = short.unwrap_or_else(|| length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)));
        let (fin, opcode) = (first & 128 != 0, first & 15);
        let is_control = opcode >= 8;
        let shortest = [0, 0, 126, 0, 0, 0, 0, 0, 1 << 16][size];
        let is_sound = first & 0x70 == 0
            && matches!(opcode, 0..=2 | 8..=10)
            && is_masked == is_client
            && (shortest..1 << 63).contains(&length)
            && (!is_control || fin && length <= 125)
            && (is_control || (opcode == 0) == in_message);
        if !is_sound {
            return (frames, true);
        }
        let Some(count) = usize::try_from(length).ok().filter(|count| *count <= rest.len()) else {
            return (frames, false);
        };
        let mut payload = rest[..count].to_vec();
        for (at, byte) in payload.iter_mut().enumerate().filter(|_| is_masked) {
            *byte ^= mask[at % 4];
        }
        if !is_control {
            in_message = !fin;
        }
        frames.push((fin, opcode, payload));
        bytes = &rest[count..];
    }
}
