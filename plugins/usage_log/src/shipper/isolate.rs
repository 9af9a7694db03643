//! A batch of which the database rejects something: finds what. Knows neither of the two.

use crate::{Record, Written};

/// Writes records, and finds those that are rejected by halving: what was written, and which were rejected and why.
///
/// # Errors
/// What kept `write` from telling. Nothing is said of the records then; they are all worth another try.
pub(super) async fn isolate<E>(
    records: &[Record],
    mut write: impl AsyncFnMut(&[Record]) -> Result<Result<Written, String>, E>,
) -> Result<(Written, Vec<(usize, String)>), E> {
    let (mut sum, mut rejected) = (Written::default(), Vec::new());
    let mut parts = vec![(0, records.len())];
    while let Some((from, to)) = parts.pop() {
        match write(&records[from..to]).await? {
            Ok(written) => {
                sum.new += written.new;
                sum.known += written.known;
            }
            Err(why) if to - from <= 1 => rejected.push((from, why)),
            Err(_) => {
                let middle = usize::midpoint(from, to);
                parts.extend([(middle, to), (from, middle)]);
            }
        }
    }
    Ok((sum, rejected))
}
