//! Results of batches, and answers of batches that came when their clients had gone, on their way into a ledger.

use std::sync::Arc;

use plugin_api::{Common, LateBook, LateResult};
use prices::Prices;

use crate::Record;
use crate::entry::late_row;
use crate::ledgers::{Ledger, LedgerHandle};
use crate::row::BatchRow;
use crate::spending::{self, Reported};

/// A ledger as other plugins find it.
#[derive(Debug)]
pub(crate) struct Late {
    /// What tells it from other ledgers.
    pub(crate) name: Arc<str>,
    pub(crate) rows: Arc<LateRows>,
    book: Arc<dyn LateBook>,
    common: Arc<Common>,
}

/// Takes late answers.
#[derive(Debug)]
pub(crate) struct LateRows {
    ledger: Arc<Ledger>,
    prices: Arc<Prices>,
    /// How many tenants have a label of their own.
    tenant_labels: usize,
}

impl Late {
    pub(crate) fn new(ledger: &LedgerHandle, prices: &Arc<Prices>, tenant_labels: usize, common: &Arc<Common>) -> Self {
        let (name, ledger) = (ledger.name(), ledger.ledger().clone());
        let rows = Arc::new(LateRows { ledger, prices: prices.clone(), tenant_labels });
        Self { name, book: rows.clone(), rows, common: common.clone() }
    }

    /// The configuration with the ledger is in force.
    pub(crate) fn activate(&self) {
        self.common.late_books.open(&self.name, &self.book);
    }
}

impl LateRows {
    /// Gives the row of a result to the ledger, and reports what it cost.
    pub(crate) fn keep(&self, row: BatchRow) {
        let mut row = Record::Batch(Box::new(row));
        let place = self.ledger.keep(&mut row);
        let picos = spending::report(&self.ledger.feed, &row, place, &mut Reported::default());
        if let Record::Batch(row) = &row {
            let whose = (row.tenant.as_deref(), row.served_model.as_deref());
            count_cost(&self.ledger, &self.prices, self.tenant_labels, whose, picos);
        }
    }
}

impl LateBook for LateRows {
    fn book(&self, late: &LateResult) {
        self.keep(late_row(late, &self.prices));
    }
}

/// Counts what a tenant spent on a model, under the name by which that has a price. A correction that lowers a cost is not counted:
/// counters only rise.
pub(crate) fn count_cost(
    ledger: &Ledger,
    prices: &Prices,
    tenant_labels: usize,
    (tenant, model): (Option<&str>, Option<&str>),
    picos: i64,
) {
    if picos > 0 {
        let name = model.and_then(|model| prices.name(model));
        ledger.cost(tenant, tenant_labels, name, picos);
    }
}
