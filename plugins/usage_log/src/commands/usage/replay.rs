//! `tollgate usage replay`: what past calls would have cost under the rules of a file. Reads rows, decides each anew as far as the row
//! tells, and prices its own tokens; guesses nothing, and writes nothing.

mod shown;
mod tally;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use plugin_api::{CommandContext, CommandError, PastCall, PastRoute, Replay, Replayed, RouteModels};
use prices::{Cost, Prices, Terms};

use super::progress::Progress;
use super::{Only, When, span};
use crate::report::past::{PastRow, PastRows};
use crate::report::{Report, days};
use crate::{Config, Timestamp};

use tally::{Priced, Tally};

/// The arguments of `tollgate usage replay`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Settings {
    /// The YAML file with the rules.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// From when on: a span of time before now (`30d`), or a moment in UTC.
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Until when, in the same way; now if it is not said.
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// Decide as if every call had asked for this name.
    #[arg(long = "as", value_name = "NAME")]
    asked: Option<String>,
    #[command(flatten)]
    only: Only,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What calls are decided by: the routes of the file.
struct Rules {
    routes: Vec<PastRoute>,
    by_name: HashMap<String, usize>,
    /// The route for calls whose own is not in the file, where only one chooses models.
    sole: Option<usize>,
}

pub(super) async fn run(settings: Settings, context: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let (filter, now) = (settings.only.filter(), Timestamp::from(SystemTime::now()));
    let (since, until) = span(settings.since, settings.until, now)?;
    let file = &settings.config;
    let mut rules = Rules::new(context.routes(file)?)
        .ok_or_else(|| CommandError::new(format!("{}: no route has a plugin that chooses models", file.display())))?;
    let base = file.parent().unwrap_or("".as_ref());
    let mut tally = Tally::default();
    let mut read = Vec::new();
    for ledger in &context.settings(file)? {
        let database = ledger.read_database(base);
        if read.contains(&database) {
            continue;
        }
        let failed = |error| CommandError::new(format!("{database}: {error}"));
        let prices = Prices::new(&ledger.prices).map_err(CommandError::new)?;
        let report = Report::open(&database, &ledger.pool).map_err(failed)?;
        let first = report.first().await.map_err(failed)?.unwrap_or(until);
        let since = since.map_or(first, |since| since.max(first));
        tally.begins(since, until);
        // day by day, so that one sees how far it is; what conversations keep goes on from one to the next
        let days: Vec<_> = days(since, until).collect();
        let mut progress = Progress::new(days.len());
        for (from, to) in days {
            let mut rows = PastRows::new(&filter, from, to);
            loop {
                let page = report.past(&mut rows).await.map_err(failed)?;
                if page.is_empty() {
                    break;
                }
                page.iter().for_each(|row| rules.replay(row, settings.asked.as_deref(), &prices, &mut tally));
            }
            progress.step();
        }
        read.push(database);
    }
    if read.is_empty() {
        return Err(CommandError::new(format!("{}: no route has a `usage_log`", file.display())));
    }
    shown::write(&tally, settings.asked.as_deref(), settings.json)?;
    Ok(ExitCode::SUCCESS)
}

impl Rules {
    /// `None` where no route chooses models.
    fn new(routes: Vec<PastRoute>) -> Option<Self> {
        let by_name = routes.iter().enumerate().map(|(at, route)| (route.name.to_string(), at)).collect();
        let mut choosing = routes.iter().enumerate().filter(|(_, route)| route.replay.is_some()).map(|(at, _)| at);
        let first = choosing.next()?;
        let sole = choosing.next().is_none().then_some(first);
        Some(Self { routes, by_name, sole })
    }

    /// Decides a call anew, and counts what comes of it.
    fn replay(&mut self, row: &PastRow, asked: Option<&str>, prices: &Prices, tally: &mut Tally) {
        tally.calls += 1;
        // what is no call to a model is nothing to choose for
        let (Some(model), Some(_)) = (row.model.as_deref(), row.endpoint.as_deref()) else { return };
        let own = row.route.as_ref().and_then(|name| self.by_name.get(name)).copied();
        let Some(at) = own.or(self.sole) else {
            tally.unknown("its route in the file", row.cost);
            return;
        };
        let PastRoute { models, replay, .. } = &mut self.routes[at];
        let Some(replay) = replay.as_deref_mut() else { return };
        match choose(replay, row, asked.unwrap_or(model), models, prices) {
            Replayed::Unrouted => {}
            Replayed::Unknown(lacking) => tally.unknown(lacking, row.cost),
            Replayed::Chosen { model, rule, pinned } => {
                let upstream = upstream_name(models, &model).to_owned();
                match cost(row, &upstream, prices) {
                    Some(replayed) => {
                        let served = row.served_model.as_deref().or(row.model.as_deref()).unwrap_or_default();
                        let now = prices.name(&upstream).unwrap_or(&upstream).to_owned();
                        let is_same = is_served(row, &upstream, prices);
                        let then = if is_same { now.clone() } else { prices.name(served).unwrap_or(served).to_owned() };
                        let priced = Priced { actual: row.cost, replayed, had_usage: row.has_usage() };
                        tally.decided(&rule, (then, now), pinned, priced);
                    }
                    None => tally.unknown("the sum of the tokens that it is billed by", row.cost),
                }
            }
        }
    }
}

