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

impl AdminRequest {
    /// The parameters of the query, in their order, without percent-encoding.
    ///
    /// # Errors
    /// Which one cannot be read.
    pub fn parameters(&self) -> Result<Vec<(String, String)>, String> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            unescaped(name).zip(unescaped(value)).ok_or_else(|| format!("`{pair}` cannot be read"))
        });
        parameters.collect()
    }
}

/// The text behind percent-encoding (RFC 3986 §2.1), with `+` for a space.
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// An answer of the admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: AdminBody,
}

/// A body.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminBody {
    /// JSON.
    Json(Value),
    /// A file, which browsers save under its name.
    File {
        /// The name, which needs no quoting.
        name: &'static str,
        /// The content type.
        content_type: &'static str,
        /// What is in it.
        text: String,
    },
}

impl AdminAnswer {
    /// JSON.
    #[must_use]
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: AdminBody::Json(body) }
    }

    /// A table as CSV (RFC 4180).
    #[must_use]
    pub fn csv(name: &'static str, text: String) -> Self {
        let body = AdminBody::File { name, content_type: "text/csv; charset=utf-8", text };
        Self { status: StatusCode::OK, body }
    }

    /// 400: what is wrong with the request.
    #[must_use]
    pub fn bad_request(message: &str) -> Self {
        Self::json(StatusCode::BAD_REQUEST, json!({ "error": "bad_request", "message": message }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_query_are_read_in_their_order() {
        let parameters = |query: &str| AdminRequest { query: query.into() }.parameters();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parameters(""), Ok(vec![]));
        assert_eq!(
            parameters("tenant=team+a%2Fb&all&&model=%c3%bc=&a="),
            Ok(vec![pair("tenant", "team a/b"), pair("all", ""), pair("model", "ü="), pair("a", "")])
        );
        assert!(["a=%", "a=%2", "a=%zz", "%ff=1"].iter().all(|query| parameters(query).is_err()));
    }
}
