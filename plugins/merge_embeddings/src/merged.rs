//! One upstream call in the place of several: when it goes, what it says, and what its callers get of its answer.

use std::sync::Arc;
use std::time::Duration;

use log::warn;
use plugin_api::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use plugin_api::http::{HeaderMap, HeaderName, StatusCode};
use plugin_api::{BODIES, Bytes, Common, LogLimit, SendError, SentTo, UpstreamRequest, Usage, run_blocking};

use crate::answer::{Part, take_apart};
use crate::discarded;
use crate::group::Member;
use crate::groups::{UnderWay, Window};
use crate::inputs;
use crate::key::{Key, make_common};
use crate::merging::Merging;

/// The largest answer that is read, in bytes for each input: 3,072 numbers, each with as much space around it as it takes.
const LARGEST_EMBEDDING: usize = 192 << 10;
/// The same for the answer as a whole, where it has few.
const LARGEST_OF_FEW: usize = 16 << 20;
/// The largest answer that is no success.
const LARGEST_ERROR: usize = 1 << 20;
/// The largest answer that is taken apart on the thread that serves, which takes less than a millisecond.
const APART_IN_LINE: usize = 1 << 20;

/// For how long no calls are merged that are like one that was refused: one of its inputs may come again.
const REFUSED: Duration = Duration::from_secs(1);
/// The same for an upstream whose answers cannot be taken apart.
const UNFIT: Duration = Duration::from_secs(60);

/// Headers that describe the bytes of a body, and are wrong for a part of it.
const OF_THE_BODY: [HeaderName; 6] = [
    CONTENT_LENGTH,
    ETAG,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// What came of a call that has waited.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// No other has come. It goes alone, and holds this meanwhile.
    Alone(Option<UnderWay>),
    /// It went together with others, which was of no use. It goes alone. If the merged call is paid for, this is its share of that.
    Again(Option<Box<Usage>>),
    /// An upstream answered.
    Answered(Box<Answered>),
    /// None did.
    Failed(SendError),
}

/// An answer, of a merged call or for one of its callers.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub sent: Box<SentTo>,
}

/// Sees to a group: waits for its window, sends what has come, and tells each call what came of it.
pub(crate) async fn run(window: Window, time: Duration, merging: Arc<Merging>, common: Arc<Common>) {
    window.passes(time).await;
    let key = window.key();
    // while the group is under way, others of its key wait for each other
    let (mut members, request, under_way) = window.close();
    members.iter().for_each(|member| merging.figures.waited(member.came.elapsed()));
    if members.len() < 2 {
        if let Some(only) = members.pop() {
            // it may have left
            let _ = only.outcome.send(Outcome::Alone(under_way));
        }
        return;
    }
    merging.figures.merged(members.len());
    let request = merged(request, &members);
    let inputs = members.iter().map(|member| member.inputs.count).sum();
    let answered = tokio::select! {
        biased;
        answered = ask(&common, request, inputs) => answered,
        // nobody waits any more: dropping it ends the call upstream
        () = all_left(&mut members) => return,
    };
    let parts: Vec<Part> =
        members.iter().map(|member| Part { inputs: member.inputs.count, tokens: member.inputs.tokens }).collect();
    let outcomes = outcomes(answered, parts, &merging, key).await;
    for (member, outcome) in members.into_iter().zip(outcomes) {
        let _ = member.outcome.send(outcome);
    }
}

/// The request of a group: that of its first call, with the inputs of all.
fn merged(mut request: UpstreamRequest, members: &[Member]) -> UpstreamRequest {
    make_common(&mut request.headers);
    request.body = inputs::merged(members.iter().map(|member| &member.inputs));
    request
}

/// Why there is no answer to a merged call.
#[derive(Debug)]
struct Unanswered {
    error: SendError,
    /// The upstream answered with success, so the call is paid for.
    is_paid: bool,
}

async fn ask(common: &Common, request: UpstreamRequest, inputs: usize) -> Result<Answered, Unanswered> {
    let sent = common.upstreams.send(request).await;
    let response = sent.map_err(|error| Unanswered { error, is_paid: false })?;
    let (status, headers, sent) = (response.status, response.headers, response.sent);
    let is_paid = status.is_success();
    let largest = if is_paid { LARGEST_OF_FEW.max(inputs.saturating_mul(LARGEST_EMBEDDING)) } else { LARGEST_ERROR };
    let body = response.body.whole(largest).await.map_err(|error| Unanswered { error, is_paid })?;
    Ok(Answered { status, headers, body, sent })
}

