//! What outlives reloads: the models that conversations keep.

use std::sync::{Arc, Weak};

use plugin_api::{Common, LedgerId, OpenLedger, SpendingReader, Spent, StoredCounts};

use crate::pins::Pins;

/// What all instances of the plugin share.
#[derive(Debug, Default)]
pub struct Shared {
    pub(crate) pins: Pins,
}

impl plugin_api::Shared for Shared {}

impl Shared {
    /// Learns of the ledgers' folders, where the pins are kept beside the journal.
    pub(crate) fn subscribe(self: &Arc<Self>, common: &Common) {
        let reader: Weak<Self> = Arc::downgrade(self);
        common.spending.subscribe(reader);
    }
}

impl SpendingReader for Shared {
    fn opened(&self, ledger: &OpenLedger, _begins: bool) {
        self.pins.open(&ledger.folder);
    }

    fn spent(&self, _: &Spent<'_>) {}

    fn stored(&self, _: LedgerId, _place: Option<u64>, _: &[StoredCounts<'_>]) {}
}
