//! Bounds how many tokens a call may ask for: refuses it, or lowers the number. Reads no bodies itself; the
//! gateway hands it the facts of each call.

mod budget;
mod limits;
mod refusal;

use indexmap::IndexMap;
use plugin_api::{
    BuildContext, Call, CallFacts, ConfigProblem, Edit, Explanation, Flow, ModelCall, Needs, ParsedBody, Plugin,
    Request, TokenField, TokenLimitValue,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use limits::Limits;
use refusal::Denial;

/// How many tokens a call may ask for.
///
/// A call may do so by `max_tokens`, `max_completion_tokens` or `max_output_tokens`; whichever it names is held to
/// the limit, and all of them where it names several. The number is for one answer; `n` and `best_of` ask for several. A value that is no whole number of tokens is refused, and so
/// is a body in which a limit might hide: one that is almost JSON, or in an unknown encoding.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The most tokens that a call may ask for; asking for exactly as many is allowed. May be absent where `models` is
    /// given: models that match none of those patterns then have no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Limits for models by name, in place of `limit`. In a pattern `*` stands for any text and `?` for any one
    /// character; letter case does not matter. The first that matches counts. A call that names no model, or more
    /// than one, is held to the lowest limit that may apply.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub models: IndexMap<String, u64>,
    /// What becomes of a call that asks for more.
    #[serde(default)]
    pub mode: Mode,
    /// How many tokens to ask for where the call does not say; the model's limit, if that is lower. A call with a thinking
    /// budget asks for as many on top of it, up to the limit. Absent: such calls pass as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<u64>,
    /// Under which name `default` is filled into a chat completion.
    #[serde(default, skip_serializing_if = "ChatName::is_default")]
    pub default_as: ChatName,
    /// The body of a refusal.
    #[serde(default)]
    pub error_format: ErrorFormat,
}

/// What becomes of a call that asks for more tokens than allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is refused with status 400 before any upstream hears of it.
    #[default]
    Reject,
    /// The limit is put in the place of the number; no other byte changes, but for a thinking budget that would no longer
    /// be below it, which is lowered too. Where the API allows none so low, the call is refused.
    Clamp,
}

/// The names that a chat completion has for its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatName {
    /// `OpenAI`'s own since its reasoning models, which take no other.
    #[default]
    MaxCompletionTokens,
    /// The older one, which many servers that speak the API know alone.
    MaxTokens,
}

impl ChatName {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn field(self) -> TokenField {
        match self {
            Self::MaxCompletionTokens => TokenField::MAX_COMPLETION_TOKENS,
            Self::MaxTokens => TokenField::MAX_TOKENS,
        }
    }
}

/// The body of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorFormat {
    /// The error object of the API that the caller speaks, which its SDKs understand.
    #[default]
    Dialect,
    /// `{"error":"max_tokens too high","message":"Maximum allowed tokens is 4000"}`
    Plain,
}

/// The plugin.
#[derive(Debug)]
pub struct MaxTokens {
    limits: Limits,
    mode: Mode,
    default: Option<u64>,
    chat_name: ChatName,
    format: ErrorFormat,
}

/// What the head of a request says of its thinking.
#[derive(Debug, Default)]
pub struct Head {
    interleaves: bool,
}

impl Plugin for MaxTokens {
    const NAME: &'static str = "max_tokens";
    const NEEDS: Needs = Needs { body: true, ..Needs::NOTHING };
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = ();
    type State = Head;

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        Self::new(config).map(drop)
    }

    fn model_names(config: &Config) -> Vec<&str> {
        config.models.keys().map(String::as_str).collect()
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::new(config)
    }

    fn try_on_request(&self, head: &mut Head, request: &mut Request<'_>) -> Option<Flow> {
        head.interleaves = budget::interleaves(request.head.headers);
        Some(Flow::Continue)
    }

    fn try_on_call(&self, head: &mut Head, call: &mut Call<'_>) -> Option<Flow> {
        Some(match self.examine(call.body, head.interleaves) {
            Ok(edits) => {
                call.body.edit(edits);
                Flow::Continue
            }
            Err(denial) => denial.refusal(self.format).into(),
        })
    }

    async fn explain_call(&self, head: &mut Head, call: &mut Call<'_>, explanation: &mut Explanation) -> Flow {
        for facts in call.body.calls() {
            let asked = facts.most_tokens().map_or_else(|| "no limit".to_owned(), |asked| format!("{asked} tokens"));
            let most =
                self.limits.of(facts).map_or_else(|| "it has none".to_owned(), |most| format!("its limit is {most}"));
            explanation.say(format!("the call asks for {asked}, and {most}"));
        }
        let before: Vec<_> = call.body.calls().iter().map(CallFacts::most_tokens).collect();
        let flow = plugin_api::on_call(self, head, call).await;
        for (facts, before) in
            call.body.calls().iter().zip(before).filter(|(facts, before)| facts.most_tokens() != *before)
        {
            let now = facts.most_tokens().unwrap_or_default();
            explanation.say(format!("{} {now}", if before.is_some() { "it is lowered to" } else { "it gets" }));
        }
        flow
    }
}

