//! A table of sums, and the statement that adds to it, in the SQL of either engine.

use std::fmt::Write;

use super::group::Group;
use crate::Timestamp;

/// As many groups at most are added by one statement.
const AT_A_TIME: usize = 500;

/// A table of sums: one row for a span of time, a group, and a shard. Gateways write to different shards, so that they do not wait for
/// each other; a group's sum is that of its shards.
pub(crate) struct SumTable {
    pub(crate) name: &'static str,
    /// The column of the span: a day, or a minute.
    pub(crate) span: &'static str,
    /// The columns of the group.
    pub(crate) groups: &'static [&'static str],
    pub(crate) figures: &'static [Figure],
}

/// A column that is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Count(&'static str),
    /// In picodollars; without the unit at the end of its name.
    Money(&'static str),
}

/// How an engine writes what the engines write differently.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) text: fn(&str) -> String,
    pub(crate) id: fn(&[u8; 16]) -> String,
    pub(crate) time: fn(Timestamp) -> String,
    /// The name of a column of money, and a value of it.
    pub(crate) money_name: fn(&str) -> String,
    pub(crate) money: fn(i64) -> String,
    /// A column of money as picodollars, and one of times as text.
    pub(crate) picos: fn(&str) -> String,
    pub(crate) time_text: fn(&str) -> String,
    /// Bytes as hexadecimal digits.
    pub(crate) hex: fn(&str) -> String,
    /// The sum of a column of money in picodollars.
    pub(crate) picos_sum: fn(&str) -> String,
    /// The order of texts by their bytes, behind a text.
    pub(crate) binary_order: &'static str,
    /// Whether money has the limit of 64 bits that counts have, and a sum beyond it is an error.
    pub(crate) has_limited_money: bool,
    pub(crate) smaller: &'static str,
    pub(crate) larger: &'static str,
}

impl SumTable {
    /// The statements that add these groups, in their order: whoever adds to the same rows does so in the same order.
    pub(crate) fn add(&self, groups: &[Group<'_>], dialect: &Dialect) -> String {
        let mut statements = String::new();
        for part in groups.chunks(AT_A_TIME) {
            self.add_part(&mut statements, part, dialect);
        }
        statements
    }

    fn add_part(&self, sql: &mut String, groups: &[Group<'_>], dialect: &Dialect) {
        // most figures are 0 in all groups of a batch, and 0 is what a column has that is left out
        let used = |at: usize| groups.iter().any(|group| group.figures[at] != 0);
        let used: Vec<usize> = (0..self.figures.len()).filter(|at| used(*at)).collect();
        let names: Vec<String> = used.iter().map(|at| self.figures[*at].name(dialect)).collect();
        let _ = write!(
            sql,
            "INSERT INTO {} ({}, group_id, shard, others, {}",
            self.name,
            self.span,
            self.groups.join(", ")
        );
        names.iter().for_each(|name| push(sql, &[", ", name]));
        sql.push_str(") VALUES ");
        for (number, group) in groups.iter().enumerate() {
            let before = if number > 0 { ", " } else { "" };
            let (id, shard, others) = ((dialect.id)(&group.id), group.shard, group.others);
            let _ = write!(sql, "{before}({}, {id}, {shard}, {others}", group.span.sql(dialect));
            for text in &group.texts {
                match text {
                    Some(text) => push(sql, &[", ", &(dialect.text)(text)]),
                    None => sql.push_str(", NULL"),
                }
            }
            for at in &used {
                match self.figures[*at] {
                    Figure::Count(_) => {
                        let _ = write!(sql, ", {}", group.figures[*at]);
                    }
                    Figure::Money(_) => push(sql, &[", ", &(dialect.money)(group.figures[*at])]),
                }
            }
            sql.push(')');
        }
        let _ = write!(sql, " ON CONFLICT ({}, group_id, shard) DO ", self.span);
        if used.is_empty() {
            sql.push_str("NOTHING");
        }
        for (number, (at, name)) in used.iter().zip(&names).enumerate() {
            sql.push_str(if number == 0 { "UPDATE SET " } else { ", " });
            let (table, limit) = (self.name, i64::MAX);
            let is_limited = dialect.has_limited_money || matches!(self.figures[*at], Figure::Count(_));
            // a sum that does not fit stays at the most that does: no row is refused for what an upstream claims
            let _ = if is_limited {
                let (smaller, larger) = (dialect.smaller, dialect.larger);
                write!(
                    sql,
                    "{name} = {smaller}({table}.{name}, {limit} - {larger}(excluded.{name}, 0)) + excluded.{name}"
                )
            } else {
                write!(sql, "{name} = {table}.{name} + excluded.{name}")
            };
        }
        sql.push_str(";\n");
    }
}

impl Figure {
    /// Its name without a unit.
    pub(super) fn bare_name(self) -> &'static str {
        match self {
            Self::Count(name) | Self::Money(name) => name,
        }
    }

    /// The name of its column.
    pub(crate) fn name(self, dialect: &Dialect) -> String {
        match self {
            Self::Count(name) => name.to_owned(),
            Self::Money(name) => (dialect.money_name)(name),
        }
    }
}

fn push(sql: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| sql.push_str(part));
}
