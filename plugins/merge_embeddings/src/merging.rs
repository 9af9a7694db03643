//! What all instances share: the calls that wait, and what is counted.

use std::sync::Arc;

use plugin_api::Shared;
use plugin_api::prometheus::core::Collector;

use crate::figures::Figures;
use crate::groups::Groups;

/// What the plugin keeps across reloads.
#[derive(Debug, Default)]
pub struct Merging {
    pub(crate) groups: Arc<Groups>,
    pub(crate) figures: Figures,
}

impl Shared for Merging {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        self.figures.collectors()
    }
}
