//! The bytes come out as they went in, in memory that is bounded by the bytes.

use proptest::prelude::*;

use super::*;

#[test]
fn pieces_of_one_byte_take_little_more_than_their_bytes() {
    let mut rope = Rope::default();
    for count in 1..=1_000_000 {
        let most = rope.held() + rope.growth(1);
        rope.push(b"x");
        assert_eq!(rope.length(), count);
        assert!(rope.held() <= most, "{count}: {} of {most}", rope.held());
        assert!(rope.held() <= 2 * count + 2048, "{count}: {}", rope.held());
    }
    assert!(rope.full.len() < 300);
}

#[test]
fn events_that_are_alike_take_a_fraction_of_their_bytes() {
    let event = |at: usize| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" word{at}\"}}}}\n\n"
        )
    };
    let (mut rope, mut all) = (Rope::default(), Vec::new());
    for at in 0..10_000 {
        rope.push(event(at).as_bytes());
        all.extend_from_slice(event(at).as_bytes());
    }
    assert!(rope.held() * 7 < all.len(), "{} of {}", rope.held(), all.len());
    assert_eq!(rope.copy(0, usize::MAX).unwrap(), all);
}

#[test]
fn headers_hold_the_longest_numbers() {
    let most = *COMPARED.end();
    for (start, middle, end) in [(most, 0, 0), (0, 0, most), (1, most - 2, 1), (0, 0, 0), (0, i32::MAX as usize, 0)] {
        let header = Header::decode(Header { start, middle, end }.encode());
        assert_eq!((header.start, header.middle, header.end), (start, middle, end));
    }
}

#[test]
fn pieces_of_the_longest_length_that_is_compared_and_of_one_more_come_back() {
    let (mut rope, mut all) = (Rope::default(), Vec::new());
    for length in [1023, 1023, 1024, 1023, 1024, 1024, 47, 48, 48, 47, 1] {
        let piece = vec![b'x'; length];
        rope.push(&piece);
        all.extend_from_slice(&piece);
    }
    assert_eq!(rope.copy(0, usize::MAX).unwrap(), all);
}

/// Pieces of all lengths, some of them like the one before.
fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let change = (0_usize..1200, 0_usize..1200, prop::collection::vec(any::<u8>(), 0..40));
    let piece = prop_oneof![
        prop::collection::vec(0_u8..2, 0..80).prop_map(Ok),
        (0_usize..3000, any::<u8>()).prop_map(|(length, byte)| Ok(vec![byte; length])),
        change.prop_map(Err),
    ];
    prop::collection::vec((piece, prop::bool::weighted(0.1)), 0..80).prop_map(|pieces| {
        let mut last = Vec::new();
        let mut piece = |piece: Result<Vec<u8>, (usize, usize, Vec<u8>)>| {
            last = match piece {
                Ok(piece) => piece,
                Err((start, end, middle)) => {
                    let (start, end) = (start.min(last.len()), end.min(last.len()));
                    [&last[..start], &middle, &last[last.len() - end..]].concat()
                }
            };
            last.truncate(3000);
            last.clone()
        };
        pieces.into_iter().map(|(change, shrinks)| (piece(change), shrinks)).collect()
    })
}

#[test]
fn a_piece_that_adds_nothing_of_its_own_takes_no_room_that_is_not_there() {
    for length in 48..400 {
        let (mut rope, mut all) = (Rope::default(), Vec::new());
        for at in 0..400 {
            // each second one is the one before it
            let piece: Vec<u8> = (0..length).map(|byte| (byte * 31 + at / 2 * 7) as u8).collect();
            rope.push(&piece);
            all.extend_from_slice(&piece);
            assert!(rope.open.bytes.capacity() <= MOST, "{length}");
        }
        assert_eq!(rope.copy(0, usize::MAX).unwrap(), all);
    }
}

proptest! {
    #[test]
    fn all_bytes_are_there_until_they_go(pieces in pieces(), at in any::<prop::sample::Index>()) {
        let (mut rope, mut all) = (Rope::default(), Vec::new());
        for (piece, shrinks) in pieces {
            all.extend_from_slice(&piece);
            let most = rope.held() + rope.growth(piece.len());
            rope.push(&piece);
            prop_assert!(rope.held() <= most);
            let blocks: usize = rope.full.iter().chain([&rope.open]).map(Block::held).sum();
            prop_assert_eq!(rope.held(), blocks + rope.last.capacity());
            if shrinks {
                rope.shrink(10_000);
                prop_assert!(rope.held() <= 10_000);
            }
            prop_assert_eq!(rope.gone() + rope.length(), all.len());
        }
        let from = at.index(all.len() + 1);
        let wanted = (from >= rope.gone()).then(|| &all[from..all.len().min(from + 5000)]);
        let copied = rope.copy(from, 5000);
        prop_assert_eq!(copied.as_deref(), wanted);
        rope.shrink(0);
        prop_assert_eq!((rope.held(), rope.length(), rope.gone()), (0, 0, all.len()));
    }
}
