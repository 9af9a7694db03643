//! What a plugin keeps across reloads, and what the gateway asks it for: metrics, admin routes, the work at the stop.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use prometheus::core::Collector;
use serde_json::{Value, json};

/// What all instances of a plugin share, for as long as the process runs. Made once, before the first configuration.
///
/// `()` is the one of a plugin that keeps nothing. All methods have defaults.
pub trait Shared: Default + Send + Sync + 'static {
    /// What `/metrics` shows of it, whatever configuration is in force.
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        Vec::new()
    }

    /// What it answers on the admin listener.
    fn admin_routes(self: &Arc<Self>) -> Vec<AdminRoute> {
        Vec::new()
    }

    /// Finishes what is under way: after the last request, before the process ends. Blocks no longer than until the
    /// deadline.
    fn finish(&self, _deadline: Instant) {}

    /// What only one process may have, such as the files that it writes, goes from one process to the next, which takes over while the
    /// first one still serves.
    ///
    /// # Errors
    /// Why it cannot: of [`Handover::Give`] only, which is followed by [`Handover::TakeBack`] then.
    fn hand_over(&self, _step: Handover) -> Result<(), String> {
        Ok(())
    }
}

/// A step of the way from one process to the next. The first two are those of the process that was there before, the last two those of
/// the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Let go of it. This process still serves, and drains once the new one serves.
    Give,
    /// Take back what no other process has: the new one did not come to serve, or does not need it.
    TakeBack,
    /// Before the first configuration is built: do nothing with what you get that the other process could not go on from.
    Receive,
    /// This process serves, and the other one takes nothing back.
    Received,
}

impl Shared for () {}

/// A path of the admin listener that a plugin answers.
pub struct AdminRoute {
    /// The method; others of this path are answered with 405.
    pub method: Method,
    /// The path, exactly. No two plugins share one.
    pub path: &'static str,
    /// Answers a request.
    pub handler: AdminHandler,
}

/// Answers requests on the admin listener.
pub type AdminHandler = Box<dyn Fn(AdminRequest) -> Pin<Box<dyn Future<Output = AdminAnswer> + Send>> + Send + Sync>;

impl AdminRoute {
    /// A route that this function answers.
    pub fn new<F>(
        method: Method,
        path: &'static str,
        handler: impl Fn(AdminRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = AdminAnswer> + Send + 'static,
    {
        Self { method, path, handler: Box::new(move |request| Box::pin(handler(request))) }
    }
}

/// A request to the admin listener that passed its guards.
#[derive(Clone, Debug, Default)]
pub struct AdminRequest {
    /// The query, still percent-encoded; empty where there is none.
    pub query: String,
}

/// An answer of the admin listener: JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
}

impl AdminAnswer {
    /// An answer.
    #[must_use]
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body }
    }

    /// 400: what is wrong with the request.
    #[must_use]
    pub fn bad_request(message: &str) -> Self {
        Self::json(StatusCode::BAD_REQUEST, json!({ "error": "bad_request", "message": message }))
    }
}
