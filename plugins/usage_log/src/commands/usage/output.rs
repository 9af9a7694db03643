//! Sums as a table for people, and as JSON, CSV and Parquet for their tools. Money is exact in all of them.

use std::io::{self, Write};
use std::path::Path;

use crate::report::{Line, Sums, csv_field, dollars};
use plugin_api::CommandError;
use serde_json::{Map, Value, json};

use super::figures::{FIGURES, Figure, figures};
#[cfg(feature = "parquet")]
use super::parquet;

/// How sums are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
    Csv,
    Parquet,
}

/// The figures that a table always has.
const SHOWN: [&str; 4] = ["requests", "input_tokens", "output_tokens", "cost_usd"];

/// The lines that are shown, of all that there are.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) lines: Vec<Line>,
    /// The sums of all lines.
    pub(super) all: Sums,
    /// How many more lines there are.
    pub(super) left_out: usize,
}

#[cfg(not(feature = "parquet"))]
const NO_PARQUET: &str = "this build writes no Parquet; build it with the cargo feature `parquet`";

/// Writes the lines to a file, or else to standard output.
pub(super) fn write(by: &[&str], shown: &Shown, format: Format, file: Option<&Path>) -> Result<(), CommandError> {
    let bytes = match format {
        Format::Table => table(by, shown).into_bytes(),
        Format::Json => json(by, &shown.lines).into_bytes(),
        Format::Csv => csv(by, &shown.lines).into_bytes(),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::file(by, &shown.lines)?,
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(CommandError::new(NO_PARQUET)),
    };
    match file {
        Some(file) => {
            let opened = private_files::options().write(true).create(true).truncate(true).open(file);
            let written = opened.and_then(|mut opened| opened.write_all(&bytes));
            written.map_err(|error| CommandError::new(format!("{}: {error}", file.display())))
        }
        None => match io::stdout().write_all(&bytes) {
            // a closed standard output does not matter
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        },
    }
}

