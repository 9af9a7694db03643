//! The providers' batches: what each was handed in with, when it ends, and what came of every request. Kept in the process, so that a
//! gateway may die and come back. Writes no HTTP.

mod anthropic;
mod files;
mod openai;
mod outcome;
mod target;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::dialect::Dialect;
use super::draws::Draws;
use super::failure::Failure;
use super::settings::Settings;
use files::Files;
use outcome::{Line, Outcome};
pub(super) use target::Target;

/// The draws of requests in batches have numbers from here on: they shift those of no call.
const BATCHED: u64 = 1 << 62;
/// Batches that are kept; the oldest goes first.
const MOST_KEPT: usize = 10_000;
/// How many a page of a list has, unless the request says otherwise, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 1_000;

/// All batches of a simulator, and its files.
#[derive(Default)]
pub(super) struct Batches(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// In the order in which they were made.
    batches: Vec<Batch>,
    files: Files,
    /// Requests that came in batches.
    requests: u64,
    submitted: u64,
    /// The ids of all requests that a batch accepted, to find those that come again.
    custom_ids: HashSet<String>,
    again: u64,
    canceled: u64,
}

/// One batch.
struct Batch {
    id: String,
    dialect: Dialect,
    created: SystemTime,
    /// When it ends of itself.
    due: SystemTime,
    /// When it was asked to end.
    cancelled: Option<SystemTime>,
    /// Whether its being cancelled has been seen under way once.
    cancel_seen: bool,
    lines: Vec<Line>,
    /// What only OpenAI's have.
    openai: Option<openai::Details>,
}

/// How many requests are where.
#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    processing: usize,
    succeeded: usize,
    errored: usize,
    canceled: usize,
    expired: usize,
}

/// What `/stats` says of batches.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct BatchStats {
    /// Batches that were accepted.
    submitted: u64,
    /// Requests in them.
    requests: u64,
    /// Requests whose `custom_id` an earlier batch had.
    submitted_again: u64,
    /// Batches that were cancelled.
    canceled: u64,
}

/// An answer that is no failure.
pub(super) enum Found {
    Json(Vec<u8>),
    /// Lines of JSON, of this content type.
    Lines(Vec<u8>, &'static str),
}

/// What a request for batches or files says beside its path.
pub(super) struct Asked<'a> {
    pub(super) query: &'a str,
    /// The host asked for, of which links to results are made.
    pub(super) host: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
}

impl Batches {
    /// Answers a request for batches or files.
    pub(super) fn answer(
        &self,
        target: &Target<'_>,
        asked: &Asked<'_>,
        settings: &Settings,
        draws: Draws,
    ) -> Result<Found, Failure> {
        let now = SystemTime::now();
        let mut kept = self.lock();
        match *target {
            Target::Create(Dialect::Anthropic) => {
                let lines = anthropic::lines(asked.body, settings, kept.requests)?;
                let batch = Batch::new(draws.id("msgbatch_"), Dialect::Anthropic, lines, None, now, settings);
                Ok(kept.add(batch, asked.host, now))
            }
            Target::Create(Dialect::OpenAi) => {
                let (details, lines) = openai::create(asked.body, &kept.files, settings, kept.requests, draws)?;
                let batch = Batch::new(draws.id("batch_"), Dialect::OpenAi, lines, Some(details), now, settings);
                Ok(kept.add(batch, asked.host, now))
            }
            Target::List(dialect) => Ok(kept.list(dialect, asked, now)),
            Target::One(dialect, id) => {
                let batch = kept.batch(dialect, id)?;
                batch.cancel_seen |= batch.cancelled.is_some();
                Ok(Found::Json(batch.json(asked.host, now)))
            }
            Target::Cancel(dialect, id) => {
                let batch = kept.batch(dialect, id)?;
                let first = batch.cancelled.is_none() && batch.due > now;
                if first {
                    batch.cancelled = Some(now);
                }
                let found = Found::Json(batch.json(asked.host, now));
                kept.canceled += u64::from(first);
                Ok(found)
            }
            Target::Results(id) => {
                let batch = kept.batch(Dialect::Anthropic, id)?;
                if !batch.has_ended(now) {
                    return Err(Failure::bad_request(format!("batch {id} has no results before it has ended")));
                }
                Ok(Found::Lines(batch.results(|outcome, line| outcome.anthropic(line)), "application/x-jsonl"))
            }
            Target::Upload => kept.files.upload(asked.content_type, asked.body, draws, now),
            Target::Files => Ok(Found::Json(kept.files.list())),
            Target::File(id) => kept.files.describe(id),
            Target::Content(id) => match kept.batches.iter().find_map(|batch| batch.output(id, now)) {
                Some(lines) => Ok(Found::Lines(lines, "application/octet-stream")),
                None => kept.files.content(id),
            },
        }
    }

