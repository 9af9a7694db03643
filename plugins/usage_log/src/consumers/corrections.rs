//! Rows and their corrections, where both come together: a sink gets the last word only.

use std::collections::HashMap;

use crate::Record;

/// Puts corrections in the places of the rows that they correct, as far as both are among these records.
pub(super) fn merge(records: Vec<Record>) -> Vec<Record> {
    let revision = |record: &Record| match record {
        Record::Request(row) => row.revision,
        Record::Batch(_) => 0,
    };
    // nearly no row is corrected
    if records.iter().all(|record| revision(record) == 0) {
        return records;
    }
    let mut places = HashMap::new();
    let mut merged: Vec<Record> = Vec::with_capacity(records.len());
    for record in records {
        let Record::Request(row) = &record else {
            merged.push(record);
            continue;
        };
        let place = *places.entry(row.id).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(earlier) if revision(earlier) <= row.revision => *earlier = record,
            Some(_) => {}
            None => merged.push(record),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use plugin_api::Uuid;

    use super::*;
    use crate::Row;

    #[test]
    fn a_correction_stands_in_the_place_of_its_row() {
        let row = |id, revision| Record::Request(Box::new(Row { id: Uuid::from_u128(id), revision, ..Row::default() }));
        let batch = || Record::Batch(Box::default());
        let merged = merge(vec![row(1, 0), row(2, 0), batch(), row(1, 1), row(3, 1), batch(), row(3, 0)]);
        assert_eq!(merged, [row(1, 1), row(2, 0), batch(), row(3, 1), batch()]);
    }
}
