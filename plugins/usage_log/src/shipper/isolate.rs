//! A batch that the database refuses: finds the records to blame, or that none of them is. Knows neither of the two.

use crate::{Record, Written};

/// As many records are tried one by one before anything else. No more than these say nothing of the schema.
pub(super) const SAMPLES: usize = 8;

/// What a batch came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Isolated {
    /// All was written but these records, each refused twice, and others taken before and after; and why.
    Written(Written, Vec<(usize, String)>),
    /// Nothing is known against any record: the database takes none, or no others while it refuses some; and why.
    Refused(String),
}

/// Writes records. Of a batch that is refused, some are tried alone: another choice at each `attempt`. If it takes none of them, it is
/// the schema or a permission; if it takes any, those that it does not take are found by halving. A record is to blame only if it is
/// refused once more in the end, and one that was taken is taken still: the database may have changed its mind meanwhile.
///
/// # Errors
/// What kept `write` from telling. Nothing is said of the records then; they are all worth another try.
pub(super) async fn isolate<E>(
    records: &[Record],
    attempt: usize,
    mut write: impl AsyncFnMut(&[Record]) -> Result<Result<Written, String>, E>,
) -> Result<Isolated, E> {
    let why = match write(records).await? {
        Ok(written) => return Ok(Isolated::Written(written, Vec::new())),
        Err(why) => why,
    };
    let (mut new, mut taken) = (0, None);
    if records.len() > 1 {
        for at in samples(records.len(), attempt) {
            if let Ok(written) = write(&records[at..=at]).await? {
                new += written.new;
                taken = Some(at);
                break;
            }
        }
    }
    let Some(taken) = taken else { return Ok(Isolated::Refused(why)) };
    let mut refused = Vec::new();
    let mut parts = halves(0, records.len()).collect::<Vec<_>>();
    while let Some((from, to)) = parts.pop() {
        match write(&records[from..to]).await? {
            Ok(written) => new += written.new,
            Err(_) if to - from <= 1 => refused.push(from),
            Err(_) => parts.extend(halves(from, to)),
        }
    }
    let (more, rejected) = one_by_one(records, refused, &mut write).await?;
    new += more;
    if let Err(why) = write(&records[taken..=taken]).await? {
        return Ok(Isolated::Refused(why));
    }
    // one that was taken alone came again with its neighbors, and was known then
    let all = (records.len() - rejected.len()) as u64;
    Ok(Isolated::Written(Written { new, known: all.saturating_sub(new) }, rejected))
}

/// Writes records one by one: how many of them are new, and which are refused and why.
///
/// # Errors
/// What kept `write` from telling.
pub(super) async fn one_by_one<E>(
    records: &[Record],
    which: impl IntoIterator<Item = usize>,
    mut write: impl AsyncFnMut(&[Record]) -> Result<Result<Written, String>, E>,
) -> Result<(u64, Vec<(usize, String)>), E> {
    let (mut new, mut refused) = (0, Vec::new());
    for at in which {
        match write(&records[at..=at]).await? {
            Ok(written) => new += written.new,
            Err(why) => refused.push((at, why)),
        }
    }
    Ok((new, refused))
}

/// The halves of a part, the first of them last.
fn halves(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    let middle = usize::midpoint(from, to);
    [(middle, to), (from, middle)].into_iter()
}

/// Records to try, evenly over a batch; others at the next attempt.
fn samples(length: usize, attempt: usize) -> impl Iterator<Item = usize> {
    let count = length.min(SAMPLES);
    (0..count).map(move |number| (number * length / count + attempt) % length)
}
