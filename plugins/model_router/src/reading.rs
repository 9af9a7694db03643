//! The text of a routed call, each part of it read once, when it is asked for.

use std::cell::OnceCell;

use plugin_api::{Bytes, Endpoint, ModelCall, run_blocking};

use crate::beginning::{self, Beginning};
use crate::facts::{Facts, Wanted};

/// A text of more bytes is read beside the threads that serve.
const LONG: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Reading {
    endpoint: Endpoint,
    text: Bytes,
    wanted: Wanted,
    beginning: OnceCell<Beginning>,
    facts: OnceCell<Facts>,
}

impl Reading {
    /// Of this call, of which these facts are wanted.
    pub(crate) fn of(call: &ModelCall, wanted: Wanted) -> Self {
        let (endpoint, text) = (call.endpoint(), call.text().clone());
        Self { endpoint, text, wanted, beginning: OnceCell::new(), facts: OnceCell::new() }
    }

    /// Whether it takes too long for a thread that serves.
    pub(crate) fn is_long(&self) -> bool {
        self.text.len() > LONG
    }

    pub(crate) fn beginning(&self) -> &Beginning {
        self.beginning
            .get_or_init(|| beginning::of_call(self.endpoint, std::str::from_utf8(&self.text).unwrap_or_default()))
    }

    pub(crate) fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts::of(self.endpoint, &self.text, self.wanted))
    }

    /// The same, with what this asks for, read beside the threads that serve; `None` if that panicked.
    pub(crate) async fn ahead(self, ask: impl FnOnce(&Self) + Send + 'static) -> Option<Self> {
        run_blocking(move || {
            ask(&self);
            self
        })
        .await
    }
}