fn choose(replay: &mut dyn Replay, row: &PastRow, asked: &str, models: &RouteModels, prices: &Prices) -> Replayed {
    let is_served =
        |model: &str| row.served_model.as_ref().map(|_| is_served(row, upstream_name(models, model), prices));
    replay.choose(&PastCall {
        asked,
        is_served: &is_served,
        tenant: row.tenant.as_deref(),
        key: row.key.as_deref(),
        session: row.session.as_deref(),
        conversation: row.conversation.as_deref(),
        turn: row.turn,
        previous_turn: row.previous_turn,
        input_tokens: row.input_tokens(),
        stream: row.streaming,
        unix: row.created_at.micros().div_euclid(1_000_000),
        stop_reason: row.stop_reason.as_deref(),
        status: row.status,
        outcome: &row.outcome,
    })
}

/// The name by which the upstream is asked for a model.
fn upstream_name<'a>(models: &'a RouteModels, model: &'a str) -> &'a str {
    models.find(model).and_then(|rule| rule.model.as_deref()).unwrap_or(model)
}

/// Whether this model is the one that answered.
fn is_served(row: &PastRow, model: &str, prices: &Prices) -> bool {
    let Some(served) = row.served_model.as_deref() else { return false };
    let named = || prices.name(served).zip(prices.name(model)).is_some_and(|(served, model)| served == model);
    served == model || is_dated(served, model) || named()
}

/// Whether a name is that of a model with its date: `claude-haiku-4-5-20251001`, `gpt-5-2025-08-07`.
fn is_dated(name: &str, model: &str) -> bool {
    let date = name.strip_prefix(model).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    digits == 8 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// What the tokens of a call cost of this model, in picodollars; within, `None` where a price is not known. `None` where it cannot be said.
#[expect(clippy::option_option, reason = "what cannot be said is another thing than what has no price")]
fn cost(row: &PastRow, model: &str, prices: &Prices) -> Option<Option<i128>> {
    if is_served(row, model, prices) || !row.has_usage() {
        return Some(row.cost);
    }
    if row.has_parts {
        return None;
    }
    let terms =
        Terms { tier: row.service_tier.as_deref(), geo: row.inference_geo.as_deref(), speed: row.speed.as_deref() };
    let tokens = prices.cost(model, &row.tokens, terms);
    let searches = match row.web_search_requests {
        0 => Some(Cost::ZERO),
        searches => prices.searches(model, searches),
    };
    Some(tokens.zip(searches).map(|(tokens, searches)| i128::from((tokens + searches).picos())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_makes_no_other_model() {
        assert!(is_dated("claude-haiku-4-5-20251001", "claude-haiku-4-5") && is_dated("gpt-5-2025-08-07", "gpt-5"));
        for (name, model) in
            [("gpt-5-mini", "gpt-5"), ("gpt-5", "gpt-5"), ("gpt-5-2025", "gpt-5"), ("gpt-50-20250101", "gpt-5")]
        {
            assert!(!is_dated(name, model), "{name}");
        }
    }

    #[test]
    fn calls_of_which_one_cost_is_not_known_are_in_no_sum() {
        let mut tally = Tally::default();
        let mut add = |actual, replayed, had_usage| {
            let priced = Priced { actual, replayed, had_usage };
            tally.decided("auto/1", ("a".to_owned(), "b".to_owned()), false, priced);
        };
        add(Some(5), Some(3), true);
        add(Some(5), None, true);
        add(None, Some(3), true);
        add(None, None, false);
        let all = tally.all;
        assert_eq!((all.calls, all.actual, all.replayed, all.saved()), (4, 5, 3, 2));
        assert_eq!((all.unpriced, all.without_usage), (2, 1));
        let text = shown::text(&tally, None);
        assert!(
            text.contains("2 decided calls have no known price") && text.contains("1 decided calls reported no tokens"),
            "{text}"
        );
        assert!(text.contains("(40.0 %)"), "{text}");
    }
}
