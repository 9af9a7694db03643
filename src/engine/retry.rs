//! What becomes of an exchange when an attempt fails: what its server is blamed for, and another attempt or the answer that
//! it has failed.

use std::time::Duration;

use http::HeaderValue;
use http::header::RETRY_AFTER;
use log::debug;
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::{FailToProxy, Session};
use plugin_api::{LogLimit, Reply};
use tokio::time::Instant;

use crate::balance::{FailureClass, RetryOn, ServerFailure};
use crate::exchange::deadlines::Expired;
use crate::exchange::retry_hint::Advice;

use super::attempts::GivenUp;
use super::ctx::{Exchange, written};
use super::failure::{Failure, PLUGIN_PANIC};
use super::reply;
use super::select::{Next, next_address, next_server, next_unprocessed};
use super::unprocessed::{Unprocessed, ended_by_server};

/// How soon a kept connection that the server had closed already shows that it is. Whatever breaks later may have been at
/// work on the call.
const STALE_SHOWS: Duration = Duration::from_secs(1);

/// No connection came about: nothing was sent, so another attempt is always safe.
pub fn on_connect(x: &mut Exchange, mut error: Box<Error>) -> Box<Error> {
    let failure = match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => Failure::Tls,
        _ => Failure::Connect,
    };
    let failure = if out_of_time(x) { Failure::TotalTimeout } else { failure };
    debug!(error:%; "attempt failed to connect");
    // an HTTP/2 connection that takes no stream, because the server is closing it: no fault, the first time
    let closing = *error.etype() == ErrorType::H2Error && !x.attempts.is_second && failure == Failure::Connect;
    if closing && !out_of_time(x) {
        let again = resend(x, Failure::NotProcessed, false);
        error.set_retry(again);
        return error;
    }
    if let Some(kind) = failure.fault() {
        x.attempts.blame(kind.into());
    }
    let worth = retries_on(x, RetryOn::Connect);
    // whatever else: the other addresses of its name are the same server by the YAML
    let server_index = x.attempts.lease.as_ref().map(crate::balance::Lease::server_index);
    let again = failure != Failure::TotalTimeout && another(x, failure, worth, server_index);
    error.set_retry(again);
    error
}

/// The head of an answer has come: blames the server for it, or clears it; `true` if the answer is given up for another
/// attempt, whose server has been taken.
pub fn on_answer(session: &Session, head: &ResponseHeader, x: &mut Exchange) -> bool {
    let Some(upstream) = x.attempts.upstream.clone() else { return false };
    let status = head.status.as_u16();
    let advice = if status < 400 { Advice::default() } else { Advice::of(&head.headers) };
    let callers_fault = advice.should_retry == Some(false);
    if upstream.ejects_on(status) && !callers_fault {
        x.attempts.blame(ServerFailure { class: FailureClass::of_status(status), retry_after: advice.retry_after });
    } else if let (Some(lease), Some(began)) = (&mut x.attempts.lease, x.attempts.began) {
        let now = Instant::now();
        upstream.pool.answered(lease, now.saturating_duration_since(began), now.into_std());
    }
    let named = RetryOn::of_status(status).is_some_and(|condition| upstream.retries_on(condition));
    let wanted = advice.should_retry == Some(true);
    if callers_fault || !(named || wanted) || !x.replayable(session) || out_of_time(x) {
        return false;
    }
    x.attempts.rule_out();
    if next_server(x, None, false) != Next::Taken {
        return false;
    }
    let retry_after = head.headers.get(RETRY_AFTER).cloned();
    x.attempts.given_up = Some(GivenUp { status: head.status, retry_after });
    true
}

/// An attempt failed after it was connected.
pub fn on_attempt(x: &mut Exchange, session: &mut Session, mut error: Box<Error>, reused: bool) -> Box<Error> {
    if x.is_delivered(session, &error) {
        debug!(error:%; "what was left of an exchange failed once its answer had been delivered");
        error.set_retry(false);
        return error;
    }
    let answered = written(session).is_some();
    let expired = x.watch.expired();
    x.watch.awaits_nothing();
    let begun = answered || x.record.status.is_some();
    let unprocessed = Unprocessed::of(&error, x.body.is_some());
    let failure = match (error.etype(), error.esource(), expired) {
        (_, _, Some(Expired::FirstByte)) => Failure::FirstByteTimeout,
        (_, _, Some(Expired::Send)) => Failure::SendTimeout,
        (_, _, Some(Expired::Total)) => Failure::TotalTimeout,
        // whoever has a part of the answer cannot be told
        (_, _, Some(Expired::RequestBody)) | (ErrorType::ReadTimedout, ErrorSource::Downstream, _) => {
            if begun {
                Failure::ClientGone
            } else {
                Failure::BodyTimeout
            }
        }
        (ErrorType::HTTPStatus(status), ErrorSource::Upstream, _) => Failure::Status(*status),
        (kind, ErrorSource::Downstream, _) => Failure::of_client(kind),
        (ErrorType::ReadTimedout, _, _) if out_of_time(x) => Failure::TotalTimeout,
        (ErrorType::ReadTimedout, _, _) if begun => Failure::IdleTimeout,
        (ErrorType::ReadTimedout, _, _) => Failure::FirstByteTimeout,
        (ErrorType::CustomCode(PLUGIN_PANIC, _), _, _) => Failure::PluginPanic,
        (_, ErrorSource::Internal, _) if !begun => Failure::Internal,
        _ if begun => Failure::BrokenAnswer,
        (ErrorType::InvalidHTTPHeader, _, _) => Failure::InvalidHeader,
        _ if unprocessed.is_some() => Failure::NotProcessed,
        _ => Failure::NoAnswer,
    };
    debug!(error:%, reused, word = failure.word(); "attempt failed");
    // the server closed a kept connection just as it was used again: its own choice of time, not a failed attempt
    let at_once = x.attempts.began.is_some_and(|began| began.elapsed() < STALE_SHOWS);
    let stale = reused && failure == Failure::NoAnswer && at_once && !x.attempts.was_stale && !ended_by_server(&error);
    let replayable = !begun && x.replayable(session) && !out_of_time(x);
    let again = if let Failure::Status(_) = failure {
        // its server was blamed and the next one taken when the head came
        x.attempts.next.is_some() && told_again(x, failure)
    } else if stale && replayable {
        x.attempts.was_stale = true;
        x.attempts.same_server = true;
        x.failure = Some(failure);
        true
    } else if failure == Failure::NotProcessed {
        if unprocessed == Some(Unprocessed::Failing) {
            x.attempts.blame(FailureClass::Error.into());
        }
        x.attempts.wants_http_1 = unprocessed == Some(Unprocessed::WantsHttp1);
        let elsewhere = matches!(unprocessed, Some(Unprocessed::Failing | Unprocessed::Refused | Unprocessed::Unsent));
        replayable && resend(x, failure, elsewhere)
    } else {
        if let Some(kind) = failure.fault() {
            x.attempts.blame(kind.into());
        }
        let silent = x.record.method.is_idempotent() || retries_on(x, RetryOn::NonIdempotent);
        let worth = replayable
            && silent
            && match failure {
                Failure::FirstByteTimeout | Failure::SendTimeout => retries_on(x, RetryOn::Timeout),
                Failure::NoAnswer => retries_on(x, RetryOn::Error),
                Failure::InvalidHeader => retries_on(x, RetryOn::InvalidHeader),
                _ => false,
            };
        another(x, failure, worth, None)
    };
    if !again {
        x.failure = Some(failure);
    }
    error.set_retry(again);
    error
}