impl MaxTokens {
    fn new(config: &Config) -> Result<Self, ConfigProblem> {
        if config.limit.is_none() && config.models.is_empty() && config.default.is_none() {
            return Err("none of `limit`, `models` and `default` is given, so there is nothing to hold calls to".into());
        }
        if let (Some(default), Some(limit)) = (config.default, config.limit)
            && default > limit
        {
            return Err(format!("`default` is {default}, above `limit`, which is {limit}").into());
        }
        Ok(Self {
            limits: Limits::new(&config.models, config.limit)?,
            mode: config.mode,
            default: config.default,
            chat_name: config.default_as,
            format: config.error_format,
        })
    }

    /// What must change in the body for it to pass.
    fn examine(&self, body: &ModelCall, interleaves: bool) -> Result<Vec<Edit>, Denial> {
        if let ParsedBody::Unreadable(reason) = body.parsed() {
            return Err(Denial::Unreadable(reason.clone()));
        }
        let mut edits = Vec::new();
        for call in body.calls() {
            let most = self.limits.of(call);
            self.hold(body, call, most, interleaves, &mut edits)?;
            if let Some(default) = self.default {
                self.fill_in(body, call, default, most.unwrap_or(u64::MAX), &mut edits)?;
            }
        }
        Ok(edits)
    }

    /// Holds each number that a call names to the most it may ask for.
    fn hold(
        &self,
        body: &ModelCall,
        call: &CallFacts,
        most: Option<u64>,
        interleaves: bool,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Denial> {
        let mut highest = None;
        for limit in &call.token_limits {
            match (limit.asked, most) {
                (TokenLimitValue::Tokens(asked), Some(most)) if asked > most => {
                    if self.mode == Mode::Reject || most < body.endpoint().fewest_tokens {
                        return Err(Denial::too_high(body, call, limit, most));
                    }
                    highest = highest.max(Some(asked));
                    edits.push(Edit::replace(limit, most));
                }
                (TokenLimitValue::Tokens(_), _) => {}
                (TokenLimitValue::Null, _) if body.protocol().null_limit_is_none => {}
                (TokenLimitValue::Null | TokenLimitValue::NotANumber, _) => {
                    return Err(Denial::not_a_number(call, limit));
                }
            }
        }
        match highest.zip(most) {
            Some((highest, most)) => budget::fit(call, highest, most, interleaves, edits),
            None => Ok(()),
        }
    }

    /// Gives a call a number where none of the names that its endpoint reads has one: `default`, with room for its thinking,
    /// but no more than `most`.
    ///
    /// A name that the endpoint does not read, or one in other letter case, does not count as a number here: the upstream
    /// would pass over it, and the call would have no bound.
    fn fill_in(
        &self,
        body: &ModelCall,
        call: &CallFacts,
        default: u64,
        most: u64,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Denial> {
        let endpoint = body.endpoint();
        let read = || {
            call.token_limits.iter().rev().filter(|limit| limit.exact && endpoint.token_fields.contains(&limit.field))
        };
        let numbered = read().find(|limit| limit.asked != TokenLimitValue::Null);
        let field = numbered.or_else(|| read().next()).map(|limit| limit.field);
        if numbered.is_some() && !read().any(|limit| Some(limit.field) == field && limit.asked == TokenLimitValue::Null)
        {
            return Ok(());
        }
        let Some(own) = endpoint.token_fields.first().copied() else { return Ok(()) };
        let tokens = default.saturating_add(budget::largest(call)).max(endpoint.fewest_tokens).min(most);
        if tokens < endpoint.fewest_tokens {
            return Err(Denial::too_few(call, own, tokens, endpoint.fewest_tokens));
        }
        match field {
            None => {
                let own = if own == TokenField::MAX_COMPLETION_TOKENS { self.chat_name.field() } else { own };
                edits.push(Edit::add_as(own, call, tokens));
            }
            // a `null` in its place, or beside it as a key that stands twice
            Some(field) => {
                let nulls = read().filter(|limit| limit.field == field && limit.asked == TokenLimitValue::Null);
                edits.extend(nulls.map(|null| Edit::replace(null, tokens)));
            }
        }
        // where a budget is above the limit, even the most is too little
        budget::fit(call, u64::MAX, tokens, false, edits)
    }
}

#[cfg(test)]
mod tests;