/// Returns once the callers of all have left.
async fn all_left(members: &mut [Member]) {
    for member in members {
        member.outcome.closed().await;
    }
}

/// What the calls of a group are told, in their order.
async fn outcomes(
    answered: Result<Answered, Unanswered>,
    parts: Vec<Part>,
    merging: &Merging,
    key: Key,
) -> Vec<Outcome> {
    let (count, estimate) = (parts.len(), parts.iter().map(|part| part.tokens).sum());
    let again = || (0..count).map(|_| Outcome::Again(None)).collect();
    let mut answered = match answered {
        Ok(answered) => answered,
        // as each of them would be answered alone
        Err(Unanswered { error: error @ SendError::Failed(_), .. }) => {
            return (0..count).map(|_| Outcome::Failed(error.clone())).collect();
        }
        Err(Unanswered { error, is_paid }) => {
            if is_paid {
                // what it used is not known
                merging.figures.discarded(estimate);
            }
            // where there was no memory for all, the next group would not fare better
            let rest = if error == SendError::TooLarge { UNFIT } else { REFUSED };
            merging.groups.rest(key, rest);
            return again();
        }
    };
    for name in &OF_THE_BODY {
        answered.headers.remove(name);
    }
    if may_be_of_one(answered.status) {
        merging.groups.rest(key, REFUSED);
        return again();
    }
    let each = |body: Bytes| Outcome::Answered(Box::new(Answered { body, ..answered.clone() }));
    if !answered.status.is_success() {
        return (0..count).map(|_| each(answered.body.clone())).collect();
    }
    match apart(&answered, parts).await {
        Apart::Bodies(bodies) => bodies.into_iter().map(each).collect(),
        Apart::Unfit(usages) => {
            report(&answered, &usages, estimate, merging);
            merging.groups.rest(key, UNFIT);
            usages.into_iter().map(|usage| Outcome::Again(usage.map(Box::new))).collect()
        }
    }
}

/// Whether a merged call may have been refused because of one of those that it was made of.
fn may_be_of_one(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY)
}

/// What an answer comes to, taken apart.
enum Apart {
    /// The body for each caller.
    Bodies(Vec<Bytes>),
    /// It cannot be. What each caller has to pay for it, as far as it says.
    Unfit(Vec<Option<Usage>>),
}

/// Takes the answer apart. The bodies take the memory that the whole is charged with now.
async fn apart(answered: &Answered, parts: Vec<Part>) -> Apart {
    let (status, headers, body) = (answered.status, answered.headers.clone(), answered.body.clone());
    let (count, length) = (parts.len(), body.len());
    let run = move || {
        let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
        let bodies = is_plain.then(|| take_apart(&body, &parts)).flatten();
        bodies.map_or_else(|| Apart::Unfit(discarded::usages(status, &headers, &body, &parts)), Apart::Bodies)
    };
    let apart = if length > APART_IN_LINE {
        // on a blocking thread, so that other requests of this worker go on
        run_blocking(run).await.unwrap_or_else(|| Apart::Unfit(vec![None; count]))
    } else {
        run()
    };
    let Apart::Bodies(bodies) = apart else { return apart };
    let charged = bodies.into_iter().map(|body| {
        let mut charge = BODIES.charge();
        charge.settle(body.len());
        charge.on(body)
    });
    Apart::Bodies(charged.collect())
}

/// Reports an answer that is no list of embeddings, one for each input in their order. What it used is estimated where it does not say.
fn report(answered: &Answered, usages: &[Option<Usage>], estimate: u64, merging: &Merging) {
    static UNFIT_ANSWERS: LogLimit<Arc<str>> = LogLimit::new();
    let says_nothing = usages.iter().all(Option::is_none);
    let tokens = if says_nothing { estimate } else { usages.iter().flatten().map(discarded::tokens).sum() };
    merging.figures.discarded(tokens);
    if let Some(suppressed) = UNFIT_ANSWERS.pass(answered.sent.upstream.clone()) {
        let upstream = &*answered.sent.upstream;
        warn!(upstream, tokens, suppressed; "the answer to merged embedding calls cannot be taken apart; they are sent alone");
    }
}
