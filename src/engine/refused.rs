//! What becomes of a refusal below the exchanges: it is logged, counted and recorded, and the client is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::CONTENT_LENGTH;
use http::uri::Authority;
use http::{HeaderValue, Version};
use log::{debug, info};
use pingora_core::apps::ReusedHttpStream;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use plugin_api::{
    Body, Endpoint, LONGEST_HOST, LONGEST_PATH, LogLimit, Outcome, Protocol, Record, Transport, Uuid, shortened,
};

use crate::access_log;
use crate::chain::Instances;
use crate::exchange::failure::Failure;
use crate::memory::count_large_head;
use crate::metrics::{Ended, count_h2_end};
use crate::routes::host_of;

use super::connection::info_of;
use super::recording::publish;
use super::refusal::{Refusal, reply};
use super::snapshot::Snapshot;

/// Ends what was refused on the connection of this peer.
pub async fn settle(refusal: Refusal, snapshot: Arc<Snapshot>, peer: SocketAddr) {
    match refusal {
        Refusal::Head(head) => {
            report("request head refused", head.why, peer);
            if head.why == Failure::HeadTooLarge {
                count_large_head();
            }
            let (record, farewell) = head.answer(snapshot.limits.max_header);
            publish(&snapshot, &mut Instances::default(), ended(&snapshot, &record), true);
            drop(snapshot);
            farewell.tell().await;
        }
        Refusal::Connection(connection) => {
            report("connection refused", connection.why, peer);
            count_h2_end(Ended::Connection, connection.code);
            connection.farewell().tell().await;
        }
    }
}

/// Logs it: the first of its kind at once, then one a minute.
fn report(what: &str, why: Failure, client: SocketAddr) {
    static REFUSED: LogLimit<&str> = LogLimit::new();
    if let Some(suppressed) = REFUSED.pass(why.word()) {
        info!(client:%, error = why.word(), suppressed; "{what}: {}", why.hint());
    }
}

/// Refuses an HTTP/2 stream that asks for a tunnel, which Pingora would do without a word. One of HTTP/1.1 is refused with its connection.
pub async fn tunnel(mut session: ServerSession, snapshot: Arc<Snapshot>) -> Option<ReusedHttpStream> {
    let mut record = Record::begun(Uuid::now_v7(), SystemTime::now());
    let info = info_of(session.digest());
    record.context.client = info.client().map(|address| address.ip());
    record.context.set_connection(info);
    record.transport = Transport::of(Version::HTTP_2);
    let head = session.req_header();
    record.method = head.method.clone();
    record.path = shortened(head.uri.path(), LONGEST_PATH).into_owned();
    let authority = head.uri.authority().map_or("", Authority::as_str);
    record.host = shortened(host_of(authority), LONGEST_HOST).into_owned();
    (record.outcome, record.error) = (Outcome::Refused, Some(Failure::Tunnel.word()));
    Failure::Tunnel.log(&record, None);
    if let Err(error) = answer(&mut session, &mut record).await {
        debug!(error:%; "client left before the answer");
    }
    publish(&snapshot, &mut Instances::default(), ended(&snapshot, &record), true);
    None
}

async fn answer(session: &mut ServerSession, record: &mut Record) -> Result<()> {
    let protocol = Endpoint::of(&record.path).map_or(Protocol::DEFAULT, |endpoint| endpoint.protocol);
    let reply = reply(protocol, Failure::Tunnel, None, record.context.id, 0);
    let Body::Whole(body) = reply.body else { return Ok(()) };
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 1))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    (record.status, record.error_type) = (Some(reply.status), reply.error_type);
    record.response_bytes = body.len() as u64;
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}

/// A record of which nothing but the beginning of its head is known.
fn ended<'a>(snapshot: &'a Snapshot, record: &'a Record) -> access_log::Ended<'a> {
    access_log::Ended { record, domain: snapshot.router.other(), path: &record.path, captured: None }
}
