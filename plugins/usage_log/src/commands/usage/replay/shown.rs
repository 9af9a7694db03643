//! The answer of `tollgate usage replay`, for people and as JSON. Money is exact in both.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use plugin_api::CommandError;
use serde_json::{Value, json};

use crate::report::dollars;

use super::super::second;
use super::tally::{Sums, Tally};

/// What the figures rest on.
const ASSUMED: [&str; 5] = [
    "each call has the tokens that its row has, from the provider's prompt cache too: that another model's cache would have been as warm",
    "input_tokens are those that the provider counted; a gateway estimates them by the length of the text",
    "a conversation is what the ledger knows as one, and a session begins with its first call in the span",
    "a conversation moves by `escalate` only where the same model had the trouble; another's answers nobody knows",
    "calls for other names than those that are routed stay as they are",
];

/// Writes it to standard output.
pub(super) fn write(tally: &Tally, asked: Option<&str>, is_json: bool) -> Result<(), CommandError> {
    let text = if is_json { format!("{:#}\n", json(tally, asked)) } else { text(tally, asked) };
    match io::stdout().write_all(text.as_bytes()) {
        // a closed standard output does not matter
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

pub(super) fn text(tally: &Tally, asked: Option<&str>) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    if let Some((since, until)) = tally.span {
        line(format!("from {} to {} UTC", second(since), second(until)));
    }
    let what = asked
        .map_or_else(|| "ask for a name that is routed".to_owned(), |name| format!("are taken as calls for {name}"));
    line(format!("{} requests, of which {} {what}", tally.calls, tally.routed()));
    let share = share(tally.pinned, tally.decided);
    line(format!("{} are decided, {} of them ({share}) by what their conversation keeps", tally.decided, tally.pinned));
    line(format!("{} cannot be known", tally.unknown_calls()));
    for (lacking, unknown) in &tally.unknown {
        line(format!("  {} lack {lacking}; they cost {} USD", unknown.calls, dollars(unknown.actual)));
    }
    let all = &tally.all;
    line(String::new());
    line(format!("actual     {} USD", dollars(all.actual)));
    line(format!("replayed   {} USD", dollars(all.replayed)));
    line(format!("saved      {} USD ({})", dollars(all.saved()), percent(all.saved(), all.actual)));
    if all.unpriced > 0 {
        line(format!("{} decided calls have no known price, then or now: they are in none of these", all.unpriced));
    }
    if all.without_usage > 0 {
        line(format!("{} decided calls reported no tokens: they are in none of these", all.without_usage));
    }
    line(String::new());
    let by_rule =
        tally.by_rule.iter().map(|((rule, model), sums)| [vec![rule.clone(), model.clone()], figures(sums)].concat());
    table(&mut text, &["rule", "model", "calls", "actual USD", "replayed USD", "saved USD", "unpriced"], 2, by_rule);
    text.push('\n');
    let by_model = tally.by_model.iter().map(|(model, sums)| {
        vec![
            model.clone(),
            sums.then.calls.to_string(),
            dollars(sums.then.actual),
            sums.now.calls.to_string(),
            dollars(sums.now.replayed),
        ]
    });
    table(&mut text, &["model", "calls then", "actual USD", "calls replayed", "replayed USD"], 1, by_model);
    text.push('\n');
    for assumed in ASSUMED {
        let _ = writeln!(text, "assumed: {assumed}");
    }
    text
}

fn figures(sums: &Sums) -> Vec<String> {
    let unpriced = sums.unpriced + sums.without_usage;
    vec![
        sums.calls.to_string(),
        dollars(sums.actual),
        dollars(sums.replayed),
        dollars(sums.saved()),
        unpriced.to_string(),
    ]
}

/// Columns, of which the first so many are names and stand on the left.
fn table(text: &mut String, head: &[&str], names: usize, rows: impl Iterator<Item = Vec<String>>) {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column < names {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

pub(super) fn json(tally: &Tally, asked: Option<&str>) -> Value {
    // no JSON number is exact
    let sums = |sums: &Sums| {
        json!({
            "calls": sums.calls, "actual_usd": dollars(sums.actual), "replayed_usd": dollars(sums.replayed),
            "saved_usd": dollars(sums.saved()), "unpriced": sums.unpriced, "without_usage": sums.without_usage,
        })
    };
    let with = |mut object: Value, members: &[(&str, &str)]| {
        members.iter().for_each(|(key, value)| object[*key] = json!(value));
        object
    };
    let unknown = tally.unknown.iter().map(|(lacking, unknown)| {
        json!({ "lacking": lacking, "calls": unknown.calls, "actual_usd": dollars(unknown.actual) })
    });
    let by_rule = tally.by_rule.iter().map(|((rule, model), of)| with(sums(of), &[("rule", rule), ("model", model)]));
    let by_model = tally.by_model.iter().map(|(model, of)| {
        json!({
            "model": model, "calls_then": of.then.calls, "actual_usd": dollars(of.then.actual),
            "calls_replayed": of.now.calls, "replayed_usd": dollars(of.now.replayed),
        })
    });
    json!({
        "since": tally.span.map(|(since, _)| second(since)),
        "until": tally.span.map(|(_, until)| second(until)),
        "as": asked,
        "requests": tally.calls,
        "routed": tally.routed(),
        "decided": tally.decided,
        "pinned": tally.pinned,
        "unknown": tally.unknown_calls(),
        "unknown_by": unknown.collect::<Vec<_>>(),
        "all": sums(&tally.all),
        "by_rule": by_rule.collect::<Vec<_>>(),
        "by_model": by_model.collect::<Vec<_>>(),
        "assumed": ASSUMED,
    })
}

fn share(part: u64, whole: u64) -> String {
    percent(part.into(), whole.into())
}

/// A share of a whole, to a tenth of a percent.
fn percent(part: i128, whole: i128) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let tenths = part.saturating_mul(1000) / whole;
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
}
