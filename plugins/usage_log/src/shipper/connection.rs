//! The shipper's connection to its database, which follows the configuration.

use log::info;
use plugin_api::LogLimit;

use super::config::within;
use super::{CONNECT, MIGRATE, ShipError, Shipper};
use crate::Store;

impl Shipper {
    /// Connects although no row waits, so that a database that is wrong or down is logged before there is a row. Does not delay the end.
    pub(super) async fn connect_ahead(&mut self) -> Result<(), ShipError> {
        let mut shipping = self.shipping.clone();
        let ending = async move {
            let _ = shipping.wait_for(|shipping| shipping.end.is_some()).await;
        };
        tokio::select! {
            biased;
            () = ending => Ok(()),
            connected = self.connect() => connected,
        }
    }

    /// Connects, unless it is connected to the configured database.
    pub(super) async fn connect(&mut self) -> Result<(), ShipError> {
        if self.is_connected() {
            return Ok(());
        }
        let settings = self.shipping.borrow().settings.clone();
        self.connected = None;
        let limit = settings.pool.connect_timeout.get() + CONNECT;
        let mut store = within(&mut self.shipping, limit, Store::connect(&settings, self.metrics.store())).await?;
        within(&mut self.shipping, MIGRATE, store.migrate()).await?;
        // one that takes no rows is connected to again and again
        static CONNECTED: LogLimit<String> = LogLimit::new();
        if let Some(suppressed) = CONNECTED.pass(settings.database.to_string()) {
            info!(database:% = settings.database, suppressed; "the ledger is connected to its database");
        }
        self.connected = Some((store, settings));
        Ok(())
    }

    /// Whether it is connected to the configured database.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.as_ref().is_some_and(|(_, settings)| *settings == self.shipping.borrow().settings)
    }
}
