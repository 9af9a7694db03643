//! What the journal reports, as metrics and log lines.

use std::path::Path;
use std::sync::Arc;

use journal::{Event, Loss, Observer};
use log::{error, warn};
use plugin_api::LogLimit;

use crate::metrics::LedgerMetrics;

/// Counts and logs.
#[derive(Debug)]
pub(super) struct Reporter {
    metrics: Arc<LedgerMetrics>,
    limit: LogLimit<&'static str>,
}

impl Reporter {
    pub(super) fn new(metrics: Arc<LedgerMetrics>) -> Self {
        Self { metrics, limit: LogLimit::new() }
    }

    fn count(&self, event: &Event<'_>) {
        match event {
            Event::Damaged { gaps, .. } => self.metrics.lost("damaged", *gaps),
            Event::Lost { loss: Loss { numbered, amendments, unnumbered }, .. } => {
                self.metrics.lost("damaged", numbered + unnumbered);
                self.metrics.lost_corrections(*amendments);
            }
            Event::Quarantined { uncounted: true, .. } | Event::Gone { uncounted: true, .. } => {
                self.metrics.lost("damaged", 1);
            }
            _ => {}
        }
    }
}

impl Observer for Reporter {
    fn on(&self, folder: &Path, event: &Event<'_>) {
        self.count(event);
        let Some(suppressed) = self.limit.pass(word(event)) else { return };
        let journal = folder.display();
        match event {
            Event::Damaged { bytes, gaps } => {
                warn!(bytes, gaps, journal:%, suppressed; "parts of the ledger's journal are damaged or torn, and were passed over");
            }
            Event::Lost { loss: Loss { numbered: rows, amendments: corrections, unnumbered: results }, instance } => {
                let instance = instance.map_or_else(String::new, |instance| instance.to_string());
                error!(rows, results, corrections, instance, journal:%, suppressed; "the ledger's journal is damaged, and rows in it are lost; `tollgate usage verify` tells which");
            }
            Event::LossNotNoted { instance, error } => {
                warn!(error:%, instance:%, journal:%, suppressed; "the ledger cannot note which rows are lost");
            }
            Event::Quarantined { file, why, .. } => {
                error!(why, file:% = file.display(), suppressed; "a segment of the ledger's journal cannot be read: it is in quarantine, and its rows are not in the database; \
                    once it can be read, it is shipped at a start that finds it as a `.journal` of a number above all others");
            }
            Event::Gone { file, why, .. } => {
                error!(why, file:% = file.display(), suppressed; "a segment of the ledger's journal is gone, and its rows with it");
            }
            Event::NotRemoved { file, error } => {
                error!(error:%, file:% = file.display(), suppressed; "a segment of the ledger's journal that is done with cannot be removed");
            }
            Event::NotBegun { error } => {
                error!(error:%, journal:%, suppressed; "the ledger's journal cannot begin another segment, and goes on with the one it has");
            }
            Event::ConsumersCut { file, bytes } => {
                warn!(bytes, file:% = file.display(), suppressed; "the ledger's journal has no room for what its consumers have yet to read; the oldest of it is removed");
            }
            Event::Unknown { records } => {
                warn!(records, journal:%, suppressed; "the ledger's journal has records of a later release: they stay there, and a start of that release ships them");
            }
            Event::UnknownNotKept { file, error } => {
                error!(error:%, file:% = file.display(), suppressed; "records of a later release cannot be set apart in the ledger's journal; their segment stays");
            }
            _ => warn!(journal:%, suppressed; "the ledger's journal reports {event:?}"),
        }
    }
}

/// What makes two lines different to an operator.
fn word(event: &Event<'_>) -> &'static str {
    match event {
        Event::Damaged { .. } => "damaged",
        Event::Lost { .. } => "lost",
        Event::LossNotNoted { .. } => "loss_not_noted",
        Event::Quarantined { .. } => "quarantined",
        Event::Gone { .. } => "gone",
        Event::NotRemoved { .. } => "not_removed",
        Event::NotBegun { .. } => "not_begun",
        Event::ConsumersCut { .. } => "consumers_cut",
        Event::Unknown { .. } => "unknown",
        Event::UnknownNotKept { .. } => "unknown_not_kept",
        _ => "other",
    }
}
