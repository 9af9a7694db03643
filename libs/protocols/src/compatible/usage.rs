//! The meaning of a usage object by whatever convention. Where two are possible, the answer's own sum (`total_tokens`) decides.

use super::VARIANTS;
use crate::lenient_object::LenientObject;
use crate::usage::{Tokens, Usage};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Prompt,
    Completion,
    Total,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
}

/// Anthropic's own members, beyond those above.
const ANTHROPIC: [&str; 6] =
    ["cache_creation", "server_tool_use", "service_tier", "inference_geo", "speed", "iterations"];

/// What a server counts beside the others, and not as a part of them.
#[derive(Clone, Copy, Debug)]
struct Beside {
    /// What was read from a cache or written to it is no part of the prompt.
    cache: bool,
    /// Reasoning is no part of the completion.
    reasoning: bool,
}

/// The conventions there are, the most common first.
static CONVENTIONS: [Beside; 4] = [
    Beside { cache: false, reasoning: false }, // OpenAI, and most
    Beside { cache: false, reasoning: true },  // xAI's chat
    Beside { cache: true, reasoning: false },  // those that pass Anthropic's or Bedrock's own counts on
    Beside { cache: true, reasoning: true },
];

/// What each member counts, in the order in which they are looked for.
fn figures() -> impl Iterator<Item = &'static (Figure, &'static str)> {
    VARIANTS.iter().flat_map(|variant| variant.figures)
}

/// The paths of all members that are read.
fn paths() -> impl Iterator<Item = &'static str> {
    let costs = VARIANTS.iter().flat_map(|variant| variant.costs).map(|(path, _)| *path);
    figures().map(|(_, path)| *path).chain(costs)
}

/// Whether anything is read from a member of this name.
pub(crate) fn is_read(name: &str) -> bool {
    ANTHROPIC.contains(&name) || paths().map(|path| path.split('.').next().unwrap_or(path)).any(|first| first == name)
}

/// The meaning of a usage object in the words of any endpoint of `OpenAI`'s, by whatever convention.
///
/// What was read from a cache, or written to it, is taken out of the prompt where it is a part of it, and reasoning is made a part
/// of the output where it is none.
pub(crate) fn usage(of: &LenientObject<'_>) -> Usage {
    let said = |figure| figures().filter(|(of, _)| *of == figure).find_map(|(_, path)| of.count(path));
    let (prompt, completion, total) = (said(Figure::Prompt), said(Figure::Completion), said(Figure::Total));
    let (cache_read, cache_creation) = (said(Figure::CacheRead), said(Figure::CacheWrite));
    let mut reasoning = said(Figure::Reasoning);
    let cached = cache_read.unwrap_or(0).saturating_add(cache_creation.unwrap_or(0));
    let counts = Counts {
        prompt: prompt.unwrap_or(0),
        completion: completion.unwrap_or(0),
        cached,
        reasoning: reasoning.unwrap_or(0),
    };
    let fitting = total.and_then(|total| CONVENTIONS.iter().find(|beside| counts.total(**beside) == total));
    let beside = fitting.or_else(|| CONVENTIONS.iter().find(|beside| counts.are_possible(**beside)));
    let beside = *beside.unwrap_or(&CONVENTIONS[0]);
    let mut output = completion;
    if beside.reasoning {
        output = Some(counts.completion.saturating_add(counts.reasoning));
    }
    // Gemini counts what it thought in the sum alone
    let unsaid = total.filter(|_| fitting.is_none() && prompt.is_some() && counts.reasoning == 0);
    let unsaid = unsaid.and_then(|total| total.checked_sub(counts.total(beside))).filter(|unsaid| *unsaid > 0);
    if let Some(thought) = unsaid {
        reasoning = Some(thought);
        output = Some(counts.completion.saturating_add(thought));
    }
    Usage {
        tokens: Tokens {
            input: prompt.map(|prompt| if beside.cache { prompt } else { prompt.saturating_sub(cached) }),
            cache_read,
            cache_creation,
            cache_creation_1h: said(Figure::CacheWrite1h).map(|hour| hour.min(cache_creation.unwrap_or(hour))),
            output,
            reasoning,
        },
        provider_cost_picos: cost(of),
        ..Usage::default()
    }
}

/// What the provider says that it charges, in picodollars.
pub(crate) fn cost(of: &LenientObject<'_>) -> Option<u64> {
    VARIANTS.iter().flat_map(|variant| variant.costs).find_map(|(path, digits)| of.picos(path, *digits))
}

/// The figures that stand in each other.
struct Counts {
    prompt: u64,
    completion: u64,
    cached: u64,
    reasoning: u64,
}

impl Counts {
    /// All tokens, if these stand beside the others.
    fn total(&self, beside: Beside) -> u64 {
        let cached = if beside.cache { self.cached } else { 0 };
        let reasoning = if beside.reasoning { self.reasoning } else { 0 };
        [self.completion, cached, reasoning].iter().fold(self.prompt, |sum, part| sum.saturating_add(*part))
    }

    /// Whether no part is larger than what it would be a part of.
    fn are_possible(&self, beside: Beside) -> bool {
        (beside.cache || self.cached <= self.prompt) && (beside.reasoning || self.reasoning <= self.completion)
    }
}

#[cfg(test)]
mod tests;
