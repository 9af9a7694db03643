//! The answer of a call whose client was told to come back: a GET of the call's own path, by the same caller alone.

use bytes::Bytes;
use http::{Method, StatusCode};
use plugin_api::{ErrorKind, Flow, Reply, Request, Uuid};

use crate::entry::Outcome;
use crate::store::Fetched;
use crate::{Batch, figures, owner, reply};

impl Batch {
    /// Answers a request for an answer; `None` for any other.
    pub(crate) fn fetch(&self, request: &mut Request<'_>) -> Option<Flow> {
        if *request.head.method != Method::GET {
            return None;
        }
        let id = asked(request.head.query()?)?;
        let owner = {
            let key = request.api_key_digest();
            owner::owner(request.context.principal(), key)
        };
        let (protocol, own) = (request.protocol, request.context.id);
        let found = id.map_or(Fetched::Nothing, |id| self.store.fetch(id, owner));
        let reply = match (found, id) {
            (Fetched::UnderWay, Some(id)) => reply::later(&path(request), id, self.retry_after()),
            (Fetched::Answer(answer), _) => {
                self.shared.figures.call(figures::FETCHED);
                match answer.outcome {
                    Outcome::Given(status) => {
                        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                        reply::again(status, reply::json_headers(), Bytes::clone(&answer.body))
                    }
                    Outcome::Failed(why) => {
                        reply::no_answer(protocol, why, &answer.body, &request.upstream.into(), own)
                    }
                }
            }
            (Fetched::Nothing | Fetched::UnderWay, _) => {
                Reply::error(protocol, ErrorKind::NotFound, "There is no call of this caller under that id", own)
            }
        };
        Some(reply.into())
    }
}

/// The path that a client asked for, without its query.
pub(crate) fn path(request: &Request<'_>) -> String {
    let path = request.head.request_uri().split(|byte| *byte == b'?').next().unwrap_or_default();
    String::from_utf8_lossy(path).into_owned()
}

/// The id that a query asks for; `Some(None)` where it is no id.
fn asked(query: &[u8]) -> Option<Option<Uuid>> {
    let query = std::str::from_utf8(query).ok()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, id) = pairs.find(|(name, _)| *name == reply::PARAMETER)?;
    Some(Uuid::try_parse(id).ok())
}
