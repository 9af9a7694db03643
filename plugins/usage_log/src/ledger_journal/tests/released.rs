//! Journals that other releases wrote: an earlier one's is read whole, and a later one's stays.

use super::*;
use crate::{Billed, Cost, Piece, Timestamp, Tokens, UsageSource};

/// What the first release wrote: five records, of which it had read one.
const SEGMENT_1: &[u8] =
    include_bytes!("../../../../../tests/suite/ledger/released/journal_1/0000000000000001.journal");
const POSITION: &[u8] = include_bytes!("../../../../../tests/suite/ledger/released/journal_1/position");

fn segment(folder: &Folder, number: u64) -> PathBuf {
    folder.0.join(format!("{number:016x}.journal"))
}

fn first_release(folder: &Folder) {
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(segment(folder, 1), SEGMENT_1).unwrap();
    fs::write(folder.0.join("position"), POSITION).unwrap();
}

/// What it was.
fn written() -> Vec<Record> {
    let row = |sequence| Row {
        id: Uuid::from_u128(7),
        created_at: Timestamp::from_micros(1_700_000_000_000_000 + sequence),
        instance: Uuid::from_u128(8),
        sequence,
        domain: "a.example".into(),
        method: "POST".into(),
        path: "/v1/messages".into(),
        outcome: "completed".into(),
        ..Row::default()
    };
    let request = |row| Record::Request(Box::new(row));
    let body = |bytes: &[u8]| Some(Body { bytes: bytes.to_vec(), encoding: Some("gzip".into()), truncated: true });
    vec![
        request(row(1)),
        request(Row {
            endpoint: Some("messages".into()),
            model: Some("claude".into()),
            conversation_id: Some(Uuid::from_u128(9)),
            turn_hash: Some([7; 32]),
            response_status: Some(200),
            streaming: Some(true),
            tokens: Tokens { input: Some(3), ..Tokens::default() },
            usage_source: UsageSource::Partial,
            billed: vec![Billed { kind: "message".into(), ..Billed::default() }],
            cost_usd: Some(Cost::from_picos(1 << 80)),
            client_ip: Some("2001:db8::1".parse().unwrap()),
            error_type: Some("overloaded_error".into()),
            request_body: body(b"\0\xff request"),
            response_body: body(b"response"),
            chunks: vec![Piece { after_ms: 5, bytes: b"piece".to_vec() }],
            ..row(2)
        }),
        Record::Batch(Box::new(BatchRow { batch: "b".into(), custom_id: "é\u{1F600}".into(), ..BatchRow::default() })),
        request(Row { revision: 1, outcome: "client_gone".into(), ..row(2) }),
        request(row(3)),
    ]
}

#[test]
fn what_an_earlier_release_left_is_read_to_the_last_byte() {
    let folder = Folder::new();
    first_release(&folder);
    let (journal, mut reader) = folder.open(PLENTY);
    assert_eq!((reader.count_old(), journal.get().waiting()), (4, 4));
    assert_eq!(waiting(&folder.0).unwrap().rows.len(), 2);
    append(&journal, [7]);
    let batch = reader.next_batch(9, usize::MAX).unwrap().unwrap();
    assert_eq!(batch.records[..4], written()[1..]);
    assert_eq!(numbers(&batch.records[4..]), [7]);
    reader.done(&batch).unwrap();
    assert_eq!((journal.get().waiting(), lost(&journal, "damaged"), segment(&folder, 1).exists()), (0, 0, false));
    drop((journal, reader));
    let (_journal, mut reader) = folder.open(PLENTY);
    assert_eq!(drain(&mut reader), Vec::<i64>::new());
}

#[test]
fn a_segment_of_an_earlier_release_whose_head_is_damaged_is_quarantined() {
    let folder = Folder::new();
    first_release(&folder);
    let path = segment(&folder, 1);
    fs::write(&path, [&[0; 24], &SEGMENT_1[24..]].concat()).unwrap();
    let (journal, mut reader) = folder.open(PLENTY);
    append(&journal, [4]);
    assert_eq!(drain(&mut reader), [4]);
    assert_eq!((lost(&journal, "damaged"), journal.get().waiting()), (1, 0));
    assert!(path.with_extension("damaged").exists());
}