/// The exchange has failed for good: answers the client, if nothing has reached it yet.
pub async fn on_exchange(x: &mut Exchange, session: &mut Session, error: &Error) -> FailToProxy {
    if x.is_spent() {
        // the call that runs on its own has answered, as far as anybody can
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    if x.is_delivered(session, error) {
        x.failure = None;
        // of use where it is the server that broke off: a client that has left sees nothing of it
        let _ = reply::end(session).await;
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    let failure = *x.failure.get_or_insert_with(|| match error.esource() {
        ErrorSource::Downstream => Failure::of_client(error.etype()),
        ErrorSource::Upstream => Failure::NoAnswer,
        _ => Failure::Internal,
    });
    if failure == Failure::Internal {
        static FAULTS: LogLimit = LogLimit::new();
        if let Some(suppressed) = FAULTS.pass(()) {
            log::error!(id:% = x.record.id, error:%, suppressed; "{}", failure.advice());
        }
    } else {
        failure.tell(&x.record);
    }
    // nothing more is asked of its server, however long the client takes
    x.attempts.lease = None;
    let mut error_code = failure.kind().map_or(0, |kind| kind.status().as_u16());
    // with the head out already, the answer stays as broken as it is: no clean end, nothing appended
    if written(session).is_none()
        && let Some(kind) = failure.kind()
    {
        let mut reply = Reply::error(x.dialect(), kind, failure.message(), x.record.id);
        if matches!(failure, Failure::NoServer | Failure::Full(_) | Failure::Unresolved) {
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds_until(x.attempts.earliest)));
        }
        if let Some(given_up) = x.attempts.given_up.take().filter(|_| failure.is_of_server()) {
            // what a server said goes before what another did not
            reply.status = given_up.status;
            if let Some(retry_after) = given_up.retry_after {
                reply.headers.insert(RETRY_AFTER, retry_after);
            }
            error_code = given_up.status.as_u16();
        }
        match reply::send(session, x, reply).await {
            Ok(()) => reply::linger(session).await,
            Err(error) => debug!(error:%; "client left before the error answer"),
        }
    }
    FailToProxy { error_code, can_reuse_downstream: false }
}

/// Whether there will be another attempt, on another server. Notes the failure of this one.
fn another(x: &mut Exchange, failure: Failure, worth: bool, server_index: Option<usize>) -> bool {
    x.attempts.rule_out();
    let index_left = server_index.filter(|_| !out_of_time(x));
    let again = if worth && !out_of_time(x) {
        next_server(x, index_left, true) != Next::None
    } else {
        next_address(x, index_left)
    };
    x.failure = Some(failure);
    again && told_again(x, failure)
}

/// Whether a request will be sent again that its server has not processed. Needs no condition of `retry.on`.
fn resend(x: &mut Exchange, failure: Failure, elsewhere: bool) -> bool {
    let again = next_unprocessed(x, elsewhere) != Next::None;
    x.failure = Some(failure);
    again && told_again(x, failure)
}

fn told_again(x: &mut Exchange, failure: Failure) -> bool {
    failure.tell(&x.record);
    if let Some(upstream) = &x.record.upstream {
        x.snapshot.metrics.retried(upstream);
    }
    true
}

fn retries_on(x: &Exchange, condition: RetryOn) -> bool {
    x.attempts.upstream.as_ref().is_some_and(|upstream| upstream.retries_on(condition))
}

fn seconds_until(earliest: Option<Instant>) -> u64 {
    let left = earliest.map_or(Duration::ZERO, |earliest| earliest.saturating_duration_since(Instant::now()));
    left.as_millis().div_ceil(1000).clamp(1, 3600) as u64
}

fn out_of_time(x: &Exchange) -> bool {
    x.attempts.end.is_some_and(|end| end <= Instant::now())
}
