//! Past calls, decided anew by what their rows in the ledger say: `tollgate usage replay`.

use std::fmt;
use std::sync::Arc;

use crate::RouteModels;

/// What the row of a call says. What a row may lack is `None`.
#[derive(Clone, Copy)]
pub struct PastCall<'a> {
    /// The model that the client asked for.
    pub asked: &'a str,
    /// Whether a model is the one that answered, by whatever of its names; `None` where the row names none, as that of an error.
    pub is_served: &'a dyn Fn(&str) -> Option<bool>,
    /// The caller's tenant; of a caller without one none.
    pub tenant: Option<&'a str>,
    /// The name of its key.
    pub key: Option<&'a str>,
    /// Its session.
    pub session: Option<&'a str>,
    /// The conversation, as the ledger tells them apart.
    pub conversation: Option<&'a str>,
    /// The hash of its messages, by which later calls name it.
    pub turn: Option<[u8; 16]>,
    /// That of the call that it goes on from; none where it goes on from none.
    pub previous_turn: Option<[u8; 16]>,
    /// Its input in tokens, as the provider counted it, of all classes.
    pub input_tokens: Option<u64>,
    /// Whether it asked for a stream.
    pub stream: Option<bool>,
    /// When it came, in seconds since 1970, UTC.
    pub unix: i64,
    /// Why its answer ended.
    pub stop_reason: Option<&'a str>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// How it ended, as the ledger has it.
    pub outcome: &'a str,
}

impl fmt::Debug for PastCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PastCall").field("asked", &self.asked).field("unix", &self.unix).finish_non_exhaustive()
    }
}

/// What would have become of a past call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// Nothing: the model that it asked for is not chosen by the plugin.
    Unrouted,
    /// It would have had this model.
    Chosen {
        /// The model.
        model: Arc<str>,
        /// What chose it, as the column `rule` has it.
        rule: Arc<str>,
        /// Whether its conversation had it before.
        pinned: bool,
    },
    /// It cannot be known, since the row lacks this.
    Unknown(&'static str),
}

/// Chooses models of past calls by the settings of a plugin. Calls come in the order of their time.
pub trait Replay: fmt::Debug + Send {
    /// The model that a call would have had.
    fn choose(&mut self, call: &PastCall<'_>) -> Replayed;
}

/// A route of a file, for commands that look at past calls.
#[derive(Debug)]
pub struct PastRoute {
    /// Its name, as rows have it.
    pub name: Arc<str>,
    /// Its `models`, by which a model that is chosen gets its name upstream.
    pub models: RouteModels,
    /// What chooses models on it, if anything does.
    pub replay: Option<Box<dyn Replay>>,
}
