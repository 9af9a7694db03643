//! Segments that are torn, flipped, forged and full of noise: what is whole comes back.

use proptest::prelude::*;

use super::*;

#[test]
fn a_segment_whose_head_is_damaged_is_read_as_its_run_says() {
    let folder = Folder::new();
    {
        let (journal, _) = folder.open(PLENTY);
        append_all(&journal, 1..=3);
    }
    let path = folder.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[..segment::HEAD].fill(0);
    fs::write(&path, bytes).unwrap();
    let (journal, mut reader) = folder.open(PLENTY);
    append_all(&journal, [4]);
    assert_eq!(drain(&mut reader), [1, 2, 3, 4]);
    assert_eq!((folder.lost(), journal.waiting()), (0, 0));
}

#[test]
fn a_frame_that_a_kill_tore_is_no_loss_and_one_that_was_whole_is() {
    for (torn, lost_records) in [(false, 0), (true, 1)] {
        let folder = Folder::new();
        let (path, mut bytes, _) = left_behind(&folder, 3);
        if torn {
            bytes.pop();
        } else {
            // what a kill leaves of a fourth, which nobody was told is kept
            bytes.extend_from_within(segment::HEAD..segment::HEAD + 50);
        }
        fs::write(&path, bytes).unwrap();
        let (_journal, mut reader) = folder.open(PLENTY);
        assert_eq!(drain(&mut reader).len() as u64, 3 - lost_records);
        assert_eq!(folder.lost(), lost_records);
    }
}

/// A run that left so many records, one segment, and the places where its frames begin.
fn left_behind(folder: &Folder, count: i64) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let mut starts = Vec::new();
    {
        let (journal, _) = folder.open(PLENTY);
        for number in 0..count {
            starts.push(usize::try_from(journal.bytes()).unwrap());
            append(&journal, &mut if number % 3 == 0 { with_body(number, 40) } else { record(number) });
        }
    }
    let path = folder.segments().remove(0);
    let bytes = fs::read(&path).unwrap();
    starts.push(bytes.len());
    (path, bytes, starts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_torn_segment_keeps_every_whole_frame(count in 1_i64..12, cut in 0.0..1.0_f64) {
        let folder = Folder::new();
        let (path, bytes, starts) = left_behind(&folder, count);
        let length = (bytes.len() as f64 * cut) as usize;
        fs::write(&path, &bytes[..length]).unwrap();
        let (journal, mut reader) = folder.open(PLENTY);
        let whole = starts[1..].iter().filter(|end| **end <= length).count();
        prop_assert_eq!(drain(&mut reader), (0..whole as i64).collect::<Vec<_>>());
        prop_assert_eq!((folder.lost(), journal.waiting()), (count as u64 - whole as u64, 0));
    }

    #[test]
    fn a_flipped_byte_costs_at_most_the_frame_it_is_in(count in 1_i64..12, at in 0.0..1.0_f64, flip in 1_u8..) {
        let folder = Folder::new();
        let (path, mut bytes, starts) = left_behind(&folder, count);
        let at = (bytes.len() as f64 * at) as usize;
        bytes[at] ^= flip;
        fs::write(&path, &bytes).unwrap();
        let (journal, mut reader) = folder.open(PLENTY);
        let hit = starts.windows(2).position(|frame| (frame[0]..frame[1]).contains(&at));
        let expected: Vec<i64> = (0..count).filter(|number| hit != usize::try_from(*number).ok()).collect();
        prop_assert_eq!(drain(&mut reader), expected);
        prop_assert_eq!((folder.lost(), journal.waiting()), (u64::from(hit.is_some()), 0));
    }

    #[test]
    fn noise_is_never_a_record(noise in proptest::collection::vec(any::<u8>(), 0..2_000), marks in proptest::collection::vec(0.0..1.0_f64, 0..8)) {
        let mut noise = noise;
        for mark in marks {
            let at = (noise.len() as f64 * mark) as usize;
            if let Some(place) = noise.get_mut(at..at + 4) {
                place.copy_from_slice(&[0xF1, 0x54, 0x47, 0xA6]);
            }
        }
        let folder = Folder::new();
        let (path, bytes, starts) = left_behind(&folder, 3);
        // between two frames
        let bytes = [&bytes[..starts[1]], &noise, &bytes[starts[1]..]].concat();
        fs::write(&path, &bytes).unwrap();
        let (_journal, mut reader) = folder.open(PLENTY);
        prop_assert_eq!(drain(&mut reader), [0, 1, 2]);
        prop_assert_eq!(folder.lost(), 0);
    }
}

#[test]
fn a_body_that_looks_like_a_frame_is_no_record() {
    let folder = Folder::new();
    let mut forged = Vec::new();
    // whoever writes the body does not know the salt
    assert!(frame::encode(Kind::Numbered, FORMAT, |bytes| bytes.extend_from_slice(&[6; 16]), 0, &mut forged));
    frame::place(&mut forged, count::Count::default());
    {
        let (journal, _) = folder.open(PLENTY);
        append(&journal, &mut Record { body: forged.repeat(5), ..record(1) });
        append_all(&journal, [2]);
    }
    let path = folder.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[segment::HEAD + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (_, mut reader) = folder.open(PLENTY);
    assert_eq!(drain(&mut reader), [2]);
}
