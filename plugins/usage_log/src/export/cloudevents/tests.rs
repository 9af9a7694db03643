//! Receivers that take events, refuse some or all, are busy, or break off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;
use crate::tests::Folder;
use crate::{Record, Row};

/// What a receiver says of the events of a request.
type Says = Box<dyn FnMut(&[Json]) -> (u16, &'static str) + Send>;

/// A receiver, and how often it has taken each event.
struct TestReceiver {
    url: String,
    taken: Arc<Mutex<HashMap<String, u32>>>,
}

impl TestReceiver {
    async fn start(mut says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in?key=s3cretpath", listener.local_addr().unwrap());
        let taken: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let counts = taken.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let body = request(&mut socket).await;
                let events: Vec<Json> = serde_json::from_slice(&body).unwrap();
                let (status, text) = says(&events);
                if status == 200 {
                    for event in &events {
                        *counts.lock().unwrap().entry(event["id"].as_str().unwrap().into()).or_default() += 1;
                    }
                }
                let (header, text) = if text.starts_with("retry-after") { (text, "") } else { ("x-a: b", text) };
                let length = text.len();
                let answer = format!("HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {length}\r\n\r\n{text}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, taken }
    }

    fn taken(&self) -> Vec<(String, u32)> {
        let mut taken: Vec<_> = self.taken.lock().unwrap().iter().map(|(id, count)| (id.clone(), *count)).collect();
        taken.sort();
        taken
    }
}

/// The body of a request, whose head is as it must be.
async fn request(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = socket.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let head_length = head.len() + 4;
        let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if bytes.len() == head_length + declared.parse::<usize>().unwrap() {
            assert!(head.starts_with("POST /in?key=s3cretpath HTTP/1.1"), "{head}");
            assert!(head.contains("content-type: application/cloudevents-batch+json"), "{head}");
            assert!(head.contains("authorization: Bearer s3crettoken"), "{head}");
            return bytes.split_off(head_length);
        }
    }
}

fn sink(receiver: &TestReceiver, folder: &Folder, max_batch: u64) -> CloudEventsSink {
    let settings = serde_json::json!({
        "url": receiver.url, "headers": { "authorization": "Bearer s3crettoken" }, "max_batch": max_batch
    });
    CloudEventsSink::new(&serde_json::from_value(settings).unwrap(), SinkContext::in_folder(&folder.0))
}

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

fn delivery(ids: Range<u128>) -> Delivery {
    let record = |id| Record::Request(Box::new(Row { id: Uuid::from_u128(id), ..Row::default() }));
    Delivery { records: ids.map(record).collect(), from: Position::default(), to: Position::default() }
}

fn rejected(folder: &Folder) -> Vec<Json> {
    let text = std::fs::read_to_string(folder.0.join("journal/cloudevents.rejected.jsonl")).unwrap_or_default();
    assert!(!text.contains("s3cret"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn events_go_in_batches_of_the_size_that_is_set_each_once() {
    let folder = Folder::new();
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = sizes.clone();
    let receiver = TestReceiver::start(Box::new(move |events| {
        seen.lock().unwrap().push(events.len());
        (200, "")
    }))
    .await;
    let mut sink = sink(&receiver, &folder, 4);
    sink.deliver(&delivery(0..10)).await.unwrap();
    assert_eq!(*sizes.lock().unwrap(), [4, 4, 2]);
    assert_eq!(receiver.taken(), (0..10).map(|number| (id(number), 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_busy_receiver_says_when_to_come_again_and_what_it_took_does_not_come_again() {
    let folder = Folder::new();
    let mut requests = 0;
    let receiver = TestReceiver::start(Box::new(move |_| {
        requests += 1;
        if requests == 2 { (429, "retry-after: 7") } else { (200, "") }
    }))
    .await;
    let mut sink = sink(&receiver, &folder, 4);
    let delivery = delivery(0..10);
    let error = sink.deliver(&delivery).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after.map(|after| after.as_secs())), ("status", Some(7)));
    sink.deliver(&delivery).await.unwrap();
    assert_eq!(receiver.taken(), (0..10).map(|number| (id(number), 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn events_that_are_refused_are_set_aside_and_all_others_are_taken_once() {
    let folder = Folder::new();
    let bad = [id(3), id(4), id(9)];
    let receiver = TestReceiver::start(Box::new(move |events| {
        let is_bad = events.iter().any(|event| bad.iter().any(|bad| event["id"] == bad.as_str()));
        if is_bad { (400, "unknown meter; you sent s3crettoken to /in?key=s3cretpath") } else { (200, "") }
    }))
    .await;
    let mut sink = sink(&receiver, &folder, 100);
    sink.deliver(&delivery(0..12)).await.unwrap();
    let good = (0..12).filter(|number| ![3, 4, 9].contains(number)).map(|number| (id(number), 1));
    assert_eq!(receiver.taken(), good.collect::<Vec<_>>());
    let rejected = rejected(&folder);
    let ids: Vec<_> = rejected.iter().map(|line| line["event"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [id(3), id(4), id(9)]);
    assert_eq!(rejected[0]["why"], "127.0.0.1: status 400: unknown meter; you sent … to …");
}

#[tokio::test]
async fn events_that_are_refused_in_a_row_do_not_hold_up_those_behind_them() {
    let folder = Folder::new();
    let bad: Vec<String> = (0..30).map(id).collect();
    let receiver = TestReceiver::start(Box::new(move |events| {
        let is_bad = events.iter().any(|event| bad.iter().any(|bad| event["id"] == bad.as_str()));
        if is_bad { (400, "unknown meter") } else { (200, "") }
    }))
    .await;
    let (mut sink, delivery) = (sink(&receiver, &folder, 100), delivery(0..35));
    let mut attempts = 1;
    while let Err(error) = sink.deliver(&delivery).await {
        attempts += 1;
        assert!(error.kind == "refused" && attempts <= 5, "{error:?} in attempt {attempts}");
    }
    assert_eq!(receiver.taken(), (30..35).map(|number| (id(number), 1)).collect::<Vec<_>>());
    assert_eq!(rejected(&folder).len(), 30);
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_rejects_nothing() {
    let folder = Folder::new();
    for (status, kind) in [(400, "refused"), (401, "status"), (404, "status"), (500, "status")] {
        let receiver = TestReceiver::start(Box::new(move |_| (status, "no"))).await;
        let mut sink = sink(&receiver, &folder, 100);
        for _ in 0..10 {
            let error = sink.deliver(&delivery(0..20)).await.unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.why.contains("status"), "{error:?}");
        }
        assert!(rejected(&folder).is_empty());
    }
}

#[tokio::test]
async fn an_event_that_comes_alone_is_set_aside_only_after_others_were_taken_and_several_attempts() {
    let folder = Folder::new();
    let receiver = TestReceiver::start(Box::new(|events| {
        if events.iter().any(|event| event["id"] == id(1).as_str()) { (422, "") } else { (200, "") }
    }))
    .await;
    let mut sink = sink(&receiver, &folder, 100);
    for _ in 0..10 {
        assert_eq!(sink.deliver(&delivery(1..2)).await.unwrap_err().kind, "refused");
    }
    // all of these have the same places here, as no others have
    sink.sent = (None, 0);
    sink.deliver(&delivery(0..1)).await.unwrap();
    sink.sent = (None, 0);
    let alone = delivery(1..2);
    for _ in 0..ATTEMPTS - 1 {
        assert_eq!(sink.deliver(&alone).await.unwrap_err().kind, "refused");
    }
    sink.deliver(&alone).await.unwrap();
    assert_eq!(rejected(&folder).len(), 1);
}

#[tokio::test]
async fn where_nobody_listens_all_wait() {
    let folder = Folder::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let receiver = TestReceiver { url: format!("http://{free}/in?key=s3cretpath"), taken: Arc::default() };
    let error = sink(&receiver, &folder, 10).deliver(&delivery(0..3)).await.unwrap_err();
    assert_eq!(error.kind, "connection");
    assert!(!error.why.contains("s3cret"), "{}", error.why);
}
