//! What is known of one call to a model. Only facts; whose rules they break is for plugins to say.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use crate::Protocol;

/// The facts of one call.
///
/// Of a key that stands twice the last value counts, as most JSON parsers have it. Servers differ, though, and some
/// take keys in any letter case (`MAX_TOKENS`), so all that any of them might read is kept where a
/// limit depends on it: in [`token_limits`](CallFacts::token_limits) and [`other_models`](CallFacts::other_models).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// Its place in a batch, from 0; none outside of one.
    pub place: Option<usize>,
    /// `model`, if it is a string of at most [`CallFacts::LONGEST_MODEL`] bytes.
    pub model: Option<String>,
    /// What else a server might take for its model: earlier values of a key that stands twice, and keys in other
    /// letter case. `None` for one that is no such string.
    pub other_models: Vec<Option<String>>,
    /// The bytes of every value that a server might take for its model, in the order of the text.
    pub models_at: Vec<Range<usize>>,
    /// `stream`, if it is a boolean; `false` where it is absent.
    pub stream: bool,
    /// `service_tier`, if it is a string of at most [`CallFacts::LONGEST_MODEL`] bytes.
    pub service_tier: Option<String>,
    /// `speed`, if it is such a string.
    pub speed: Option<String>,
    /// Whether `tools` is a list with something in it.
    pub tools: bool,
    /// How many `messages` there are (for responses, of `input`); 0 if it is not a list.
    pub messages: usize,
    /// Every token limit it names, in the order of the text.
    pub token_limits: Vec<TokenLimit>,
    /// How many answers it asks for, each with tokens of its own: the largest of `n` and `best_of`, times its prompts. `None` where
    /// it does not say; `u64::MAX` where what it says is no number.
    pub answers: Option<u64>,
    /// Every budget for thinking that it names, in the order of the text.
    pub thinking_budgets: Vec<ThinkingBudget>,
    /// Whether a key stands twice at the top level, or there are too many keys to tell.
    pub duplicate_keys: bool,
    /// What its `stream_options` say; always [`Absent`](StreamOptions::Absent) where the endpoint knows none.
    pub stream_options: StreamOptions,
    /// How many blocks its system prompt has: those of `system` or `instructions`, and the messages of the system's or a
    /// developer's.
    pub system_blocks: usize,
    /// Whether the last user's text is `quota`, by which Claude Code asks whether it may go on.
    pub asks_quota: bool,
    /// What it says of who makes it, if anything; nothing for those of a batch. Boxed, for a batch has up to 100,000 calls.
    pub caller: Option<Box<CallerFacts>>,
    /// Where the object's members begin in the text: just behind its `{`.
    pub members_at: usize,
    /// Whether the object has any member.
    pub has_members: bool,
}

impl CallFacts {
    /// The longest name of a model that is read as one, in bytes.
    pub const LONGEST_MODEL: usize = 512;

    /// The largest number of tokens that it asks for, in whatever spelling a server might read, for each of its answers; `None` where
    /// it does not say, and `u64::MAX` where what it says is no number.
    #[must_use]
    pub fn most_tokens(&self) -> Option<u64> {
        let limits = self.token_limits.iter().filter_map(|limit| match limit.asked {
            TokenLimitValue::Tokens(tokens) => Some(tokens),
            TokenLimitValue::Null => None,
            TokenLimitValue::NotANumber => Some(u64::MAX),
        });
        limits.max()
    }

    /// How many answers it asks for; at least 1.
    #[must_use]
    pub fn answer_count(&self) -> u64 {
        self.answers.unwrap_or(1).max(1)
    }
}

/// What a call says of who makes it: texts of at most [`CallerFacts::LONGEST`] bytes, as the client wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerFacts {
    /// Anthropic's `metadata.user_id`.
    pub metadata_user: Option<String>,
    /// `OpenAI`'s `user`.
    pub user: Option<String>,
    /// `OpenAI`'s `prompt_cache_key`.
    pub prompt_cache_key: Option<String>,
}

impl CallerFacts {
    /// The longest text that is read, in bytes.
    pub const LONGEST: usize = 1024;
}

/// What `stream_options` say of the usage that a stream of `OpenAI`'s chat or completions reports, and where in the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StreamOptions {
    /// There are none.
    #[default]
    Absent,
    /// They are `null`; its bytes.
    Null(Range<usize>),
    /// They do not speak of usage.
    Silent {
        /// Where their members begin: just behind their `{`.
        members_at: usize,
        /// Whether they have any.
        has_members: bool,
    },
    /// `include_usage` is another value than `true`; its bytes.
    NoUsage(Range<usize>),
    /// `include_usage` is `true`.
    Usage,
    /// They stand twice, or are no object.
    Unclear,
}

/// One `max_tokens` or its like, where it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLimit {
    /// Under which name.
    pub field: TokenField,
    /// Whether the key is written in the API's own letters, and not in another case that only some servers take.
    pub exact: bool,
    /// What it asks for.
    pub asked: TokenLimitValue,
    /// The bytes of the value.
    pub at: Range<usize>,
}

/// How many of its answer's tokens a call lets its model think, where it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinkingBudget {
    /// The member that it belongs to: `thinking` for Anthropic's `thinking.budget_tokens`, `reasoning` for `OpenRouter`'s
    /// `reasoning.max_tokens`.
    pub member: &'static str,
    /// The number.
    pub tokens: u64,
    /// The bytes of the number.
    pub at: Range<usize>,
}

/// The name under which a call limits the tokens that it may generate: a key in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenField(&'static str);

impl TokenField {
    pub(crate) const fn new(key: &'static str) -> Self {
        Self(key)
    }

    /// The names of all protocols, each once: any of them may be read by a server that speaks more than one.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<TokenField>> = LazyLock::new(|| {
            let mut all = Vec::new();
            for field in Protocol::all().iter().flat_map(|protocol| protocol.token_fields) {
                if !all.contains(field) {
                    all.push(*field);
                }
            }
            all
        });
        &ALL
    }

    /// The key in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for TokenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The value of a token limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLimitValue {
    /// A whole number that is not negative, however written (`5e3` is 5000); beyond 64 bits it is `u64::MAX`.
    Tokens(u64),
    /// `null`.
    Null,
    /// Anything else.
    NotANumber,
}
