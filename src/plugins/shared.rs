//! What plugins keep across reloads, each its own, and what they offer to the rest of the gateway by it.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use plugin_api::{AdminRoute, Common, Handover, Plugin, Shared, TelemetrySettings};
use prometheus::core::Collector;

use super::all;
use crate::chain::ExplanationLog;

/// What the plugins of this build keep across reloads.
pub struct PluginShared {
    each: Vec<(&'static str, Box<dyn OneShared>)>,
    common: Arc<Common>,
    /// Where plugins say what they would do, where they only explain it.
    explanations: Option<Arc<ExplanationLog>>,
}

impl Default for PluginShared {
    fn default() -> Self {
        let each = all().iter().map(|kind| (kind.name(), kind.shared())).collect();
        Self { each, common: Arc::default(), explanations: None }
    }
}

impl PluginShared {
    /// What plugins keep that are built to explain what they would do, and say so in `log`.
    #[must_use]
    pub fn to_explain(log: Arc<ExplanationLog>) -> Self {
        Self { explanations: Some(log), ..Self::default() }
    }

    /// Where plugins say what they would do, where they only explain it.
    pub(super) fn explanations(&self) -> Option<&Arc<ExplanationLog>> {
        self.explanations.as_ref()
    }

    /// What `/metrics` shows of plugins, whatever configuration is in force.
    #[must_use]
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let each = self.each.iter().flat_map(|(_, shared)| shared.collectors());
        each.chain([self.common.rejections.collector()]).collect()
    }

    /// What plugins answer on the admin listener.
    #[must_use]
    pub fn admin_routes(&self) -> Vec<AdminRoute> {
        self.each.iter().flat_map(|(_, shared)| shared.admin_routes()).collect()
    }

    /// Finishes what is under way, after the last request and before the process ends. Blocks until the deadline at most.
    pub fn finish(&self, deadline: Instant) {
        self.each.iter().for_each(|(_, shared)| shared.finish(deadline));
    }

    /// Takes a step of handing over what only one process may have, in the order of the list.
    ///
    /// # Errors
    /// The first plugin that cannot, and why; those behind it are not asked.
    pub fn hand_over(&self, step: Handover) -> Result<(), String> {
        self.each.iter().try_for_each(|(name, shared)| shared.hand_over(step).map_err(|why| format!("{name}: {why}")))
    }

    /// This telemetry is in force from now on.
    pub fn activate_telemetry(&self, settings: &TelemetrySettings) {
        self.common.telemetry.activate(settings);
    }

    /// What all of them share.
    #[must_use]
    pub fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// What this plugin keeps; `None` if it is not part of the build.
    pub(super) fn of<P: Plugin>(&self) -> Option<&Arc<P::Shared>> {
        let (_, shared) = self.each.iter().find(|(name, _)| *name == P::NAME)?;
        (&**shared as &dyn Any).downcast_ref()
    }
}

/// What one plugin keeps, without its type.
pub trait OneShared: Any + Send + Sync {
    /// What `/metrics` shows of it.
    fn collectors(&self) -> Vec<Box<dyn Collector>>;

    /// What it answers on the admin listener.
    fn admin_routes(&self) -> Vec<AdminRoute>;

    /// Finishes what is under way.
    fn finish(&self, deadline: Instant);

    /// Takes a step of handing over what only one process may have.
    fn hand_over(&self, step: Handover) -> Result<(), String>;
}

impl<S: Shared> OneShared for Arc<S> {
    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        Shared::collectors(self)
    }

    fn admin_routes(&self) -> Vec<AdminRoute> {
        Shared::admin_routes(self)
    }

    fn finish(&self, deadline: Instant) {
        Shared::finish(&**self, deadline);
    }

    fn hand_over(&self, step: Handover) -> Result<(), String> {
        Shared::hand_over(&**self, step)
    }
}
