//! Bounds how many tokens a call may ask for: refuses it, or lowers the number. Reads no bodies itself; the
//! gateway hands it the facts of each call.

mod glob;
mod limits;
mod refusal;

use indexmap::IndexMap;
use plugin_api::{Asked, Call, Dialect, Edit, Flow, ModelCall, Plugin, Reading, RequestHead, Uuid, async_trait};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use limits::Limits;
use refusal::Refusal;

/// How many tokens a call may ask for.
///
/// A call may do so by `max_tokens`, `max_completion_tokens` or `max_output_tokens`; whichever it names is held to
/// the limit, and all of them where it names several. A value that is no whole number of tokens is refused, and so
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
    /// How many tokens to ask for where the call does not say; the model's limit, if that is lower. Absent: such calls
    /// pass as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<u64>,
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
    /// The limit is put in the place of the number; no other byte changes.
    Clamp,
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

impl Config {
    /// The plugin with these settings.
    ///
    /// # Errors
    /// What in them makes no sense together.
    pub fn build(&self) -> Result<MaxTokens, String> {
        if self.limit.is_none() && self.models.is_empty() && self.default.is_none() {
            return Err("none of `limit`, `models` and `default` is given, so there is nothing to hold calls to".into());
        }
        if let (Some(default), Some(limit)) = (self.default, self.limit)
            && default > limit
        {
            return Err(format!("`default` is {default}, above `limit`, which is {limit}"));
        }
        Ok(MaxTokens {
            limits: Limits::new(&self.models, self.limit)?,
            mode: self.mode,
            default: self.default,
            format: self.error_format,
        })
    }
}

/// The plugin.
#[derive(Debug)]
pub struct MaxTokens {
    limits: Limits,
    mode: Mode,
    default: Option<u64>,
    format: ErrorFormat,
}

#[async_trait]
impl Plugin for MaxTokens {
    const NAME: &'static str = "max_tokens";
    const READS_BODY: bool = true;
    /// The exchange's id.
    type State = Uuid;

    async fn request_head(&self, id: &mut Uuid, head: &mut RequestHead<'_>) -> Flow {
        *id = head.id;
        Flow::Continue
    }

    async fn request_body(&self, id: &mut Uuid, call: &mut ModelCall) -> Flow {
        match self.examine(call) {
            Ok(edits) => {
                call.edit(edits);
                Flow::Continue
            }
            Err(refusal) => Flow::Answer(refusal.reply(self.format, call.dialect(), *id)),
        }
    }
}

impl MaxTokens {
    /// What must change in the body for it to pass.
    fn examine(&self, body: &ModelCall) -> Result<Vec<Edit>, Refusal> {
        if let Reading::Unreadable(reason) = body.reading() {
            return Err(Refusal::Unreadable(reason.clone()));
        }
        let mut edits = Vec::new();
        for call in body.calls() {
            let most = self.limits.of(call);
            self.hold(body, call, most, &mut edits)?;
            if let Some(default) = self.default {
                fill_in(body, call, default.min(most.unwrap_or(u64::MAX)), &mut edits);
            }
        }
        Ok(edits)
    }

    /// Holds each number that a call names to the most it may ask for.
    fn hold(&self, body: &ModelCall, call: &Call, most: Option<u64>, edits: &mut Vec<Edit>) -> Result<(), Refusal> {
        for limit in &call.token_limits {
            match (limit.asked, most) {
                (Asked::Tokens(asked), Some(most)) if asked > most => match self.mode {
                    Mode::Reject => return Err(Refusal::too_high(body, call, limit, most)),
                    Mode::Clamp => edits.push(Edit::replace(limit, most)),
                },
                (Asked::Tokens(_), _) => {}
                // the types of OpenAI's SDKs allow it, and it means the same as nothing
                (Asked::Null, _) if body.dialect() == Dialect::OpenAi => {}
                (Asked::Null | Asked::NotANumber, _) => return Err(Refusal::not_a_number(call, limit)),
            }
        }
        Ok(())
    }
}

/// Gives a call a number where none of the names that its endpoint reads has one.
///
/// A name that the endpoint does not read, or one in other letter case, does not count as a number here: the upstream
/// would pass over it, and the call would have no bound.
fn fill_in(body: &ModelCall, call: &Call, tokens: u64, edits: &mut Vec<Edit>) {
    let read = || call.token_limits.iter().rev().filter(|limit| limit.exact && limit.field.is_read_at(body.endpoint()));
    let numbered = read().find(|limit| limit.asked != Asked::Null);
    match numbered.or_else(|| read().next()).map(|limit| limit.field) {
        None => edits.extend(Edit::add(body.endpoint(), call, tokens)),
        // a `null` in its place, or beside it as a key that stands twice
        Some(field) => {
            let nulls = read().filter(|limit| limit.field == field && limit.asked == Asked::Null);
            edits.extend(nulls.map(|null| Edit::replace(null, tokens)));
        }
    }
}

#[cfg(test)]
mod tests;
