//! What the shipper is told from outside, and waiting for a database as long as its orders allow. Does not ship.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::Trouble;
use crate::{StoreError, StoreSettings};

/// What the shipper is told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// The database.
    pub(crate) settings: StoreSettings,
    /// Whether the journal is brought to the disk once a second.
    pub(crate) sync: bool,
    /// Until when what waits may be shipped, once the gateway stops.
    pub(crate) end: Option<Instant>,
    /// Lives as long as the configuration that these settings are of.
    pub(crate) wanted: Weak<()>,
}

impl Orders {
    /// The settings by which the database does its housekeeping; none where no configuration wants that any more.
    pub(crate) fn housekeeping(&self) -> Option<StoreSettings> {
        (self.wanted.strong_count() > 0).then(|| self.settings.clone())
    }
}

/// Waits for the database, but not longer than `limit`, nor than the gateway's end.
pub(super) async fn within<T>(
    orders: &mut watch::Receiver<Orders>,
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Trouble> {
    tokio::select! {
        answer = asked => answer.map_err(|error| match error {
            StoreError::Unavailable(why) => Trouble("unavailable", why),
            StoreError::Refused(why) | StoreError::Rejected(why) => Trouble("rejected", why),
        }),
        () = sleep(limit) => Err(Trouble("timeout", format!("the database has not answered for {} s", limit.as_secs()))),
        () = end(orders) => Err(Trouble("timeout", "the gateway stops, and the database has not answered".into())),
    }
}

/// Waits until the gateway's time is up.
async fn end(orders: &mut watch::Receiver<Orders>) {
    loop {
        let end = orders.borrow_and_update().end;
        match end {
            Some(end) => return sleep_until(end.into()).await,
            None if orders.changed().await.is_err() => return std::future::pending().await,
            None => {}
        }
    }
}
