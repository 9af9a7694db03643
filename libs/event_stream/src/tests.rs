//! Streams as providers send them, and as nobody should, cut anywhere.

use proptest::prelude::*;

use super::*;

/// The data of each event, from a stream that is cut into pieces of this size.
fn events(stream: &[u8], cut: usize) -> Vec<String> {
    let mut scanner = Events::default();
    let (mut all, mut data, mut has_data) = (Vec::new(), Vec::new(), false);
    for mut chunk in stream.chunks(cut) {
        while let Some(piece) = scanner.next(&mut chunk) {
            match piece {
                Piece::Data(part) => {
                    has_data = true;
                    data.extend_from_slice(part);
                }
                Piece::End => {
                    let event = std::mem::take(&mut data);
                    if std::mem::take(&mut has_data) {
                        all.push(String::from_utf8_lossy(&event).into_owned());
                    }
                }
            }
        }
    }
    all
}

/// The same by the words of the standard: line by line, on the whole text.
fn by_the_standard(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(stream)).into_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut all, mut data) = (Vec::new(), String::new());
    for line in lines {
        if line.is_empty() {
            let event = std::mem::take(&mut data);
            if let Some(event) = event.strip_suffix('\n').filter(|event| !event.is_empty()) {
                all.push(event.to_owned());
            }
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name == "data" {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
            data.push('\n');
        }
    }
    all
}

#[test]
fn events_are_told_apart_in_every_form_the_standard_has() {
    for (stream, wanted) in [
        ("data: a\n\ndata:b\n\n", &["a", "b"][..]),
        ("data: a\r\n\r\ndata:  b\r\r", &["a", " b"]),
        ("\u{FEFF}data: a\n\n", &["a"]),
        (": data: x\ndata: a\n:\n\n", &["a"]),
        ("event: e\nid: 1\nretry: 2\ndata: a\ndata: b\n\n", &["a\nb"]),
        ("data\ndata\n\n", &["\n"]),
        ("data: a\ndata:\n\n", &["a\n"]),
        ("data: a", &[]),
        ("data: a\n", &[]),
        ("datab: x\ndat: x\n data: x\nDATA: x\n\n", &[]),
        ("\n\n\r\n\r\rdata: a\u{2028}\u{85}b\n\n\n", &["a\u{2028}\u{85}b"]),
        ("data: {\"é\":1}\n\n", &["{\"é\":1}"]),
    ] {
        for cut in 1..=stream.len() {
            assert_eq!(events(stream.as_bytes(), cut), wanted, "{stream:?} {cut}");
        }
    }
}

#[test]
fn a_megabyte_in_one_chunk_is_one_piece_of_that_chunk() {
    let stream = format!("data: {}\n\n", "x".repeat(1 << 20));
    let mut rest = stream.as_bytes();
    let Some(Piece::Data(data)) = Events::default().next(&mut rest) else { panic!("no data") };
    assert_eq!((data.len(), data.as_ptr()), (1 << 20, stream[6..].as_ptr()));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_events_of_the_standard(
        parts in prop::collection::vec("data|:|: |\n|\r|\r\n|\n\n|[a-zé\\{]{1,4}|event|\u{FEFF}| ", 0..40),
        cut in 1..30_usize,
    ) {
        let stream = parts.concat();
        // an event whose data is empty is none by the standard; here it has no data to speak of
        let some = |events: Vec<String>| events.into_iter().filter(|event| !event.is_empty()).collect::<Vec<_>>();
        prop_assert_eq!(some(events(stream.as_bytes(), cut)), some(by_the_standard(stream.as_bytes())));
    }

    #[test]
    fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200), cut in 1..30_usize) {
        prop_assert_eq!(events(&stream, cut), events(&stream, stream.len().max(1)));
    }
}

#[test]
fn an_event_is_an_error_if_its_last_name_is_exactly_that() {
    for (stream, is_error) in [
        ("event: error\n\n", true),
        ("event:error\r\n\r\n", true),
        ("event: ok\nevent: error\ndata: x\n\n", true),
        ("event: error\nid: 1\n: event: ok\neventual: ok\n\n", true),
        ("event: error\nevent: ok\n\n", false),
        ("event: error\nevent\n\n", false),
        ("event: error\nevent:\n\n", false),
        ("event:  error\n\n", false),
        ("event: errors\n\n", false),
        ("event: erro\n\n", false),
        ("event: error\n\ndata: x\n\n", false),
    ] {
        for cut in 1..=stream.len() {
            let mut events = Events::default();
            for mut chunk in stream.as_bytes().chunks(cut) {
                while events.next(&mut chunk).is_some() {}
            }
            assert_eq!(events.was_error(), is_error, "{stream:?} in pieces of {cut}");
        }
    }
}