fn table(by: &[&str], Shown { lines, all, left_out }: &Shown) -> String {
    // what is nothing in all lines is not shown, but for what everybody looks for
    let mut is_shown = FIGURES.map(|name| SHOWN.contains(&name));
    for sums in lines.iter().map(|line| &line.sums).chain([all]) {
        figures(sums).iter().zip(&mut is_shown).for_each(|(figure, shown)| *shown |= !figure.is_nothing());
    }
    let shown = |cells: [String; FIGURES.len()]| {
        let cells = cells.into_iter().zip(is_shown);
        cells.filter(|(_, shown)| *shown).map(|(cell, _)| cell)
    };
    let names = FIGURES.map(|name| name.replace('_', " "));
    let head = by.iter().map(|by| (*by).to_owned()).chain(shown(names));
    let mut rows: Vec<Vec<String>> = vec![head.collect()];
    for Line { group, sums } in lines {
        let group = group.iter().map(|part| part.clone().unwrap_or_else(|| "-".into()));
        rows.push(group.chain(shown(figures(sums).map(|figure| figure.grouped("-")))).collect());
    }
    if !by.is_empty() {
        let first = by.iter().enumerate().map(|(index, _)| if index == 0 { "all" } else { "" }.to_owned());
        rows.push(first.chain(shown(figures(all).map(|figure| figure.grouped("-")))).collect());
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        for (index, (field, width)) in row.iter().zip(&widths).enumerate() {
            if index > 0 {
                text.push_str("  ");
            }
            // names stand on the left, figures on the right
            text.push_str(&if index < by.len() { format!("{field:<width$}") } else { format!("{field:>width$}") });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    if *left_out > 0 {
        text.push_str(&format!("{left_out} more lines are not shown; `all` has them\n"));
    }
    if all.unpriced > 0 {
        text.push_str(&format!("{} rows have no known price: their cost is not in the sums\n", all.unpriced));
    }
    text
}

fn json(by: &[&str], lines: &[Line]) -> String {
    let object = |Line { group, sums }: &Line| {
        let group = by.iter().zip(group).map(|(by, part)| ((*by).to_owned(), json!(part)));
        let figures = FIGURES.iter().zip(figures(sums)).map(|(name, figure)| {
            let value = match figure {
                Figure::Count(count) => json!(i64::try_from(count).unwrap_or(i64::MAX)),
                // no JSON number is exact
                Figure::Money(picos) => json!(picos.map(dollars)),
            };
            ((*name).to_owned(), value)
        });
        Value::Object(group.chain(figures).collect::<Map<_, _>>())
    };
    format!("{:#}\n", Value::Array(lines.iter().map(object).collect()))
}

fn csv(by: &[&str], lines: &[Line]) -> String {
    let head: Vec<&str> = by.iter().copied().chain(FIGURES).collect();
    let mut text = head.join(",") + "\n";
    for Line { group, sums } in lines {
        let group = group.iter().map(|part| part.as_deref().map(csv_field).unwrap_or_default());
        let fields: Vec<String> = group.chain(figures(sums).map(|figure| figure.text(""))).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let sums = Sums { requests: 2, output_tokens: 30, cost: 12_300_000_000, unpriced: 1, ..Sums::default() };
        let line =
            |group: &[Option<&str>]| Line { group: group.iter().map(|part| part.map(Into::into)).collect(), sums };
        vec![line(&[None, Some("2026-11")]), line(&[Some("claude, the \"third\""), Some("2026-11")])]
    }

    const BY: [&str; 2] = ["model", "month"];

    fn shown(lines: &[Line]) -> Shown {
        let mut all = Sums::default();
        lines.iter().for_each(|line| all += line.sums);
        Shown { lines: lines.to_vec(), all, left_out: 0 }
    }

    #[test]
    fn a_table_has_all_of_it_and_says_what_is_not_priced() {
        let table = table(&BY, &shown(&lines()));
        let rows: Vec<&str> = table.lines().collect();
        assert!(rows[0].starts_with("model                model    month") || rows[0].starts_with("model "), "{table}");
        assert!(rows[1].starts_with("-  ") && rows[1].contains("0.0123"), "{table}");
        assert!(rows[3].starts_with("all ") && rows[3].contains("0.0246"), "{table}");
        assert_eq!(rows[4], "2 rows have no known price: their cost is not in the sums");
        assert_eq!(rows[1].len(), rows[2].len());
        // what is nothing everywhere is not shown
        let head: Vec<&str> = rows[0].split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
        assert_eq!(head, ["model", "month", "requests", "input tokens", "output tokens", "cost usd", "unpriced"]);
        let few = Shown { left_out: 3, ..shown(&lines()) };
        assert!(super::table(&BY, &few).contains("3 more lines are not shown; `all` has them\n"));
    }

    #[test]
    fn a_cost_that_nobody_knows_is_no_number() {
        let unknown = Sums { requests: 2, unpriced: 2, cost_unknown: true, ..Sums::default() };
        let known = Sums { requests: 1, cost: 5_000_000_000, ..Sums::default() };
        let line = |name: &str, sums| Line { group: vec![Some(name.into())], sums };
        let lines = [line("a", unknown), line("b", known)];
        let table = table(&["model"], &shown(&lines));
        let cells = |row: usize| table.lines().nth(row).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!((cells(1)[4], cells(2)[4], cells(3)[4]), ("-", "0.005", "0.005"), "{table}");
        assert_eq!(csv(&["model"], &lines).lines().nth(1), Some("a,2,0,0,0,0,0,0,,0,2"));
        let json: Value = serde_json::from_str(&json(&["model"], &lines)).unwrap();
        assert_eq!((&json[0]["cost_usd"], &json[0]["unpriced"]), (&Value::Null, &json!(2)));
        // no row, no cost
        assert_eq!(
            csv(&[], &[Line { group: vec![], sums: Sums::default() }]).lines().nth(1),
            Some("0,0,0,0,0,0,0,0,0,0")
        );
    }

    #[test]
    fn csv_quotes_and_json_keeps_money_exact() {
        let csv = csv(&BY, &lines());
        assert_eq!(
            csv.lines().next(),
            Some(
                "model,month,requests,batch_results,input_tokens,cache_read_input_tokens,cache_creation_input_tokens,output_tokens,reasoning_tokens,cost_usd,saved_cost_usd,unpriced"
            )
        );
        assert_eq!(csv.lines().nth(1), Some(",2026-11,2,0,0,0,0,30,0,0.0123,0,1"));
        assert_eq!(csv.lines().nth(2), Some("\"claude, the \"\"third\"\"\",2026-11,2,0,0,0,0,30,0,0.0123,0,1"));
        let json: Value = serde_json::from_str(&json(&BY, &lines())).unwrap();
        assert_eq!(
            (&json[0]["model"], &json[0]["cost_usd"], &json[0]["requests"]),
            (&Value::Null, &json!("0.0123"), &json!(2))
        );
    }
}
