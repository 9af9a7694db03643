//! The rows of calls in the order of their time, page by page, with what another decision about them goes by.

use prices::Tokens;
use uuid::Uuid;

use super::Filter;
use super::engine::{Engine, Limit, TextRow, Words};
use crate::Timestamp;
use crate::store::{StoreError, calendar};

/// How many rows are read at once.
const PAGE: usize = 5000;
/// Whether the client was told to come back for the answer of a batch, whose cost is in the row of the batch's result.
const DEFERRED: &str = "(outcome = 'cached' AND coalesce(response_status, 0) = 202)";

/// The row of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PastRow {
    pub(crate) created_at: Timestamp,
    id: Uuid,
    pub(crate) route: Option<String>,
    /// The model asked for.
    pub(crate) model: Option<String>,
    pub(crate) served_model: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) conversation: Option<String>,
    /// The beginning of the hash of its messages, and of the call that it goes on from.
    pub(crate) turn: Option<[u8; 16]>,
    pub(crate) previous_turn: Option<[u8; 16]>,
    pub(crate) streaming: Option<bool>,
    pub(crate) tokens: Tokens,
    pub(crate) service_tier: Option<String>,
    pub(crate) inference_geo: Option<String>,
    pub(crate) speed: Option<String>,
    pub(crate) web_search_requests: u64,
    /// Whether it is billed in parts, of which the sum of its tokens says nothing.
    pub(crate) has_parts: bool,
    /// What it cost, in picodollars; what asked no upstream cost nothing, except where a batch does.
    pub(crate) cost: Option<i128>,
    pub(crate) outcome: String,
    pub(crate) status: Option<u16>,
    pub(crate) stop_reason: Option<String>,
}

/// Reads the rows of a span of time.
#[derive(Debug)]
pub(crate) struct PastRows<'a> {
    filter: &'a Filter,
    from: Timestamp,
    to: Timestamp,
    after: Option<(Timestamp, Uuid)>,
    is_over: bool,
}

impl<'a> PastRows<'a> {
    /// Those that came from one moment on and before another, which a filter lets through.
    pub(crate) fn new(filter: &'a Filter, from: Timestamp, to: Timestamp) -> Self {
        Self { filter, from, to, after: None, is_over: false }
    }

    /// The next rows; none behind the last.
    ///
    /// # Errors
    /// That they cannot be read.
    pub(super) async fn page(&mut self, engine: &dyn Engine) -> Result<Vec<PastRow>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let text = self.text(engine.words());
        let rows = engine.rows(&text, COLUMNS, Limit::Usual).await?;
        self.is_over = rows.len() < PAGE;
        let rows: Vec<_> = rows.into_iter().map(row).collect::<Result<_, _>>()?;
        self.after = rows.last().map(|row| (row.created_at, row.id));
        Ok(rows)
    }

    /// By the index of `created_at`.
    fn text(&self, words: &Words) -> String {
        // one lower bound: of two an engine may read from the other, and each page from the beginning
        let from = (words.time)(self.after.map_or(self.from, |(time, _)| time));
        let to = (words.time)(self.to);
        let after = self
            .after
            .map_or_else(String::new, |(_, id)| format!(" AND (created_at, id) > ({from}, '{id}'{})", words.uuid));
        let only = self.filter.condition(words).replacen("WHERE", "AND", 1);
        let cost = (words.money)("cost");
        let columns = [
            (words.moment)("created_at"),
            "id".to_owned(),
            "route".to_owned(),
            "model".to_owned(),
            "served_model".to_owned(),
            "endpoint".to_owned(),
            "tenant".to_owned(),
            "key_name".to_owned(),
            "session_id".to_owned(),
            "conversation_id".to_owned(),
            (words.hex)("turn_hash"),
            (words.hex)("previous_turn_hash"),
            "streaming".to_owned(),
            "input_tokens".to_owned(),
            "output_tokens".to_owned(),
            "cache_read_input_tokens".to_owned(),
            "cache_creation_input_tokens".to_owned(),
            "cache_creation_1h_input_tokens".to_owned(),
            "reasoning_tokens".to_owned(),
            "service_tier".to_owned(),
            "inference_geo".to_owned(),
            "speed".to_owned(),
            "web_search_requests".to_owned(),
            "CASE WHEN billed IS NOT NULL THEN 1 ELSE 0 END".to_owned(),
            format!("CASE WHEN attempts = 0 AND NOT {DEFERRED} THEN coalesce({cost}, 0) ELSE {cost} END"),
            "outcome".to_owned(),
            "response_status".to_owned(),
            "stop_reason".to_owned(),
        ];
        let selected: [String; COLUMNS] = columns.map(|column| format!("CAST({column} AS text)"));
        format!(
            "SELECT {} FROM api_requests WHERE created_at >= {from} AND created_at < {to}{after} {only}
            ORDER BY created_at, id LIMIT {PAGE}",
            selected.join(", ")
        )
    }
}

const COLUMNS: usize = 28;

fn row(row: TextRow) -> Result<PastRow, StoreError> {
    let wrong = |what: &str| StoreError::Unavailable(format!("`{what}` of a row cannot be read"));
    let mut cells = row.into_iter();
    let mut text = || cells.next().flatten();
    let created_at = text().and_then(|text| calendar::parse(&text)).ok_or_else(|| wrong("created_at"))?;
    let id = text().and_then(|text| text.parse().ok()).ok_or_else(|| wrong("id"))?;
    let (route, model, served_model, endpoint) = (text(), text(), text(), text());
    let (tenant, key, session, conversation) = (text(), text(), text(), text());
    let (turn, previous_turn) = (text().and_then(|hex| beginning(&hex)), text().and_then(|hex| beginning(&hex)));
    let streaming = text().map(|text| text == "true" || text == "1");
    let mut count = || text().and_then(|text| text.parse().ok());
    let tokens = Tokens {
        input: count(),
        output: count(),
        cache_read: count(),
        cache_write: count(),
        cache_write_1h: count(),
        reasoning: count(),
    };
    let (service_tier, inference_geo, speed) = (text(), text(), text());
    let web_search_requests = text().and_then(|text| text.parse().ok()).unwrap_or(0);
    let has_parts = text().as_deref() == Some("1");
    let cost = text().map(|picos| picos.parse()).transpose().map_err(|_| wrong("cost_usd"))?;
    let outcome = text().unwrap_or_default();
    let status = text().and_then(|text| text.parse().ok());
    Ok(PastRow {
        created_at,
        id,
        route,
        model,
        served_model,
        endpoint,
        tenant,
        key,
        session,
        conversation,
        turn,
        previous_turn,
        streaming,
        tokens,
        service_tier,
        inference_geo,
        speed,
        web_search_requests,
        has_parts,
        cost,
        outcome,
        status,
        stop_reason: text(),
    })
}

/// The first bytes of a hash in hexadecimal digits.
fn beginning(hex: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(hex.get(..32)?, 16).ok().map(u128::to_be_bytes)
}

impl PastRow {
    /// Its input in tokens, of all classes; `None` where none was reported.
    pub(crate) fn input_tokens(&self) -> Option<u64> {
        let Tokens { input, cache_read, cache_write, .. } = self.tokens;
        let known = [input, cache_read, cache_write];
        known.iter().any(Option::is_some).then(|| known.iter().flatten().fold(0, |sum: u64, n| sum.saturating_add(*n)))
    }

    /// Whether tokens were reported.
    pub(crate) fn has_usage(&self) -> bool {
        self.tokens != Tokens::default()
    }
}
