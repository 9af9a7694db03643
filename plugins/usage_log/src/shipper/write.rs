//! Writes a batch, and distinguishes records that the database refuses from a database that takes none.

use tokio::sync::watch;

use super::config::{ShipperConfig, within};
use super::isolate::{Isolated, SAMPLES, isolate, one_by_one};
use super::{ShipError, WRITE};
use crate::{Record, Store, Written};

/// Writes records, and finds those that the database refuses while it takes others. Few records that are all refused say nothing of
/// the schema: whether it takes others shows in one that it took before.
pub(super) async fn written(
    shipping: &mut watch::Receiver<ShipperConfig>,
    store: &mut Store,
    records: &[Record],
    taken: Option<&Record>,
    attempt: usize,
) -> Result<Isolated, ShipError> {
    let mut write = async |records: &[Record]| verdict(within(shipping, WRITE, store.write(records)).await);
    let isolated = isolate(records, attempt, &mut write).await?;
    let (Isolated::Refused(_), Some(taken)) = (&isolated, taken.filter(|_| records.len() <= SAMPLES)) else {
        return Ok(isolated);
    };
    if verdict(within(shipping, WRITE, store.would_take(taken)).await)?.is_err() {
        return Ok(isolated);
    }
    let write = async |records: &[Record]| verdict(within(shipping, WRITE, store.write(records)).await);
    let (new, rejected) = one_by_one(records, 0..records.len(), write).await?;
    let known = ((records.len() - rejected.len()) as u64).saturating_sub(new);
    Ok(Isolated::Written(Written { new, known }, rejected))
}

/// The verdict of the database on records: taken, or refused and why. Any other failure is no verdict.
fn verdict<T>(answer: Result<T, ShipError>) -> Result<Result<T, String>, ShipError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(ShipError("rejected", why)) => Ok(Err(why)),
        Err(error) => Err(error),
    }
}
