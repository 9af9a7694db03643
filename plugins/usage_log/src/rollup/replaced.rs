//! A row as the database has it, read as far as the sums need it: what a correction takes out of them.

use uuid::Uuid;

use super::table::Dialect;
use crate::store::{StoreError, calendar};
use crate::{Cost, Row, Timestamp, Tokens, UsageSource};

/// The columns that are read; those of money without the unit at the end of their names.
const NAMES: [&str; 31] = [
    "id",
    "created_at",
    "revision",
    "instance",
    "response_time_ms",
    "attempts",
    "response_status",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "saved_input_tokens",
    "saved_output_tokens",
    "saved_cache_read_input_tokens",
    "saved_cache_creation_input_tokens",
    "cost",
    "saved_cost",
    "usage_source",
    "outcome",
    "domain",
    "endpoint",
    "model",
    "served_model",
    "api_key_hash",
    "tenant",
    "key_name",
    "user_id",
    "error_type",
    "reason",
    "cache_status",
];

/// A row, each of its columns as text.
pub(crate) type Replaced = [Option<String>; NAMES.len()];

/// The columns as SQL has them, each as text, so that no figure is rounded.
pub(crate) fn columns(dialect: &Dialect) -> String {
    let columns = NAMES.map(|name| match name {
        "cost" | "saved_cost" => format!("CAST({} AS text)", (dialect.picos)(name)),
        "created_at" => (dialect.time_text)(name),
        name => format!("CAST({name} AS text)"),
    });
    columns.join(", ")
}

impl Row {
    /// The row as far as the sums need it.
    pub(crate) fn of_replaced(columns: Replaced) -> Result<Self, StoreError> {
        let [
            id,
            created_at,
            revision,
            instance,
            response_time_ms,
            attempts,
            response_status,
            input,
            output,
            cache_read,
            cache_creation,
            reasoning,
            saved_input,
            saved_output,
            saved_cache_read,
            saved_cache_creation,
            cost,
            saved_cost,
            usage_source,
            outcome,
            domain,
            endpoint,
            model,
            served_model,
            api_key_hash,
            tenant,
            key_name,
            user_id,
            error_type,
            reason,
            cache_status,
        ] = columns;
        let source = match usage_source.as_deref() {
            Some("reported") => UsageSource::Reported,
            Some("partial") => UsageSource::Partial,
            _ => UsageSource::None,
        };
        Ok(Self {
            id: parse::<Uuid>(id)?.unwrap_or_default(),
            created_at: created_at.as_deref().and_then(calendar::parse).unwrap_or(Timestamp::from_micros(0)),
            revision: parse(revision)?.unwrap_or_default(),
            instance: parse::<Uuid>(instance)?.unwrap_or_default(),
            response_time_ms: parse(response_time_ms)?.unwrap_or_default(),
            attempts: parse(attempts)?.unwrap_or_default(),
            response_status: parse(response_status)?,
            tokens: Tokens {
                input: parse(input)?,
                output: parse(output)?,
                cache_read: parse(cache_read)?,
                cache_creation: parse(cache_creation)?,
                reasoning: parse(reasoning)?,
                ..Tokens::default()
            },
            saved: Tokens {
                input: parse(saved_input)?,
                output: parse(saved_output)?,
                cache_read: parse(saved_cache_read)?,
                cache_creation: parse(saved_cache_creation)?,
                ..Tokens::default()
            },
            cost_usd: parse(cost)?.map(Cost::from_picos),
            saved_cost_usd: parse(saved_cost)?.map(Cost::from_picos),
            usage_source: source,
            outcome: outcome.unwrap_or_default().into(),
            domain: domain.unwrap_or_default().into(),
            endpoint: endpoint.map(Into::into),
            model: model.map(Into::into),
            served_model: served_model.map(Into::into),
            api_key_hash: api_key_hash.map(Into::into),
            tenant: tenant.map(Into::into),
            key_name: key_name.map(Into::into),
            user_id: user_id.map(Into::into),
            error_type: error_type.map(Into::into),
            reason: reason.map(Into::into),
            cache_status: cache_status.map(Into::into),
            ..Self::default()
        })
    }
}

fn parse<T: std::str::FromStr>(text: Option<String>) -> Result<Option<T>, StoreError> {
    text.map(|text| text.parse().map_err(|_| StoreError::Unavailable(format!("a row cannot be read: `{text}`"))))
        .transpose()
}
