//! What the dashboard shows of the ledger, as JSON on the admin listener. Reads from `read_url` or the database, on connections of its own,
//! and writes nothing.

mod call;
mod calls;
mod conversation;
mod conversations;
mod filter;
mod histogram;
mod json;
mod now;
mod parameters;
mod reader;
mod row;
mod spend;
mod spend_page;
mod walk;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::http::{Method, StatusCode};
use plugin_api::{AdminAnswer, AdminRequest, AdminRoute};
use serde_json::{Value, json};

use crate::{Database, Ledgers, PoolSettings};

use parameters::Parameters;
use reader::Reader;

/// The databases that are read, as long as a configuration names them.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Vec<(Database, PoolSettings, Arc<Reader>)>>);

/// A database that a ledger of the configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadFrom {
    pub(crate) database: Database,
    /// It is another than the one that is written to.
    pub(crate) is_replica: bool,
    pub(crate) pool: PoolSettings,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    BadRequest(String),
    NotFound(String),
    Unavailable(String),
    /// Too many wait for their turn.
    Busy,
    /// A query took longer than it may.
    Timeout,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::BadRequest(message)
    }
}

impl From<Failure> for AdminAnswer {
    fn from(failure: Failure) -> Self {
        let (status, error, message) = match failure {
            Failure::BadRequest(message) => return Self::bad_request(&message),
            Failure::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
            Failure::Unavailable(message) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", message),
            Failure::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many queries wait for the ledger's database".into())
            }
            Failure::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "the query took too long; ask for a shorter span of time".into(),
            ),
        };
        Self::json(status, json!({ "error": error, "message": message }))
    }
}

type Answered<'a> = Pin<Box<dyn Future<Output = Result<AdminAnswer, Failure>> + Send + 'a>>;
type View = for<'a> fn(&'a Reader, &'a mut Parameters) -> Answered<'a>;

/// The paths, and what answers them.
const VIEWS: [(&str, View); 7] = [
    ("/dashboard/api/now", |reader, parameters| Box::pin(now::answer(reader, parameters))),
    ("/dashboard/api/spend", |reader, parameters| Box::pin(spend::answer(reader, parameters))),
    ("/dashboard/api/spend_options", |reader, parameters| Box::pin(spend::options(reader, parameters))),
    ("/dashboard/api/conversations", |reader, parameters| Box::pin(conversations::answer(reader, parameters))),
    ("/dashboard/api/conversation", |reader, parameters| Box::pin(conversation::answer(reader, parameters))),
    ("/dashboard/api/calls", |reader, parameters| Box::pin(calls::answer(reader, parameters))),
    ("/dashboard/api/call", |reader, parameters| Box::pin(call::answer(reader, parameters))),
];

/// The routes of the admin listener.
pub(crate) fn routes(ledgers: &Arc<Ledgers>) -> Vec<AdminRoute> {
    let views = VIEWS.into_iter().map(|(path, view)| {
        let ledgers = ledgers.clone();
        AdminRoute::new(Method::GET, path, move |request| {
            let ledgers = ledgers.clone();
            async move { answer(&ledgers, view, &request).await.unwrap_or_else(AdminAnswer::from) }
        })
    });
    let known = ledgers.clone();
    let listed = AdminRoute::new(Method::GET, "/dashboard/api/ledgers", move |_| {
        let answer = AdminAnswer::json(StatusCode::OK, json!({ "ledgers": list(&known.read_from()) }));
        async move { answer }
    });
    views.chain([listed]).collect()
}

fn list(read_from: &[ReadFrom]) -> Vec<Value> {
    let each = read_from.iter().enumerate().map(|(number, from)| {
        let engine = match from.database {
            Database::Postgres(_) => "postgres",
            Database::Sqlite(_) => "sqlite",
        };
        let reads = if from.is_replica { "read_url" } else { "database" };
        json!({ "ledger": number, "database": from.database.to_string(), "engine": engine, "reads": reads })
    });
    each.collect()
}

async fn answer(ledgers: &Ledgers, view: View, request: &AdminRequest) -> Result<AdminAnswer, Failure> {
    let mut parameters = Parameters::of(request)?;
    let number: usize = parameters.parsed("ledger", "a number")?.unwrap_or_default();
    let read_from = ledgers.read_from();
    let Some(from) = read_from.get(number) else {
        let none = || Failure::Unavailable("no route has a `usage_log`".into());
        return Err(if read_from.is_empty() {
            none()
        } else {
            Failure::NotFound(format!("there is no ledger {number}"))
        });
    };
    ledgers.note_read(&from.database);
    let reader = ledgers.readers.get(from, &read_from)?;
    let answered = view(&reader, &mut parameters).await?;
    Ok(answered)
}

impl Readers {
    /// The reader of a database. Those that no configuration names any more are closed.
    fn get(&self, from: &ReadFrom, all: &[ReadFrom]) -> Result<Arc<Reader>, Failure> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |from: &ReadFrom, database: &Database, pool: &PoolSettings| {
            from.database == *database && from.pool == *pool
        };
        readers.retain(|(database, pool, _)| all.iter().any(|from| is_of(from, database, pool)));
        if let Some((_, _, reader)) = readers.iter().find(|(database, pool, _)| is_of(from, database, pool)) {
            return Ok(reader.clone());
        }
        let reader = Arc::new(Reader::open(&from.database, &from.pool)?);
        readers.push((from.database.clone(), from.pool, reader.clone()));
        Ok(reader)
    }
}

/// An answer of JSON.
fn json_answer(body: Value) -> AdminAnswer {
    AdminAnswer::json(StatusCode::OK, body)
}
