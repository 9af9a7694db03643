//! Records as the tables take them, in the order in which every gateway writes them: two that write the same rows wait for
//! each other, and never for each other at once.

use std::cmp::Reverse;

use uuid::Uuid;

use super::Written;
use crate::columns::Chunk;
use crate::{BatchRow, Record, Row, Timestamp};

/// A batch of records, table by table, each by its key. Of several of one request there is only the latest.
pub(super) struct Batch<'a> {
    pub(super) requests: Vec<&'a Row>,
    pub(super) bodies: Vec<&'a Row>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) batches: Vec<&'a BatchRow>,
    /// The results that came more than once, beyond the first of each.
    repeated: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut requests = Vec::with_capacity(records.len());
        let mut batches = Vec::new();
        for record in records {
            match record {
                Record::Request(row) => requests.push(&**row),
                Record::Batch(row) => batches.push(&**row),
            }
        }
        // by time first: COPY fills one partition after the other, whatever the order of its rows, and this is that order
        requests.sort_unstable_by_key(|row| (row.created_at, row.id, Reverse(row.revision)));
        requests.dedup_by_key(|row| (row.created_at, row.id));
        // of several the first counts
        batches.sort_by_key(|row| (&row.batch, &row.custom_id));
        let results = batches.len();
        batches.dedup_by_key(|row| (&row.batch, &row.custom_id));
        let repeated = results - batches.len();
        let has_body = |row: &&Row| row.request_body.is_some() || row.response_body.is_some();
        let bodies = requests.iter().copied().filter(has_body).collect();
        let chunks = requests.iter().flat_map(|row| Chunk::of(row)).collect();
        Self { requests, bodies, chunks, batches, repeated }
    }

    /// What it comes to if so many of its records are new.
    pub(super) fn written(&self, new: u64) -> Written {
        let all = (self.requests.len() + self.batches.len() + self.repeated) as u64;
        Written { new, known: all.saturating_sub(new) }
    }

    /// Whether it has nothing but requests, and none that is known to correct an earlier row.
    pub(super) fn is_plain(&self) -> bool {
        let new = self.requests.iter().all(|row| row.revision == 0);
        new && self.bodies.is_empty() && self.chunks.is_empty() && self.batches.is_empty()
    }

    /// When its requests began.
    pub(super) fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.requests.iter().map(|row| row.created_at)
    }
}

/// A record without what a database may refuse, and nobody is billed by. Of a row that is refused, this much is kept.
pub(super) fn bare(record: &Record) -> Record {
    match record {
        Record::Request(row) => Record::Request(Box::new(Row {
            usage_data: None,
            request_body: None,
            response_body: None,
            chunks: Vec::new(),
            ..(**row).clone()
        })),
        Record::Batch(row) => Record::Batch(Box::new(BatchRow { usage_data: None, ..(**row).clone() })),
    }
}

/// Another record like this one, which is in no database.
pub(super) fn another(record: &Record) -> Record {
    let (id, instance) = (Uuid::now_v7(), Uuid::now_v7());
    match record {
        Record::Request(row) => Record::Request(Box::new(Row { id, instance, ..(**row).clone() })),
        Record::Batch(row) => Record::Batch(Box::new(BatchRow { custom_id: id.to_string().into(), ..(**row).clone() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u128, revision: i16) -> Record {
        Record::Request(Box::new(Row { id: Uuid::from_u128(id), revision, ..Row::default() }))
    }

    #[test]
    fn of_several_records_of_a_request_the_latest_is_written() {
        let records =
            [record(1, 0), record(2, 0), record(2, 1), record(3, 1), record(3, 0), record(4, 0), record(4, 0)];
        let batch = Batch::of(&records);
        let kept: Vec<_> = batch.requests.iter().map(|row| (row.id.as_u128(), row.revision)).collect();
        assert_eq!(kept, [(1, 0), (2, 1), (3, 1), (4, 0)]);
    }

    #[test]
    fn a_batch_with_a_correction_is_not_plain() {
        assert!(Batch::of(&[record(1, 0), record(2, 0)]).is_plain());
        assert!(!Batch::of(&[record(1, 0), record(2, 1)]).is_plain());
    }
}