    /// What `/stats` says.
    pub(super) fn stats(&self) -> BatchStats {
        let kept = self.lock();
        BatchStats {
            submitted: kept.submitted,
            requests: kept.requests,
            submitted_again: kept.again,
            canceled: kept.canceled,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, batch: Batch, host: &str, now: SystemTime) -> Found {
        self.submitted += 1;
        self.requests += batch.lines.len() as u64;
        for line in &batch.lines {
            self.again += u64::from(!self.custom_ids.insert(line.custom_id.clone()));
        }
        let json = batch.json(host, now);
        if self.batches.len() == MOST_KEPT {
            let oldest = self.batches.remove(0);
            for line in &oldest.lines {
                self.custom_ids.remove(&line.custom_id);
            }
        }
        self.batches.push(batch);
        Found::Json(json)
    }

    fn batch(&mut self, dialect: Dialect, id: &str) -> Result<&mut Batch, Failure> {
        let mut batches = self.batches.iter_mut();
        batches.find(|batch| batch.dialect == dialect && batch.id == id).ok_or_else(|| Failure::no_such("batch", id))
    }

    /// A page of the list, the newest first.
    fn list(&mut self, dialect: Dialect, asked: &Asked<'_>, now: SystemTime) -> Found {
        let parameter = |name: &str| {
            let pairs = asked.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
        };
        let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let after = parameter(if dialect == Dialect::Anthropic { "after_id" } else { "after" });
        let mut rest = self.batches.iter().rev().filter(|batch| batch.dialect == dialect);
        if let Some(after) = after {
            rest.find(|batch| batch.id == after);
        }
        let page: Vec<&Batch> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        Found::Json(match dialect {
            Dialect::Anthropic => anthropic::list(&page, more, asked.host, now),
            Dialect::OpenAi => openai::list(&page, more, now),
        })
    }
}

impl Batch {
    fn new(
        id: String,
        dialect: Dialect,
        lines: Vec<Line>,
        openai: Option<openai::Details>,
        now: SystemTime,
        settings: &Settings,
    ) -> Self {
        let due = now + settings.batch_after.get();
        Self { id, dialect, created: now, due, cancelled: None, cancel_seen: false, lines, openai }
    }

    /// Whether it is over. One that is being cancelled says so once before it is.
    fn has_ended(&self, now: SystemTime) -> bool {
        self.due <= now || self.cancel_seen
    }

    fn ended_at(&self) -> SystemTime {
        self.cancelled.unwrap_or(self.due)
    }

    fn counts(&self, now: SystemTime) -> Counts {
        let mut counts = Counts::default();
        if !self.has_ended(now) {
            return Counts { processing: self.lines.len(), ..counts };
        }
        for line in &self.lines {
            match self.outcome_of(line) {
                Outcome::Succeeded(_) => counts.succeeded += 1,
                Outcome::Errored { .. } => counts.errored += 1,
                Outcome::Canceled => counts.canceled += 1,
                Outcome::Expired => counts.expired += 1,
            }
        }
        counts
    }

    fn outcome_of<'a>(&self, line: &'a Line) -> &'a Outcome {
        if self.cancelled.is_some() { &Outcome::Canceled } else { &line.outcome }
    }

    fn results(&self, write: impl Fn(&Outcome, &str) -> Vec<u8>) -> Vec<u8> {
        let mut all = Vec::new();
        // no provider promises an order
        for line in self.lines.iter().rev() {
            all.extend(write(self.outcome_of(line), &line.custom_id));
            all.push(b'\n');
        }
        all
    }

    fn json(&self, host: &str, now: SystemTime) -> Vec<u8> {
        match &self.openai {
            None => anthropic::describe(self, host, now),
            Some(details) => openai::describe(self, details, now),
        }
    }

    /// The content of one of its files of results, by the file's id.
    fn output(&self, file: &str, now: SystemTime) -> Option<Vec<u8>> {
        let details = self.openai.as_ref().filter(|_| self.has_ended(now))?;
        let wanted = match file {
            _ if file == details.output_file => true,
            _ if file == details.error_file => false,
            _ => return None,
        };
        let mut all = Vec::new();
        for line in self.lines.iter().rev() {
            let outcome = self.outcome_of(line);
            if matches!(outcome, Outcome::Succeeded(_)) == wanted {
                all.extend(outcome.openai(&line.custom_id));
                all.push(b'\n');
            }
        }
        Some(all)
    }
}
