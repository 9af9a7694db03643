//! How the shipper is configured from outside, and waiting for a database as long as that allows. Ships nothing.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::ShipError;
use crate::dashboard::ReadFrom;
use crate::{StoreError, StoreSettings};

/// The configuration of a shipper, which may change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct ShipperConfig {
    /// The database.
    pub(crate) settings: StoreSettings,
    /// Where the dashboard reads.
    pub(crate) read_from: ReadFrom,
    /// Whether the journal is brought to the disk once a second.
    pub(crate) sync: bool,
    /// Until when what waits may be shipped, once the gateway stops.
    pub(crate) end: Option<Instant>,
    /// Lives as long as the gateway's configuration that these settings are of.
    pub(crate) alive: Weak<()>,
}

impl ShipperConfig {
    /// The settings for the database's housekeeping; none once the gateway's configuration is gone.
    pub(crate) fn housekeeping(&self) -> Option<StoreSettings> {
        self.is_in_force().then(|| self.settings.clone())
    }

    /// Whether the gateway's configuration that it is of still exists.
    pub(crate) fn is_in_force(&self) -> bool {
        self.alive.strong_count() > 0
    }
}

/// Waits for the database, but not longer than `limit`, nor than the gateway's end.
pub(super) async fn within<T>(
    shipping: &mut watch::Receiver<ShipperConfig>,
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ShipError> {
    tokio::select! {
        answer = asked => answer.map_err(|error| match error {
            StoreError::Unavailable(why) => ShipError("unavailable", why),
            StoreError::Refused(why) | StoreError::Rejected(why) => ShipError("rejected", why),
        }),
        () = sleep(limit) => Err(ShipError("timeout", format!("the database has not answered for {} s", limit.as_secs()))),
        () = end(shipping) => Err(ShipError("timeout", "the gateway stops, and the database has not answered".into())),
    }
}

/// Waits until the gateway's time is up.
async fn end(shipping: &mut watch::Receiver<ShipperConfig>) {
    loop {
        let end = shipping.borrow_and_update().end;
        match end {
            Some(end) => return sleep_until(end.into()).await,
            None if shipping.changed().await.is_err() => return std::future::pending().await,
            None => {}
        }
    }
}
