//! The usage of answers that no client was there for, on its way into the ledger.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};
use plugin_api::{BatchResult, Common, Endpoint, LateResult, Uuid};
use protocols::AnswerReader;

use crate::call::Api;
use crate::entry::Outcome;
use crate::state::{Stage, State};
use crate::store::Store;

/// The ledgers of the gateway.
#[derive(Clone)]
pub(crate) struct Ledgers(pub(crate) Arc<Common>);

impl Ledgers {
    /// Books what the log calls booked and no row has.
    pub(crate) fn book_unbooked(&self, store: &Store) {
        let mut inner = store.lock();
        let unbooked = std::mem::take(&mut inner.unbooked);
        inner.unbooked = unbooked.into_iter().filter(|id| !self.book(&inner.state, *id)).collect();
    }

    /// Books the usage of a call's answer, unless its route has no ledger or it used nothing. `false` where the ledger is not there yet.
    pub(crate) fn book(&self, state: &State, id: Uuid) -> bool {
        let Some(held) = state.calls.get(&id) else { return true };
        let Stage::Answered(answer) = &held.stage else { return true };
        let (Outcome::Given(status), Some(name)) = (answer.outcome, &held.call.booking.ledger) else { return true };
        let Some((model, usage)) = used(held.call.group.api, status, &answer.body) else { return true };
        let Some(book) = self.0.late_books.find(name) else { return false };
        let (call, booking) = (&held.call, &held.call.booking);
        book.book(&LateResult {
            request: call.id,
            began: UNIX_EPOCH + Duration::from_millis(call.accepted),
            domain: booking.domain.clone(),
            upstream: call.group.upstream.clone(),
            tenant: booking.tenant.clone(),
            key_name: booking.key_name.clone(),
            api_key_hash: booking.api_key_hash.clone(),
            result: BatchResult {
                batch: answer.batch.clone(),
                custom_id: call.id.to_string(),
                model: model.or_else(|| Some(call.group.model.clone())),
                usage,
            },
        });
        true
    }
}

/// The model and the usage that an answer reports.
fn used(api: Api, status: u16, body: &[u8]) -> Option<(Option<String>, plugin_api::Usage)> {
    let endpoint = match api {
        Api::Messages => Endpoint::MESSAGES,
        Api::Chat => Endpoint::CHAT_COMPLETIONS,
        Api::Responses => Endpoint::RESPONSES,
        Api::Embeddings => Endpoint::EMBEDDINGS,
    };
    let mut reader = AnswerReader::new(endpoint, StatusCode::from_u16(status).ok()?, &HeaderMap::new());
    reader.feed(body);
    reader.finish();
    let answer = reader.into_answer();
    Some((answer.model, answer.usage?))
}

impl fmt::Debug for Ledgers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledgers")
    }
}
