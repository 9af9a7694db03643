//! The reader of server-sent events in pieces, against the algorithm of WHATWG HTML §9.2.6 on the whole text.

use event_stream::{Events, Piece};

use crate::pieces::{Random, pieces};

/// The data of an event, and whether it is called `error`. The last one has no end yet.
type Event = (Vec<u8>, bool);

/// Checks one stream.
pub fn check(input: &[u8]) {
    let whole = by_standard(input);
    assert_eq!(read([input]), whole, "as a whole");
    assert_eq!(read(pieces(input, &mut Random::of(input))), whole, "in pieces");
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Events::default();
    let mut read = vec![Event::default()];
    for mut piece in pieces {
        while let Some(piece) = events.next(&mut piece) {
            let last = read.last_mut().expect("it begins with one");
            match piece {
                Piece::Data(data) => last.0.extend_from_slice(data),
                Piece::End => {
                    last.1 = events.was_error();
                    read.push(Event::default());
                }
            }
        }
        assert!(piece.is_empty(), "a piece is read to its end");
    }
    read
}

fn by_standard(text: &[u8]) -> Vec<Event> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut events = vec![Event::default()];
    let (mut has_data, mut is_error) = (false, false);
    let mut rest = text;
    loop {
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            // a line without its end: of data, what is there is handed on
            if let Some(value) = rest.strip_prefix(b"data:") {
                let last = events.last_mut().expect("it begins with one");
                last.0.extend_from_slice(if has_data { b"\n" } else { b"" });
                last.0.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            return events;
        };
        let line = &rest[..end];
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        let last = events.last_mut().expect("it begins with one");
        if line.is_empty() {
            last.1 = is_error;
            events.push(Event::default());
            (has_data, is_error) = (false, false);
            continue;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if std::mem::replace(&mut has_data, true) {
                    last.0.push(b'\n');
                }
                last.0.extend_from_slice(value);
            }
            b"event" => is_error = value == b"error",
            _ => {}
        }
    }
}
